/* SPDX-License-Identifier: MIT */
/*
 * wire_request.h - one NBD request on its way: a part of a block request, or a connection's own.
 *
 *   tx:  IDLE -> QUEUED -> SENDING -> SENT -> IDLE (once all parts are closed)
 *        QUEUED -> IDLE                  (its connection is gone)
 *        SENDING|SENT -> IDLE            (its connection is gone and drained)
 *
 * A part that is IDLE, and not closed, waits for another connection (waiting.h).
 *   rx:  proto/request.h
 *
 * tx and rx are apart because a reply may come before the send that carried its request has completed.
 * A block request is done only when each part's rx is final and no part is SENDING: an operation of the
 * ring may refer to its memory until then.
 *
 * What wakes a request: replies, the tick, which condemns its connection at its deadline, and the send's
 * completion, which a condemned connection forces.
 */
#ifndef GATEWAY_NBD_WIRE_REQUEST_H
#define GATEWAY_NBD_WIRE_REQUEST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/request.h"

enum tx_state { TX_IDLE, TX_QUEUED, TX_SENDING, TX_SENT };

struct connection;

struct wire_request {
	struct nbd_request nbd;
	enum tx_state tx;
	uint16_t tag;
	uint16_t part;
	uint32_t payload_offset_bytes; /* where the part begins in its block request's payload */
	struct connection *connection; /* whose queue it is in or was sent on; NULL when idle */
	uint64_t sequence;	       /* on that connection: what was enqueued before has less */
	int64_t deadline_ms;	       /* CLOCK_MONOTONIC; moves on as deadline.h says */
	int64_t deadline_last_ms;      /* but never past this */
	uint8_t reading_ticks;	       /* since it was due: there was still something to read */
	uint8_t losses;		       /* connections that were lost while it may have been why */
	bool sent_before; /* on a connection that was lost: the server may carry it out twice */
	uint32_t answers_before;   /* of its connection, when it was sent */
	struct wire_request *next; /* in that connection's send queue or batch, or parked */
};

/* Checked: any other move is a mistake of our own, and ends the program. */
static inline void wire_request_move_tx(struct wire_request *request, enum tx_state to)
{
	static const uint8_t legal[] = {
		[TX_IDLE] = 1u << TX_QUEUED,
		[TX_QUEUED] = 1u << TX_SENDING | 1u << TX_IDLE,
		[TX_SENDING] = 1u << TX_SENT | 1u << TX_IDLE,
		[TX_SENT] = 1u << TX_IDLE,
	};

	assert(legal[request->tx] & 1u << to);
	request->tx = to;
}

static inline struct wire_request *wire_request_of(struct nbd_request *nbd)
{
	return (struct wire_request *)((char *)nbd - offsetof(struct wire_request, nbd));
}

/* Whether the server may answer this request now. */
static inline bool wire_request_awaits_reply(const struct wire_request *request)
{
	return (request->tx == TX_SENDING || request->tx == TX_SENT) &&
	       (request->nbd.rx == NBD_RX_WAITING || request->nbd.rx == NBD_RX_PARTIAL);
}

/* Whether it still waits for the connection: queued, in its batch, or sent and not answered. */
static inline bool wire_request_is_open_on(const struct wire_request *request,
					   const struct connection *connection)
{
	if (request->connection != connection || request->tx == TX_IDLE)
		return false;
	return request->tx != TX_SENT || request->nbd.rx != NBD_RX_FINAL;
}

static inline bool wire_request_changes_export(const struct wire_request *request)
{
	return request->nbd.command == NBD_CMD_WRITE || request->nbd.command == NBD_CMD_TRIM ||
	       request->nbd.command == NBD_CMD_WRITE_ZEROES;
}

/* --- cookies ------------------------------------------------------------------------------------ */

static inline uint64_t wire_cookie(uint32_t generation, uint16_t part, uint16_t tag)
{
	return (uint64_t)generation << 32 | (uint64_t)part << 16 | tag;
}

static inline uint16_t wire_cookie_tag(uint64_t cookie)
{
	return (uint16_t)cookie;
}

static inline uint16_t wire_cookie_part(uint64_t cookie)
{
	return (uint16_t)(cookie >> 16);
}

#endif
