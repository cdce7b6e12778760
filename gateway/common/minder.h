/* SPDX-License-Identifier: MIT */
/*
 * minder.h - the process between us and a server that we started (activation.h). It is the server's
 * parent, and ends it when we say so, or when we have ended, however that was: a daemon that was
 * killed cannot do so itself.
 *
 * The server runs with SIGTERM, SIGHUP and SIGINT blocked: whoever sweeps a login or a control group
 * sends them to it as to anybody, while its disk is in use. (SIGKILL, and a program that unblocks
 * them, cannot be helped.) To end it the minder opens its mask, by ptrace(2), and sends SIGTERM, by
 * which programs end cleanly. Where ptrace is not to be had it sends SIGQUIT to a program that
 * catches it, as nbdkit does, and else SIGKILL: a connection's end has flushed by then.
 *
 * The minder itself takes no signal but SIGKILL and SIGSTOP; if it is killed the kernel kills the
 * server. It is a process of the caller's program without its descriptors, and handles no byte that
 * came from a server.
 */
#ifndef GATEWAY_COMMON_MINDER_H
#define GATEWAY_COMMON_MINDER_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

/* How long a server may take to end when it is asked to, before SIGKILL; then the kernel's time to tear
 * it down. */
#define MINDER_STOP_MS	 5000
#define MINDER_KILLED_MS 2000

struct minder {
	pid_t parent;	       /* who started us: its end is the server's */
	int socket_fd;	       /* SOCK_SEQPACKET, to the parent: see below */
	const char *directory; /* the server's own, with socket_path in it: removed in the end */
	const char *socket_path;
};

/* minder -> parent, once: how the server ended by itself, as waitid(2) has it. Left unread, so that the
 * descriptor stays readable. parent -> minder: any packet means "end it". */
struct minder_report {
	int32_t code;	/* CLD_EXITED, CLD_KILLED, CLD_DUMPED */
	int32_t status; /* exit status, or signal */
};

/* Which signals the server starts with blocked. */
void minder_blocked(sigset_t *signals);

/* In a process that was forked for it: starts the server, another process, in which run(argument) is
 * called and must not return, and minds it until it was told to end it, or the parent has ended. Keeps no
 * descriptor but its own. Returns only where there is no further process to be had: -errno. */
int minder_run(const struct minder *minder, void (*run)(void *argument), void *argument);

#endif
