/* SPDX-License-Identifier: MIT */
/*
 * settle.h - the end of wire requests: each part is closed once, and with the last one its block request
 * is done. Queue thread only.
 */
#ifndef GATEWAY_NBD_SETTLE_H
#define GATEWAY_NBD_SETTLE_H

#include "gateway/nbd/client_state.h"

/* The part is SENT, and its reply is final (a DISC has none): closes it with the server's result. */
void settle_part(struct nbd_client *client, struct wire_request *request);
/* Ends a part that is not closed with an error of our own: EIO (proto/error.h). It is in no list. */
void settle_part_failed(struct nbd_client *client, struct wire_request *request);
/* The connection became DEAD: ends what is still open on it. A part whose whole answer came keeps it; each
 * other fails, because nobody knows what the server did with it. */
void settle_connection(struct connection *connection);

#endif
