/* SPDX-License-Identifier: MIT */
/*
 * patience.h - how long each wire request may wait for its answer, written down when it is enqueued and
 * when another one is answered. deadline.h looks at it.
 */
#ifndef GATEWAY_NBD_PATIENCE_H
#define GATEWAY_NBD_PATIENCE_H

#include <stdint.h>

#include "gateway/nbd/client_state.h"

/* However often a request's time begins anew, it ends after so many times its time. */
#define PATIENCE_QUEUE_FACTOR 8

/* FLUSH, TRIM and WRITE_ZEROES have several times --timeout: they may keep a server busy for long. */
int64_t patience_ms(const struct nbd_client_shared *shared, uint16_t command);
/* Its time begins now. */
void patience_begin(const struct nbd_client *client, struct wire_request *request);
/* It was answered: what was sent after it is not kept waiting by it any more. */
void patience_answered(struct connection *connection, const struct wire_request *request);

#endif
