/* SPDX-License-Identifier: MIT */
/*
 * patience.h - how long each wire request may wait for its answer, written down when it is enqueued and
 * when another one is answered. deadline.h looks at it.
 */
#ifndef GATEWAY_NBD_PATIENCE_H
#define GATEWAY_NBD_PATIENCE_H

#include <stdint.h>

#include "gateway/nbd/client_state.h"

/* FLUSH, TRIM and WRITE_ZEROES may keep a server busy for long: their time is so many times --timeout. */
#define PATIENCE_SLOW_FACTOR 4
/* However often a request's time begins anew, it ends after so many times its time. */
#define PATIENCE_QUEUE_FACTOR 8

static inline int64_t patience_ms(const struct nbd_client_shared *shared, uint16_t command)
{
	bool slow = command == NBD_CMD_FLUSH || command == NBD_CMD_TRIM ||
		    command == NBD_CMD_WRITE_ZEROES;

	return (int64_t)atomic_load_explicit(&shared->timeout_ms, memory_order_relaxed) *
	       (slow ? PATIENCE_SLOW_FACTOR : 1);
}

/* Its time begins now. */
static inline void patience_begin(const struct nbd_client *client, struct wire_request *request)
{
	int64_t ms = patience_ms(client->shared, request->nbd.command);

	request->deadline_ms = client->base.now_ms + ms;
	request->deadline_last_ms = client->base.now_ms + ms * PATIENCE_QUEUE_FACTOR;
	request->reading_ticks = 0;
}

/* It was answered: what was sent after it is not kept waiting by it any more. */
static inline void patience_answered(struct connection *connection,
				     const struct wire_request *request)
{
	if (request->sequence < connection->answered_lowest)
		connection->answered_lowest = request->sequence;
	connection->answered_ms = connection->client->base.now_ms;
	connection->forgiven_ms = 0;
}

#endif
