/* SPDX-License-Identifier: MIT */
/*
 * server.h - a ublk server of the classic kind: one thread and one ring for each queue (or, with
 * PER_IO_DAEMON, several for each), and a target that does each request on a file, or not at all.
 *
 * A server is one process's; server_run() returns when every command of every thread has ended.
 * Faults to order are in options.h.
 */
#ifndef TESTS_GUEST_UBLK_SERVER_H
#define TESTS_GUEST_UBLK_SERVER_H

#include <stdatomic.h>

#include "tests/guest/ublk/control.h"
#include "tests/guest/ublk/options.h"

struct worker;

struct server {
	const struct options *options;
	struct control control;
	struct ublksrv_ctrl_dev_info info; /* as granted */
	int char_fd;
	int file_fd; /* -1: the null target */
	struct worker *workers;
	uint32_t worker_count;
	atomic_uint fetching; /* workers that have still to issue their first commands */
	atomic_ulong taken;   /* requests */
};

/*
 * Opens the char device (for at most 5 s: an unprivileged one may be handed over late) and the
 * target, maps the descriptors, starts the threads, and waits until each has fetched all its tags.
 * 0 or -errno, said on stderr.
 */
int server_open(struct server *server);

/* Waits for the threads' end and closes everything. */
void server_run(struct server *server);

static inline bool server_has(const struct server *server, uint64_t feature)
{
	return server->info.flags & feature;
}

#endif
