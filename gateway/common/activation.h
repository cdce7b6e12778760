/* SPDX-License-Identifier: MIT */
/*
 * activation.h - a server of one's own: "[ nbdkit memory 1G ]" starts the program, hands it a
 * listening unix socket in systemd's manner (LISTEN_FDS, sd_listen_fds(3)), and ends it when it is
 * no longer wanted. The words are an argv; no shell sees them.
 *
 * The program is the child of its minder (minder.h), which is ours, and must stay in the foreground: nbdkit does so by itself when it is
 * given a socket; qemu-nbd ends after its first client unless it is told -t (and -e N for N
 * connections at once).
 */
#ifndef GATEWAY_COMMON_ACTIVATION_H
#define GATEWAY_COMMON_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/uri.h"

struct activation {
	pid_t pid;	       /* of its minder (minder.h), our child; 0: none is running */
	int minder_fd;	       /* readable once the program has ended; -1 when none is running */
	bool files_stay;       /* activation_leave_files() */
	char program[64];      /* argv[0], for messages */
	char directory[96];    /* its own, server-TAG, 0700; "" when there is none */
	char socket_path[108]; /* what to connect to */
};

/*
 * Starts argv (NULL-terminated, at least one word; argv[0] is looked for in PATH). Its stdin is
 * /dev/null, stdout and stderr are ours, it leads a session of its own (so a terminal's Ctrl-C
 * reaches us first), has SIGTERM, SIGHUP and SIGINT blocked and no signal ignored, an oom_score_adj
 * of 0, and no descriptor of ours but the socket. Where we may, it is an IO_FLUSHER: what it writes
 * to a filesystem must not wait until dirty pages are written to the disk that it serves itself. It ends
 * when we do. Main thread, before any other thread is there.
 *
 * 0: the program runs and the socket takes connections (they wait until it accepts them). Else
 * -errno with a sentence: -ENOENT when there is no such program, else what failed. Nothing is then
 * left behind, and *activation is as after activation_stop().
 *
 * tag: the identity of the disk that it is for (server_tag.h), by which whoever tidies up after a
 * killed daemon finds its directory; SERVER_TAG_NONE: it is for no disk.
 */
int activation_start(struct activation *activation, char *const argv[], uint64_t tag,
		     char *sentence, size_t sentence_bytes);

/* Makes *uri point to the socket; export_name is kept. */
void activation_target(const struct activation *activation, struct nbd_uri *uri);

/* Whether the program has ended, with a sentence that says how: "nbdkit ended by itself, with exit
 * status 1: see its message above". Does not wait. */
bool activation_has_ended(const struct activation *activation, char *sentence,
			  size_t sentence_bytes);

/* Has activation_stop() leave socket and directory alone: their filesystem hangs. */
void activation_leave_files(struct activation *activation);

/* Ends the program: asks it to, MINDER_STOP_MS, SIGKILL to all of its process group; and removes
 * socket and directory. Nothing happens when none was started. */
void activation_stop(struct activation *activation);

#endif
