/* SPDX-License-Identifier: MIT */
/*
 * process.h - what makes this process fit to be what memory reclaim waits for, and which privileges it
 * gives up.
 *
 * Giving them up is no boundary against a server: all threads share their memory and are root's, and the
 * main thread keeps CAP_SYS_ADMIN, so whoever took over the thread that parses what a server sends would
 * have it, too. It limits what a mistake of ours can do, no more (SECURITY.md).
 */
#ifndef GATEWAY_DISK_PROCESS_H
#define GATEWAY_DISK_PROCESS_H

#include <pthread.h>
#include <stdbool.h>

#include "gateway/common/disk_config.h"

/* Before any thread: working directory /, umask, PR_SET_IO_FLUSHER (our allocations must not wait
 * for I/O that we serve), a mount namespace of our own (mounts.h), never the OOM killer's choice,
 * no core dump, no tracer and no key in swap (protect.h). What is not permitted is logged and left out. */
void process_prepare(const struct disk_config *config);

/* Once all memory is there, before START_DEV: locked in memory. warn: what is not permitted is logged. */
void process_lock(bool warn);

/* Once the disk is live, in the main thread, for it and the threads it will start: capabilities
 * down to what stopping, hurrying the queues (queue_hurry()) and dialling config's target again need
 * (NULL: none of that but stopping is ever done), no_new_privs. A server that we started is its minder's to end. */
void process_confine(const struct disk_config *config);

/* The attendant, until it is known that the driver tells who has the disk open: with what it takes to look
 * which of all users' processes have, and to open a disk whose node is gone. Nothing of the server's
 * reaches it. */
void process_confine_attendant(void);

/* A thread that takes no signal, with a small stack: all of it is locked in memory. 0 or -errno. */
int process_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* A thread that only serves I/O: no capability of its own. What it parses comes from the server; see above
 * for what this is worth. */
void process_confine_thread(void);

#endif
