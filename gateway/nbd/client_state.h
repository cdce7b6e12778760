/* SPDX-License-Identifier: MIT */
/*
 * client_state.h - all that the server's side of a queue knows: its connections, and of each block request
 * the wire requests it was split into. What is done with it is in the files beside this one; each includes
 * those below it, and none above:
 *
 *   client              what the queue's thread calls (gateway/block/backend.h)
 *   carry               requests of a queue that has no connection, on another's
 *   replace, join       connections that are replaced, and that come back
 *   leave, deadline     connections that are left, or condemned in time
 *   send, receive       between the requests and the sockets
 *   connection          a connection's life
 *   settle              the end of wire requests
 *   waiting             requests that no connection has
 *   server_link         whether the disk has its server
 *   patience, holds, loan, batch, wire_request
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
#include "gateway/nbd/holds.h"
#include "gateway/nbd/loan.h"
#include "gateway/nbd/server_link.h"
#include "gateway/nbd/wire_request.h"
#include "proto/reply.h"
#include "tls/transport.h"

/* Kinds of completions; the index is the connection's. */
enum { NBD_RING_SEND = RING_BACKEND, NBD_RING_RECEIVE };

/* A block request, and its parts; or, of a connection, a request of its own (FLUSH, DISC). */
struct split {
	struct block_request *request; /* NULL for a connection's own */
	struct loan *loan;	       /* of a part that is carried for another queue; else NULL */
	bool active;		       /* from submit until done */
	bool held;		       /* active, but no part is made until replace.h is done */
	uint16_t tag;
	uint16_t parts_count; /* of the current request */
	uint16_t parts_open;  /* parts that are not final, or are SENDING */
	uint32_t generation;  /* goes into cookies: a reply to an older request is not found */
	int error;	      /* the first failure of any part, negative errno; 0 none */
	uint64_t flush_mark;  /* of a FLUSH: server_link_flush_mark() */
	struct wire_request *parts; /* room for parts_max */
};

/* generation (32 bits) | part (16) | tag (16). A connection's own requests use tags from the depth on, and what is
 * carried for others those behind. */
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
	bool fell_silent;	     /* it was condemned because an answer was overdue */
	uint32_t answers;	     /* final replies since it was made */

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
	_Atomic uint32_t timeout_ms; /* the main thread may change it (set) */
	/* Quiet times (holds.h), of a loss where the peer ended the connection, and of one that fell silent. */
	uint32_t quiet_closed_ms;
	_Atomic uint32_t quiet_silent_ms;
	bool in_place;	    /* the payload's kind (gateway/block/payload.h) */
	bool fua_always;    /* FUA without FLUSH: every write carries it */
	struct holds holds; /* writes of lost connections; every queue's thread writes it */
	/* All clients of the disk, by queue; 0: there is one. They are woken for loans (carry.h). */
	struct nbd_client *clients[DISK_CONNECTIONS_MAX];
	uint32_t clients_count;
	void (*wake)(void *context, uint32_t queue_id);
	void *wake_context;
	struct server_link link;
};

/* How far replace.h is. */
enum replace_state { REPLACE_NONE, REPLACE_DRAINING, REPLACE_FLUSHING, REPLACE_LEAVING };

/* A connection that main has dialled for a place whose own is DEAD; see join.h. */
enum join_state {
	JOIN_NONE,
	JOIN_ASKED, /* joining is the queue's */
	JOIN_TAKEN, /* the connection has it; outgoing is the former transport, the main thread's to close */
	JOIN_REFUSED, /* joining is the main thread's again */
};

/* A FLUSH of the client's own that shows whether the server lives; see join.h. */
enum probe_state { PROBE_NONE, PROBE_ASKED, PROBE_SENT, PROBE_ANSWERED, PROBE_FAILED };

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

	/* Parts of active requests that are on no connection (waiting.h); by their next. */
	struct wire_request *parked_head, *parked_tail;
	_Atomic uint32_t parked_count;
	_Atomic int64_t parked_since_ms; /* when the list was last empty */
	bool parked_look;		 /* something has changed for them */
	uint32_t timeout_ms;		 /* shared->timeout_ms, as far as was seen */
	bool giving_up; /* the disk is being removed by force: nothing waits any more */

	enum leave_state leaving;
	struct connection
		*flushing; /* whose own request is the FLUSH that is under way; else NULL */
	_Atomic int
		flush_error; /* positive errno of the last FLUSH; 0 when it was not needed or done */

	/* carry.h: what this queue lent to others, what others left here, and what is under way for them. */
	struct loan loans[LOANS_MAX];
	struct loan_box box;
	struct split carried[LOANS_MAX];
	struct wire_request carried_parts[LOANS_MAX];
	uint32_t carrying; /* how many of them are under way */

	/* For client_replace(), one for each connection: incoming is the other threads' before they
	 * ask; outgoing is theirs, to be closed, once replaced is not 0: 1, or negative errno. */
	struct transport *incoming[DISK_CONNECTIONS_MAX];
	struct transport *outgoing[DISK_CONNECTIONS_MAX];
	_Atomic bool replace_asked;
	_Atomic int replaced;
	enum replace_state replacing;
	bool replace_cancelled; /* the disk is being removed by force */

	/* For join.h; the transports belong to the main thread but where the state says otherwise. */
	struct transport *joining[DISK_CONNECTIONS_MAX];
	_Atomic(enum join_state) joins[DISK_CONNECTIONS_MAX];
	_Atomic(enum probe_state) probe;
	struct connection *probing; /* whose own request it is */
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
	if (tag - depth - client->connections_count < LOANS_MAX)
		return &client->carried[tag - depth - client->connections_count];
	return NULL;
}

/* Where a wire request's bytes are: the payload, and the tag that names it there. */
static inline struct payload *nbd_client_payload(struct nbd_client *client,
						 const struct wire_request *request, uint16_t *tag)
{
	const struct loan *loan = NULL;

	*tag = request->tag;
	if (request->tag >= client->shared->depth)
		loan = nbd_client_split(client, request->tag)->loan;
	if (!loan)
		return client->base.payload;
	*tag = loan->request.tag;
	return loan->payload;
}

/* How many there are. */
static inline uint32_t nbd_client_splits(const struct nbd_client *client)
{
	return client->shared->depth + client->connections_count + LOANS_MAX;
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
