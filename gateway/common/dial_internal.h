/* SPDX-License-Identifier: MIT */
/*
 * dial_internal.h - what the files of the dialler share: resolve.c (names), dial_connect.c
 * (sockets), dial.c (addresses in turn, handshake), dial_task.c (the thread), dial_text.c
 * (sentences).
 */
#ifndef GATEWAY_COMMON_DIAL_INTERNAL_H
#define GATEWAY_COMMON_DIAL_INTERNAL_H

#include <pthread.h>

#include "gateway/common/dial.h"

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

/* TCP_USER_TIMEOUT; nothing where the socket is no TCP one. */
void dial_socket_set_user_timeout(int fd, uint32_t timeout_ms);

/* dial_run() on a watched socket. */
int dial_execute(const struct dial_options *options, struct dial_watch *watch,
		 struct dial_result *result);

/* The sentence for a connection that failed, and its exit code. */
enum exit_code dial_text_connect(char *out, size_t out_bytes, const struct dial_address *address,
				 int error);
/* A handshake that the peer ended, or that timed out: what it was doing is named by state. */
void dial_text_handshake(char *out, size_t out_bytes, const char *peer, int error,
			 enum nbd_handshake_state state);
/* A few words for one of several failures: "connection refused". */
const char *dial_text_short(int error);

#endif
