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
	bool no_structured; /* do not ask for structured replies, nor for extended headers */
	bool no_extended;
	bool export_name_only; /* goal GO: nor for anything but the export, the old way */
	uint32_t timeout_ms;   /* for all stages together */
	const struct dial_address *addresses; /* when count > 0: use these, resolve nothing */
	uint32_t addresses_count;
	/* Each step as it succeeds or fails, for doctor and --verbose; NULL when nobody listens.
	 * Called in the thread that dials; a task's is never called once dial_task_abandon() has
	 * returned, which waits for one that is running: it must be quick. */
	void (*progress)(void *context, enum dial_stage stage, int error, const char *sentence);
	void *context;
};

/* An export as the server lists it. */
struct dial_listed {
	char *name, *description; /* raw bytes of the server, any; a NUL is added */
	size_t name_bytes, description_bytes;
	bool known; /* the fields below hold what the server says of it; else why says why not */
	uint64_t size_bytes;
	uint16_t flags;
	bool block_sizes_given;
	uint32_t block_minimum_bytes, block_preferred_bytes, payload_max_bytes;
	char *why; /* malloc()ed, or NULL */
};

#define DIAL_LIST_MAX	    10000
#define DIAL_LIST_BYTES_MAX (16u << 20) /* of all names and descriptions */
struct dial_list {
	struct dial_listed *entries;
	size_t count, room, bytes;
	bool cut; /* there were more than fit into the limits, or memory */
};

/* Whether NBD can ask for it by its name. */
bool dial_listed_can_be_asked(const struct dial_listed *entry);
/* What was negotiated about it is what is known. */
void dial_listed_take(struct dial_listed *entry, const struct nbd_export *export);

struct dial_result {
	struct transport *transport; /* owned by whoever takes the result; NULL unless error is 0 */
	struct nbd_export *export;   /* malloc()ed, owned likewise; goals GO and INFO */
	struct dial_list *list;	     /* likewise; goal LIST */
	struct dial_address peer;    /* the address that answered */
	char peer_text[DIAL_PEER_TEXT_BYTES]; /* as dial_address_text() has it */
	bool secured;			      /* by TLS, as tls describes it */
	struct tls_description tls;
	uint8_t greeting[DIAL_GREETING_BYTES]; /* goal IDLE: the server's, which was answered */
	enum dial_stage stage;		       /* DIAL_DONE, or where it ended */
	int error;			       /* positive errno, 0 on success */
	enum exit_code exit_code;
	char sentence[700]; /* on failure: what failed, with whom, what to do */
};

/*
 * Dials: each address in turn (each gets its share of the time that is left, for connection and
 * handshake together), TCP_NODELAY and keepalive set. What it ends with depends on the goal:
 *
 *   GO    the connection is in transmission
 *   INFO  export is filled; the transport is closed and NULL. Where a server does not know INFO (or
 *         answers it with a size of 0, as nbd-server does), GO in its place, undone by DISC
 *   LIST  list is filled, as far as the server tells; the transport is closed and NULL
 *   IDLE  connected, greeted, secured: another NBD client may take over, to whom greeting is to be
 *         shown, and whose DIAL_CLIENT_FLAGS_BYTES of flags are to be swallowed
 *
 * Old servers drop the connection upon an option they do not know, leave it unanswered, or lose the
 * thread over its data. The dial is then tried again without that option, down to EXPORT_NAME alone; all
 * of it in the same time, and with TLS wherever it is wanted. A server that says no ends the dial; one
 * that does not answer leaves the next address its chance. Returns 0 or the negative of result->error.
 */
int dial_run(const struct dial_options *options, struct dial_result *result);
#define DIAL_CLIENT_FLAGS_BYTES 4

/* For a further connection of one disk: asks for no more than what export was negotiated with. */
void dial_like(struct dial_options *options, const struct nbd_export *export);

/* As dial_run(), through a task, so that it ends at the deadline even if getaddrinfo(3) does not.
 * For programs that may end soon after: the task's thread may be left behind. */
int dial_run_bounded(const struct dial_options *options, struct dial_result *result);

/* Only the first stage: 0 or -errno with a sentence. *count in: room; out: how many. An address
 * written in numbers never blocks; a name does, without a deadline. */
int dial_resolve(const struct nbd_uri *target, struct dial_address *addresses, uint32_t *count,
		 char *sentence, size_t sentence_bytes);

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

/* Closes the transport and frees the export and the list. */
void dial_result_clear(struct dial_result *result);

#endif
