/* SPDX-License-Identifier: MIT */
/*
 * runtime_lock.h - one --idempotent connect at a time, and one of each --name: between looking for such a
 * disk and having made one, no other may look.
 */
#ifndef GATEWAY_CLI_RUNTIME_LOCK_H
#define GATEWAY_CLI_RUNTIME_LOCK_H

#include <stdint.h>

#define RUNTIME_LOCK_NAME	"lock"
#define RUNTIME_LOCK_TIMEOUT_MS 60000

/* Takes the lock file name of the runtime directory, which exists. A descriptor (close it to let go);
 * -ETIMEDOUT; -EINTR: a signal came, to be taken from interrupt_fd; or what open(2) says. */
int runtime_lock_take(const char *name, int interrupt_fd, uint32_t timeout_ms);
/* Removes the lock's file, and lets go. -1: nothing happens. */
void runtime_lock_remove(const char *name, int fd);

#endif
