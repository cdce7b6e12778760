/* SPDX-License-Identifier: MIT */
/*
 * dial_connect.h - one address, one connected socket, before a deadline.
 */
#ifndef GATEWAY_COMMON_DIAL_CONNECT_H
#define GATEWAY_COMMON_DIAL_CONNECT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/resolve.h"

/*
 * The socket of a dial that runs on a thread of its own, so that whoever gives the dial up can cut
 * it. A NULL watch is one nobody holds.
 */
struct dial_watch {
	pthread_mutex_t mutex;
	int fd;	  /* the socket in use, -1 between two */
	bool cut; /* no further socket may be used */
};

/* Shows the socket; false when the dial was given up (the caller closes it and ends). */
bool dial_watch_begin(struct dial_watch *watch, int fd);
/* The socket is about to be closed or handed on. */
void dial_watch_end(struct dial_watch *watch);
/* Given up: shuts down the socket in use, refuses further ones. Any thread, which holds the lock. */
void dial_watch_cut(struct dial_watch *watch);
bool dial_watch_is_cut(struct dial_watch *watch);

/* A new socket for the address with its options set, or -errno. */
int dial_socket_open(const struct dial_address *address, int64_t deadline_ms);
/* Connects it, before the deadline. 0 or -errno; the caller keeps fd. */
int dial_socket_connect(int fd, const struct dial_address *address, int64_t deadline_ms);

#endif
