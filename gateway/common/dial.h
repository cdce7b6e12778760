/* SPDX-License-Identifier: MIT */
/*
 * dial.h - from a target to a negotiated NBD connection: resolve, connect, (TLS,) handshake.
 * Everything here blocks, up to a deadline; getaddrinfo(3) has none, so whoever may not wait for
 * it runs a dial as a task, on a thread of its own that can be abandoned.
 */
#ifndef GATEWAY_COMMON_DIAL_H
#define GATEWAY_COMMON_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "gateway/common/exit_code.h"
#include "proto/handshake.h"
#include "proto/uri.h"
#include "tls/tls.h"
#include "tls/transport.h"

#define DIAL_ADDRESSES_MAX   32
#define DIAL_PEER_TEXT_BYTES 160
#define DIAL_GREETING_BYTES  18 /* NBDMAGIC, IHAVEOPT, handshake flags */

struct dial_address {
	struct sockaddr_storage address;
	socklen_t address_bytes;
};

enum dial_stage { DIAL_RESOLVE, DIAL_CONNECT, DIAL_TLS, DIAL_HANDSHAKE, DIAL_DONE };

struct dial_options {
	const struct nbd_uri *target;  /* borrowed for the whole dial; a task copies it */
	const struct tls_options *tls; /* likewise; not NULL where target->tls */
	enum nbd_handshake_goal goal;
	bool no_structured;
	bool open_only;		      /* stop where dial_open() stops */
	uint32_t timeout_ms;	      /* for all stages together */
	uint32_t tcp_user_timeout_ms; /* TCP_USER_TIMEOUT of the socket; 0: the system's own */
	const struct dial_address *addresses; /* when count > 0: use these, resolve nothing */
	uint32_t addresses_count;
	/* Each step as it succeeds or fails, for doctor and --verbose; NULL when nobody listens.
	 * Called in the thread that dials; a task's is never called once dial_task_abandon() has
	 * returned, which waits for one that is running: it must be quick. */
	void (*progress)(void *context, enum dial_stage stage, int error, const char *sentence);
	void *context;
};

struct dial_result {
	struct transport *transport; /* owned by whoever takes the result; NULL unless error is 0 */
	struct nbd_export *export;   /* malloc()ed, owned likewise */
	struct dial_address peer;    /* the address that answered */
	char peer_text[DIAL_PEER_TEXT_BYTES]; /* as dial_address_text() has it */
	bool secured;			      /* by TLS, as tls describes it */
	struct tls_description tls;
	uint8_t greeting[DIAL_GREETING_BYTES]; /* dial_open() only: what dial_open() says */
	uint32_t greeting_bytes;
	enum dial_stage stage; /* DIAL_DONE, or where it ended */
	int error;	       /* positive errno, 0 on success */
	enum exit_code exit_code;
	char sentence[700]; /* on failure: what failed, with whom, what to do */
};

/*
 * Dials: each address in turn (each gets its share of the time that is left, for connection and
 * handshake together), TCP_NODELAY and keepalive set. With goal GO the connection is in transmission
 * when it returns; with INFO the transport is closed and NULL. If a server drops the connection upon
 * an option it does not know, the dial is tried again without that option; if it does not know INFO
 * (or answers it with a size of 0, as nbd-server does), with GO, which is then undone by DISC. A server that says no ends the dial; one that does not answer
 * leaves the next address its chance. Returns 0 or the negative of result->error.
 */
int dial_run(const struct dial_options *options, struct dial_result *result);

/*
 * As dial_run(), but stops where another NBD client may take over: result->transport is connected
 * (and secured), result->export NULL. greeting_bytes is 0 when the server's greeting is still to be
 * read; else the greeting was answered (by DIAL_CLIENT_FLAGS_BYTES of flags that were sent
 * already), and stands in greeting, to be shown to that client.
 */
int dial_open(const struct dial_options *options, struct dial_result *result);
#define DIAL_CLIENT_FLAGS_BYTES 4

/* As dial_run(), through a task, so that it ends at the deadline even if getaddrinfo(3) does not.
 * For programs that may end soon after: the task's thread may be left behind. */
int dial_run_bounded(const struct dial_options *options, struct dial_result *result);

/* Only the first stage: 0 or -errno with a sentence. *count in: room; out: how many. An address
 * written in numbers never blocks; a name does, without a deadline. */
int dial_resolve(const struct nbd_uri *target, struct dial_address *addresses, uint32_t *count,
		 char *sentence, size_t sentence_bytes);

/* Only the second: one address, a connected socket (blocking, close-on-exec) or -errno:
 * -ETIMEDOUT at the deadline, else what socket(2) and connect(2) return. */
int dial_connect(const struct nbd_uri *target, const struct dial_address *address,
		 int64_t deadline_ms);

/* "127.0.0.1:10809", "[::1]:10809", "unix:/path", "unix:@abstract", "vsock:2:10809". */
void dial_address_text(const struct dial_address *address, char *out, size_t out_bytes);

/* A dial on a thread of its own. */
struct dial_task;
/* Starts one; -errno when no thread or descriptor can be had. Copies what options points to. */
int dial_task_start(const struct dial_options *options, struct dial_task **out);
/* Readable (an eventfd) once the result is there. */
int dial_task_fd(const struct dial_task *task);
/* Moves the result out and frees the task; only when the fd is readable. */
void dial_task_take(struct dial_task *task, struct dial_result *result);
/* Gives it up at once: its socket is cut, and the thread ends when it can (a name that is being
 * looked up keeps it), frees and closes everything by itself. */
void dial_task_abandon(struct dial_task *task);
/* Whether the thread of any task runs, abandoned or not: while one does exit(3) is not safe, for it takes
 * down libraries that the thread may be in (OpenSSL). */
bool dial_task_any_runs(void);

/* Closes the transport and frees the export. */
void dial_result_clear(struct dial_result *result);

int64_t dial_now_ms(void); /* CLOCK_MONOTONIC */

#endif
