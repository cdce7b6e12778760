/* SPDX-License-Identifier: MIT */
/*
 * dial_internal.h - what the files of the dialler share: resolve.c (names), dial_connect.c
 * (sockets), dial.c (addresses in turn, asking for less), dial_handshake.c (options and answers),
 * dial_list.c (exports), dial_task.c (the thread), dial_text.c (sentences).
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

/* One dial. Everything is written by the thread that runs it. */
struct dial {
	const struct dial_options *options;
	struct dial_result *result;
	struct dial_watch *watch; /* NULL: nobody can cut it */
	struct nbd_handshake *handshake;
	/* What this server is not asked for: by the options, or since it did not bear it. */
	bool no_extended, no_structured, export_name_only;
	bool asks_less;			/* something did not work, and is not asked for any more */
	enum nbd_handshake_goal goal;	/* becomes GO when INFO is unknown to the server */
	enum nbd_handshake_state asked; /* what the server was, or is, to answer */
	int64_t option_ms;		/* CLOCK_MONOTONIC: until when */
	int64_t deadline_ms;		/* of everything */
	int64_t share_ms;   /* CLOCK_MONOTONIC: when the present address has had its share */
	char failures[400]; /* "10.0.0.1:10809 (connection refused), ...": of several addresses */
};

/* Says to whoever listens what was done, or what failed. */
void dial_report(struct dial *dial, enum dial_stage stage, int error, const char *sentence);
/* Keeps what failed for the result, which has its sentence, and reports it. Returns -error. */
int dial_fail(struct dial *dial, enum dial_stage stage, int error, enum exit_code code);

/* All of the conversation with the server, for the dial's goal, before share_ms. 0, or -errno through
 * dial_fail(); *transport becomes the secured one where there is TLS. */
int dial_handshake(struct dial *dial, struct transport **transport);
/* Moves bytes until the machine needs something else. 0, or -errno when the connection failed. */
int dial_converse(struct dial *dial, struct transport *transport);

/* The exports: an nbd_listed_fn, whose context is a struct dial_list. */
void dial_list_add(void *context, const char *name, size_t name_bytes, const char *description,
		   size_t description_bytes);
/* Asks about each, as far as the server answers, and takes leave. Nothing once the handshake has failed. */
void dial_list_ask(struct dial *dial, struct transport *transport);
void dial_list_free(struct dial_list *list);

/* A new socket for the address with its options set, or -errno. */
int dial_socket_open(const struct dial_address *address, int64_t deadline_ms);
/* Connects it, before the deadline. 0 or -errno; the caller keeps fd. */
int dial_socket_connect(int fd, const struct dial_address *address, int64_t deadline_ms);

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
