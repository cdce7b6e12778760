/* SPDX-License-Identifier: MIT */
/*
 * runtime_lock.h - one --idempotent connect at a time: between looking for an equal disk and having
 * made one, no other may look.
 */
#ifndef GATEWAY_CLI_RUNTIME_LOCK_H
#define GATEWAY_CLI_RUNTIME_LOCK_H

#include <stdint.h>

#define RUNTIME_LOCK_TIMEOUT_MS 60000

/* Takes the lock of the runtime directory, which exists. A descriptor (close it to let go);
 * -ETIMEDOUT; -EINTR: a signal came, to be taken from interrupt_fd; or what open(2) says. */
int runtime_lock_take(int interrupt_fd, uint32_t timeout_ms);

#endif
