/* SPDX-License-Identifier: MIT */
/*
 * connection.h - one connection of a queue: socket, send batch, receive parser, and the wire
 * requests that go over it.
 *
 *   DEAD --connection_open(), connection_replace()--> LIVE
 *   LIVE --condemned (error, deadline, protocol breach)--> CONDEMNED --every SQE back--> DEAD
 *   LIVE --the server shuts down--> RETIRING --all answered, DISC sent; or condemned--> CONDEMNED
 *
 * RETIRING: the server answered a request with ESHUTDOWN, which asks for a soft disconnect (NBD
 * protocol, "Terminating the transmission phase"). It gets no new requests, answers those it has,
 * whose deadlines go on, and then leave.c sends DISC.
 * CONDEMNED: the socket is shut down and its SQEs are cancelled; nothing is ended or requeued yet,
 * since an SQE may still refer to a request's memory. DEAD: what had no final reply was ended with
 * an error (here a later version requeues it to a new connection); the object waits to be freed
 * with its queue.
 *
 * One send SQE and one receive SQE are in flight at most. Queue thread only.
 */
#ifndef GATEWAY_DISK_CONNECTION_H
#define GATEWAY_DISK_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/disk/batch.h"
#include "gateway/disk/slot.h"
#include "proto/reply.h"
#include "tls/transport.h"

#define CONNECTION_DAMAGED_TEXT                                                                    \
	"what arrived is no valid TLS record: damaged, forged or out of order"

enum connection_state {
	CONNECTION_DEAD,
	CONNECTION_LIVE,
	CONNECTION_RETIRING,
	CONNECTION_CONDEMNED
};

struct queue;

struct connection {
	struct queue *queue;
	uint32_t index;			      /* in its queue: the SQEs' index */
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
	bool send_was_slow; /* the last send did not complete in the turn that submitted it */
	uint32_t send_turn; /* the queue's turn that armed it */

	/* receiving */
	struct nbd_reply_parser parser;
	uint8_t *staging;
	uint32_t staging_bytes;
	uint8_t *arrived; /* where not direct_rx: the socket's bytes, to be opened; else NULL */
	uint32_t arrived_bytes;
	struct wire_request *direct_request; /* the armed receive goes into its place; else NULL */
	bool receive_armed;
	bool receive_empty; /* the last receive left nothing in the socket, as far as is known */
	bool leaving;	    /* DISC was queued: nothing may follow it */

	/* what deadline.c goes by */
	uint64_t sequence_next;
	uint64_t answered_lowest; /* sequence, of those answered since the last tick */
	int64_t answered_ms;	  /* when the last one was */
	int64_t forgiven_ms;  /* by so much deadlines were moved since then: the longest absence */
	int64_t forgiving_ms; /* by so much this tick moves them */

	_Atomic uint32_t in_flight; /* requests of this connection that are not closed */
	uint64_t in_flight_bytes;   /* lengths of those requests */
};

struct queue_shared;

/* What connection_open() takes of memory at most. */
uint64_t connection_memory_bytes_max(const struct queue_shared *shared);
/* Takes over transport in every case. 0 or -errno. */
int connection_open(struct connection *connection, struct queue *queue, uint32_t index,
		    struct transport *transport);
/* Whether a connection, whose buffers are made for one kind of transport, could go on with this one, which
 * was detached. Any thread, while nobody replaces it. */
bool connection_fits(const struct connection *connection, const struct transport *transport);
/* A DEAD connection goes on with another transport, which it takes over: one that was detached, fits, and is
 * registered with the ring as file. Nothing is refused here any more. The former is the caller's. */
void connection_replace(struct connection *connection, struct transport *transport, uint32_t file);
/* Whether an SQE of it is in flight, which may use its memory. */
static inline bool connection_is_armed(const struct connection *connection)
{
	return connection->send_armed || connection->receive_armed;
}

/* Closes the socket, and gives the memory back unless it is armed. Safe on a zeroed connection. */
void connection_close(struct connection *connection);

/* Puts a request (IDLE) at the end of the send queue. Only while LIVE, or DISC while RETIRING. */
void connection_enqueue(struct connection *connection, struct wire_request *request);

/* All moves of its state are made here, and checked. Those below make them; no one else calls it. */
void connection_move(struct connection *connection, enum connection_state to);
/* The server shuts down: LIVE becomes RETIRING; else nothing. */
void connection_retire(struct connection *connection);
/* Gives the connection up: error is a positive errno or 0, the format says what happened. Does
 * nothing when it does not work any more. Whoever calls must not touch its requests afterwards. */
void connection_condemn(struct connection *connection, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends it in good order, after DISC has left: the same, without a word. */
void connection_leave(struct connection *connection);
/* A socket with kernel TLS says that what arrived is damaged to whoever asks first: a send, too. */
bool connection_met_damage(const struct connection *connection, int result);
/* Called whenever an SQE of a condemned connection came back: makes it DEAD when it was the last. */
void connection_drain(struct connection *connection);

static inline void connection_count(struct connection *connection, uint32_t delta)
{
	uint32_t n = atomic_load_explicit(&connection->in_flight, memory_order_relaxed);

	atomic_store_explicit(&connection->in_flight, n + delta, memory_order_relaxed);
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

/* send.c: starts a send when none is in flight and something waits. */
void send_kick(struct connection *connection);
void send_completed(struct connection *connection, int result);

/* deadline.c: what was sent after this request is not kept waiting by it any more. */
void deadline_answered(struct connection *connection, const struct wire_request *request);

/* receive.c: keeps one receive armed. */
void receive_arm(struct connection *connection);
void receive_completed(struct connection *connection, int result, uint32_t cqe_flags);

#endif
