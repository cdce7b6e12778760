/* SPDX-License-Identifier: MIT */
/*
 * process.h - a disk's daemon as a process that is not our child: is it the one we mean, when does it
 * end, and ending it. Everything goes through a pidfd, so a number that was given to another
 * process in between is never hit.
 */
#ifndef GATEWAY_CLI_PROCESS_H
#define GATEWAY_CLI_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#define DAEMON_NAME "ublk-nbd-disk"

/* The daemon's option before its disk's identity (server_tag.h). */
#define DAEMON_IDENTITY "--identity="

/* A pidfd of the running ublk-nbd-disk whose disk has this identity, and its number as it is seen from
 * here; whatever namespace it numbers itself in. -ESRCH when none is seen: it is gone, or in a pid
 * namespace beside ours. -ENOTUNIQ: several of 0.1.0's daemons number themselves so. Else -errno. */
int process_open_daemon(uint64_t tag, pid_t *pid);

/* Waits for the end: 0, or -ETIMEDOUT. */
int process_wait(int pidfd, uint32_t timeout_ms);

/* Sends signal; 0 or -errno. */
int process_signal(int pidfd, int signal);

/* SIGKILL, and waits for the end: 0, or -ETIMEDOUT when it hangs in the kernel. */
int process_kill(int pidfd, uint32_t timeout_ms);

#endif
