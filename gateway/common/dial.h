/* SPDX-License-Identifier: MIT */
/*
 * dial.h - from a target to a negotiated NBD connection: resolve, connect, (TLS,) handshake.
 * Everything here blocks, up to a deadline; getaddrinfo(3) has none, so whoever may not wait for
 * it runs a dial as a task, on a thread of its own that can be abandoned.
 */
#ifndef GATEWAY_COMMON_DIAL_H
#define GATEWAY_COMMON_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "gateway/common/exit_code.h"
#include "proto/handshake.h"
#include "proto/uri.h"
#include "tls/transport.h"

#define DIAL_ADDRESSES_MAX 32

struct dial_address {
	struct sockaddr_storage address;
	socklen_t address_bytes;
};

enum dial_stage { DIAL_RESOLVE, DIAL_CONNECT, DIAL_TLS, DIAL_HANDSHAKE, DIAL_DONE };

struct dial_options {
	const struct nbd_uri *target;   /* borrowed for the whole dial; a task copies it */
	enum nbd_handshake_goal goal;
	bool no_structured;
	uint32_t timeout_ms;            /* for all stages together */
	const struct dial_address *addresses; /* when count > 0: use these, resolve nothing */
	uint32_t addresses_count;
	/* Each step as it succeeds or fails, for doctor and --verbose; NULL when nobody listens. */
	void (*progress)(void *context, enum dial_stage stage, int error, const char *sentence);
	void *context;
};

struct dial_result {
	struct transport *transport;  /* owned by whoever takes the result; NULL unless error is 0 */
	struct nbd_export *export;    /* malloc()ed, owned likewise */
	struct dial_address peer;     /* the address that answered */
	char peer_text[160];          /* "127.0.0.1:10809", "[::1]:10809", "unix:/path", "vsock:2:10809" */
	enum dial_stage stage;        /* DIAL_DONE, or where it ended */
	int error;                    /* positive errno, 0 on success */
	enum exit_code exit_code;
	char sentence[700];           /* on failure: what failed, with whom, what to do */
};

/*
 * Dials: each address in turn (each gets its share of the time that is left), TCP_NODELAY and
 * keepalive set. With goal GO the connection is in transmission when it returns; with INFO the
 * transport is closed and NULL. If a server drops the connection upon an option it does not know,
 * the dial is tried again without that option. Returns 0 or the negative of result->error.
 */
int dial_run(const struct dial_options *options, struct dial_result *result);

/* Only the first stage: 0 or -errno with a sentence. *count in: room; out: how many. */
int dial_resolve(const struct nbd_uri *target, struct dial_address *addresses, uint32_t *count,
		 char *sentence, size_t sentence_bytes);

/* Only the second: one address, a connected socket or -errno. */
int dial_connect(const struct nbd_uri *target, const struct dial_address *address,
		 int64_t deadline_ms);

/* A dial on a thread of its own. */
struct dial_task;
/* Starts one; -errno when no thread can be had. */
int dial_task_start(const struct dial_options *options, struct dial_task **out);
/* Readable (an eventfd) once the result is there. */
int dial_task_fd(const struct dial_task *task);
/* Moves the result out and frees the task; only when the fd is readable. */
void dial_task_take(struct dial_task *task, struct dial_result *result);
/* Gives it up at once: the thread ends when it can, frees and closes everything by itself. */
void dial_task_abandon(struct dial_task *task);

/* Closes the transport and frees the export. */
void dial_result_clear(struct dial_result *result);

int64_t dial_now_ms(void); /* CLOCK_MONOTONIC */

#endif
