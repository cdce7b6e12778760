/* SPDX-License-Identifier: MIT */
/*
 * process.h - what makes this process fit to be what memory reclaim waits for.
 */
#ifndef GATEWAY_DISK_PROCESS_H
#define GATEWAY_DISK_PROCESS_H

/* Before any thread: working directory /, umask, PR_SET_IO_FLUSHER (our allocations must not wait
 * for I/O that we serve), own mount namespace where that pins nothing. What is not permitted is
 * logged and left out. */
void process_prepare(void);

/* Once all memory is there, before START_DEV: locked in memory, never the OOM killer's choice. */
void process_lock(void);

/* Once the disk is live: capabilities down to what stopping needs, no_new_privs, no core dump. */
void process_confine(void);

#endif
