/* SPDX-License-Identifier: MIT */
/*
 * client_state.h - all that the server's side of a queue knows: its connections, and of each block request
 * the wire requests it was split into. What is done with it is in the files beside this one; each includes
 * those below it, and none above:
 *
 *   client              what the queue's thread calls (gateway/block/backend.h)
 *   replace             connections that are replaced
 *   leave, deadline     connections that are left, or condemned in time
 *   send, receive       between the requests and the sockets
 *   connection          a connection's life
 *   settle, patience, stale, batch, wire_request
 *
 * Queue thread only, but for what is _Atomic, and where it says otherwise.
 */
#ifndef GATEWAY_NBD_CLIENT_STATE_H
#define GATEWAY_NBD_CLIENT_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/block/backend.h"
#include "gateway/common/disk_config.h"
#include "gateway/nbd/batch.h"
#include "gateway/nbd/stale.h"
#include "gateway/nbd/wire_request.h"
#include "proto/reply.h"
#include "tls/transport.h"

/* Kinds of completions; the index is the connection's. */
enum { NBD_RING_SEND = RING_BACKEND, NBD_RING_RECEIVE };

/* A block request, and its parts; or, of a connection, a request of its own (FLUSH, DISC). */
struct split {
	struct block_request *request; /* NULL for a connection's own */
	bool active;		       /* from submit until done */
	bool held;		       /* active, but no part is made until replace.h is done */
	uint16_t tag;
	uint16_t parts_count; /* of the current request */
	uint16_t parts_open;  /* parts that are not final, or are SENDING */
	uint32_t generation;  /* goes into cookies: a reply to an older request is not found */
	int error;	      /* the first failure of any part, negative errno; 0 none */
	struct wire_request *parts; /* room for parts_max */
};

/* generation (32 bits) | part (16) | tag (16). A connection's own requests use tags from the depth on. */
static inline uint64_t split_cookie(const struct split *split, uint16_t part)
{
	return wire_cookie(split->generation, part, split->tag);
}

enum connection_state {
	CONNECTION_DEAD,
	CONNECTION_LIVE,
	CONNECTION_RETIRING,
	CONNECTION_CONDEMNED
};

struct nbd_client;

/* One connection: socket, send batch, receive parser, and the wire requests that go over it. Its states
 * are drawn in connection.h. One send and one receive are in flight at most. */
struct connection {
	struct nbd_client *client;
	uint32_t index;			      /* in its client */
	uint32_t file;			      /* its socket, of the ring's registered files */
	_Atomic(enum connection_state) state; /* written by the queue's thread; status reads it */
	struct transport *transport;	      /* owned */
	char peer_text[160];
	char reason[200]; /* why it was condemned; written before state leaves LIVE */

	/* sending: FIFO of QUEUED requests; those SENDING are in the batch's list */
	struct wire_request *waiting_head, *waiting_tail;
	struct wire_request *sending_head, *sending_tail;
	struct batch batch;
	uint8_t *sealed; /* where not direct_tx: the batch as the socket gets it; else NULL */
	uint32_t sealed_bytes;
	bool send_armed;

	/* receiving */
	struct nbd_reply_parser parser;
	uint8_t *staging;
	uint32_t staging_bytes;
	uint8_t *arrived; /* where not direct_rx: the socket's bytes, to be opened; else NULL */
	uint32_t arrived_bytes;
	struct wire_request *direct_request; /* the armed receive goes into its place; else NULL */
	bool receive_armed;
	bool receive_empty; /* the last receive left nothing in the socket, as far as is known */

	/* leaving */
	struct split own;	     /* FLUSH, DISC: one at a time */
	struct wire_request request; /* its only part */
	bool leaving;		     /* DISC was queued: nothing may follow it */

	/* what patience.h and deadline.h go by */
	uint64_t sequence_next;
	uint64_t answered_lowest; /* sequence, of those answered since the last tick */
	int64_t answered_ms;	  /* when the last one was */
	int64_t forgiven_ms;  /* by so much deadlines were moved since then: the longest absence */
	int64_t forgiving_ms; /* by so much this tick moves them */

	_Atomic uint32_t in_flight; /* requests of this connection that are not closed */
	uint64_t in_flight_bytes;   /* lengths of those requests */
};

/* What the clients of all queues of a disk share; constant once they run, but for the two that say so. */
struct nbd_client_shared {
	const struct nbd_export *export;    /* as negotiated at the start */
	_Atomic uint64_t export_size_bytes; /* now: resize raises it */
	uint16_t depth;
	uint16_t parts_max;
	uint32_t max_io_bytes;
	uint32_t timeout_ms;
	bool in_place;	    /* the payload's kind (gateway/block/payload.h) */
	bool fua_always;    /* FUA without FLUSH: every write carries it */
	struct stale stale; /* writes of lost connections; every queue's thread writes it */
};

/* How far replace.h is. */
enum replace_state { REPLACE_NONE, REPLACE_DRAINING, REPLACE_FLUSHING, REPLACE_LEAVING };

/* How far leave.h is. */
enum leave_state { LEAVE_NONE, LEAVE_FLUSHING, LEAVE_DISCONNECTING };

struct nbd_client {
	struct block_backend base;
	struct nbd_client_shared *shared;
	struct nbd_export *export;  /* its copy: its size follows shared->export_size_bytes */
	struct split *splits;	    /* depth of them, by tag */
	struct wire_request *parts; /* depth x parts_max */
	struct connection connections[DISK_CONNECTIONS_MAX];
	uint32_t connections_count;
	uint32_t connections_retiring; /* of them, how many are RETIRING */
	uint32_t connection_next;
	bool wrote; /* something was acknowledged that a FLUSH would make durable */

	enum leave_state leaving;
	struct connection
		*flushing; /* whose own request is the FLUSH that is under way; else NULL */
	_Atomic int
		flush_error; /* positive errno of the last FLUSH; 0 when it was not needed or done */

	/* For client_replace(), one for each connection: incoming is the other threads' before they
	 * ask; outgoing is theirs, to be closed, once replaced is not 0: 1, or negative errno. */
	struct transport *incoming[DISK_CONNECTIONS_MAX];
	struct transport *outgoing[DISK_CONNECTIONS_MAX];
	_Atomic bool replace_asked;
	_Atomic int replaced;
	enum replace_state replacing;
	bool replace_cancelled; /* the disk is being removed by force */
};

static inline struct nbd_client *nbd_client_of(const struct block_backend *backend)
{
	return (struct nbd_client *)backend; /* its first member */
}

/* The split of a tag, also of a connection's own. NULL: there is none. */
static inline struct split *nbd_client_split(struct nbd_client *client, uint32_t tag)
{
	uint32_t depth = client->shared->depth;

	if (tag < depth)
		return &client->splits[tag];
	if (tag - depth < client->connections_count)
		return &client->connections[tag - depth].own;
	return NULL;
}

/* How many there are. */
static inline uint32_t nbd_client_splits(const struct nbd_client *client)
{
	return client->shared->depth + client->connections_count;
}

static inline enum connection_state connection_state(const struct connection *connection)
{
	return atomic_load_explicit(&connection->state, memory_order_relaxed);
}

/* Whether it sends and receives. */
static inline bool connection_works(const struct connection *connection)
{
	enum connection_state state = connection_state(connection);

	return state == CONNECTION_LIVE || state == CONNECTION_RETIRING;
}

/* Whether an operation of it is in the ring, which may use its memory. */
static inline bool connection_is_armed(const struct connection *connection)
{
	return connection->send_armed || connection->receive_armed;
}

static inline void connection_count(struct connection *connection, uint32_t delta)
{
	uint32_t n = atomic_load_explicit(&connection->in_flight, memory_order_relaxed);

	atomic_store_explicit(&connection->in_flight, n + delta, memory_order_relaxed);
}

#endif
