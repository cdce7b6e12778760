/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - starting a disk's daemon: its program, its descriptors, its first words.
 */
#ifndef GATEWAY_CLI_DAEMON_H
#define GATEWAY_CLI_DAEMON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gateway/common/disk_config.h"

/* How long a daemon that was told to end may take for it before it is told again, and then killed. */
#define DAEMON_INSIST_MS 1000
#define DAEMON_END_MS	 10000
#define DAEMON_KILL_MS	 5000

struct daemon {
	pid_t pid; /* our child */
	int pidfd;
	int ready_fd; /* our end of the ready conversation */
	uint64_t tag; /* its disk's identity: server_tag.h */
};

/*
 * Starts the daemon for config; where its program is found: program.h. It gets a session of its own, /dev/null as stdin and stdout, the configuration on descriptor 3, the ready conversation on
 * 4, and no other descriptor. Its stderr is the journal, or where there is none daemon.log of the
 * runtime directory; with config->foreground it is ours. The working directory is ours as well: a
 * server's command may name files in it.
 *
 * 0, or -errno with a sentence in error; nothing runs then.
 */
int daemon_start(const struct disk_config *config, struct daemon *daemon, char *error,
		 size_t error_bytes);

/* The daemon's program, into path. 0, or -errno with a sentence in error. */
int daemon_find_program(char *path, size_t path_bytes, char *error, size_t error_bytes);

/* Where the daemon's messages are, for a person: "journalctl -t ublk-nbd", or the file. */
void daemon_log_place(char *out, size_t out_bytes);

/*
 * Tells it to end (SIGTERM, and again after DAEMON_INSIST_MS), waits DAEMON_END_MS, kills it, and
 * removes what a killed one leaves in the kernel and in the runtime directory. Reaps it.
 */
void daemon_end(struct daemon *daemon);

/* The disk is its user's from now on: before that, our end is the disk's. 0 or -errno: it has ended. */
int daemon_take(const struct daemon *daemon);

/* Its wait status, once its pidfd is readable; reaps it. */
int daemon_reap(struct daemon *daemon);

/* Closes the descriptors; the process goes on. */
void daemon_release(struct daemon *daemon);

#endif
