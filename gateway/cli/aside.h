/* SPDX-License-Identifier: MIT */
/*
 * aside.h - runs what may hang in the kernel (a disk's fsync, a file on a filesystem that hangs) in a child process,
 * which can be left behind.
 */
#ifndef GATEWAY_CLI_ASIDE_H
#define GATEWAY_CLI_ASIDE_H

#include <stdint.h>

/* Calls run(argument) in a child and waits for its end until deadline_ms of clock.h; the child ends with us. It
 * has none of our files, standard output included. Results come back through memory that is shared with it. 0; -ETIMEDOUT: it was killed, and does not go on once what it
 * waits for comes back; else -errno: it was not started. */
int aside_run(void (*run)(const void *argument), const void *argument, int64_t deadline_ms);

#endif
