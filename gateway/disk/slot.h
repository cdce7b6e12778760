/* SPDX-License-Identifier: MIT */
/*
 * slot.h - the state of one tag: a block request, and the wire requests (parts) it was split into.
 *
 *   slot:     PARKED --request arrives--> ACTIVE --commit--> PARKED
 *             PARKED --driver aborts----> ENDED
 *   tx of a part:  IDLE -> QUEUED -> SENDING -> SENT -> IDLE (at commit)
 *                  QUEUED -> IDLE                  (its connection is gone: ended)
 *                  SENDING|SENT -> QUEUED | IDLE   (its connection is gone and drained: requeued | ended)
 *   rx of a part:  proto/request.h
 *
 * tx and rx are apart because a reply may come before the send that carried its request has
 * completed. A slot is committed only when each part's rx is final and no part is SENDING: an
 * SQE may refer to its memory until then.
 *
 * What wakes a state: PARKED - the driver's completion; ACTIVE - replies, and the queue's tick,
 * which condemns the connection at the slot's deadline; SENDING - the send's completion, which a
 * condemned connection forces. ENDED is final.
 */
#ifndef GATEWAY_DISK_SLOT_H
#define GATEWAY_DISK_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/request.h"

enum slot_state { SLOT_PARKED, SLOT_ACTIVE, SLOT_ENDED };

enum tx_state { TX_IDLE, TX_QUEUED, TX_SENDING, TX_SENT };

struct connection;

/* One NBD request: a part of a slot, or one of the queue's own (FLUSH at the end). */
struct wire_request {
	struct nbd_request nbd;
	enum tx_state tx;
	uint16_t tag;
	uint16_t part;
	uint32_t slot_offset_bytes;    /* where the part begins in the block request */
	struct connection *connection; /* whose queue it is in or was sent on; NULL when idle */
	uint64_t sequence;	       /* on that connection: what was enqueued before has less */
	int64_t deadline_ms;	       /* CLOCK_MONOTONIC; moves on as deadline.c says */
	int64_t deadline_last_ms;      /* but never past this */
	uint8_t reading_ticks;	       /* since it was due: there was still something to read */
	struct wire_request *next;     /* in that connection's send queue or batch */
};

struct slot {
	enum slot_state state;
	bool held; /* ACTIVE, but not dispatched until replace.c is done */
	uint16_t tag;
	uint16_t parts_count; /* of the current request */
	uint16_t parts_open;  /* parts that are not final, or are SENDING */
	uint32_t generation;  /* goes into cookies: a reply to an older request is not found */
	uint8_t op;	      /* UBLK_IO_OP_* */
	uint32_t length_bytes;
	int error;		    /* the first failure of any part, negative errno; 0 none */
	struct wire_request *parts; /* room for the device's parts maximum */
};

void slot_move(struct slot *slot, enum slot_state to);
void wire_request_move_tx(struct wire_request *request, enum tx_state to);

/* generation (32 bits) | part (16) | tag (16). A queue's own requests use a tag beyond its depth. */
static inline uint64_t slot_cookie(const struct slot *slot, uint16_t part)
{
	return (uint64_t)slot->generation << 32 | (uint64_t)part << 16 | slot->tag;
}

static inline uint16_t cookie_tag(uint64_t cookie)
{
	return (uint16_t)cookie;
}

static inline uint16_t cookie_part(uint64_t cookie)
{
	return (uint16_t)(cookie >> 16);
}

/* Whether the server may answer this request now. */
static inline bool wire_request_awaits_reply(const struct wire_request *request)
{
	return (request->tx == TX_SENDING || request->tx == TX_SENT) &&
	       (request->nbd.rx == NBD_RX_WAITING || request->nbd.rx == NBD_RX_PARTIAL);
}

#endif
