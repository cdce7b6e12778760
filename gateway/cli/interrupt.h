/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h - SIGINT, SIGTERM and SIGHUP as something one can wait for beside other things, from
 * interrupt_open() on: a verb that made something must take it down before it ends.
 */
#ifndef GATEWAY_CLI_INTERRUPT_H
#define GATEWAY_CLI_INTERRUPT_H

#include <stdint.h>

/* Blocks the three and returns a descriptor that is readable when one came; -errno. */
int interrupt_open(void);

/* The signal that came, or 0. */
int interrupt_take(int interrupt_fd);

/* Waits until fd is readable (1), a signal came (0: it is still to be taken), or deadline_ms of
 * clock.h is past (-ETIMEDOUT). fd may be -1. */
int interrupt_wait(int interrupt_fd, int fd, int64_t deadline_ms);

/* In a child, before exec: signals as if nothing of this had been. */
void interrupt_reset_child(void);

#endif
