/* SPDX-License-Identifier: MIT */
/*
 * log_writer.h - the process that writes the lines of a ring to standard error. That may be a file on a
 * disk that hangs, a pipe or a terminal that nobody reads, or a journal that is stopped: this process
 * may wait for it, and nobody waits for this process. It is a process and no thread because a thread
 * that hangs in the kernel would keep its process from ending, and with it a dead disk's device.
 */
#ifndef GATEWAY_COMMON_LOG_WRITER_H
#define GATEWAY_COMMON_LOG_WRITER_H

#include <sys/types.h>

#include "gateway/common/log_ring.h"

struct log_writer {
	struct log_ring *ring;
	const char *lost_format; /* of one line, with a %u: so many did not go out */
	int wake_fd;		 /* eventfd: written to when a line was put */
	int strays_fd; /* a pipe's reading end: what libraries print; its end is that of all who log */
	int stderr_fd;
	void (*settle)(void); /* called in it before anything is written; NULL: nothing */
};

/* Forks it. Afterwards wake_fd and strays_fd are its alone to read. It ends once the parent has ended and
 * what was put is out, or two seconds after the parent's end. No signal else ends it but SIGKILL: lines
 * are lost then, and counted, and that is all. 0 or -errno. Before any thread. */
int log_writer_start(const struct log_writer *writer);

#endif
