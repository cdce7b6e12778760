/* SPDX-License-Identifier: MIT */
/*
 * loan.h - a wire request that the client of one queue lends to the client of another: its own queue has no
 * connection, and the other one has. The lender's part stays where it is; the carrier sends a request of its own
 * in its place, with the lender's payload, and gives the loan back with the outcome. carry.h has the two sides.
 *
 *   lender:  free --lend--> out --given back--> free
 *   carrier: in its box --begin--> under way --done, or lost--> given back
 *
 * The box has a lock, since two queues' threads meet there. It is taken only where something is lent.
 */
#ifndef GATEWAY_NBD_LOAN_H
#define GATEWAY_NBD_LOAN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "gateway/block/block_request.h"
#include "gateway/block/payload.h"

/* So many of a queue are out at once, and so many are under way for others; what is more waits. */
#define LOANS_MAX 32

struct nbd_client;
struct wire_request;

struct loan {
	struct loan *next;
	struct nbd_client *lender;
	struct wire_request *part;    /* the lender's */
	struct block_request request; /* what the part asks for; its tag is the payload's */
	struct payload *payload;      /* the lender's */
	uint32_t payload_offset_bytes;
	/* The outcome: request.error counts unless it was lost. */
	bool lost; /* it was not answered: the lender places it again */
	bool sent; /* and the server may have carried it out, or will */
	uint8_t losses;
};

/* What other queues leave for a client. */
struct loan_box {
	pthread_mutex_t lock;
	struct loan *to_carry, *to_carry_last;
	struct loan *given_back, *given_back_last;
	bool closed; /* the client carries nothing any more */
	_Atomic bool filled;
};

void loan_box_open(struct loan_box *box);
/* false: the box is closed. */
bool loan_leave(struct loan_box *box, struct loan *loan);
void loan_give_back(struct loan_box *box, struct loan *loan);
/* All that is there, linked by next, in order; NULL: nothing. */
struct loan *loan_take_to_carry(struct loan_box *box);
struct loan *loan_take_given_back(struct loan_box *box);
/* Nothing is left there any more. What was: linked by next. */
struct loan *loan_box_close(struct loan_box *box);

/* Whether something was left since the last call. Any thread. */
static inline bool loan_box_was_filled(struct loan_box *box)
{
	return atomic_load_explicit(&box->filled, memory_order_relaxed) &&
	       atomic_exchange(&box->filled, false);
}

#endif
