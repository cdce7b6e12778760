/* SPDX-License-Identifier: MIT */
/*
 * protect.h - a process that will hold keys: no core dump, no tracer, nothing in swap.
 */
#ifndef TLS_PROTECT_H
#define TLS_PROTECT_H

/* Before the first key is read. All memory, also what is still to
 * come, is locked as it is used, where nothing limits that (root, CAP_IPC_LOCK, RLIMIT_MEMLOCK). A program that this process
 * executes is not bound by it (execve(2) makes it dumpable again). From here on files below
 * /proc/self belong to root. Twice does no harm. */
void tls_protect_process(void);

/* Overwrites what the calls that have returned left below the caller's frame, 64 KiB of it. Any
 * thread with so much stack to spare. */
void tls_wipe_stack(void);

#endif
