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
/* Closes a FLUSH that was not sent, because nothing is left to be flushed. */
void settle_part_needless(struct nbd_client *client, struct wire_request *request);
/* Closes a part that another queue carried, with the outcome. */
void settle_part_carried(struct nbd_client *client, struct wire_request *request, int error);
/* Closes a part that was lost and may not wait. It is on no connection. */
void settle_part_lost(struct nbd_client *client, struct wire_request *request);
/* A loan goes back to whose it is; its outcome is in it. */
void settle_give_back(struct nbd_client *client, struct loan *loan);
/* The connection is about to be DEAD. A part whose whole answer came keeps it. Each other waits for another connection
 * (waiting.h), or fails where none is waited for. Nobody knows what the server did with it: newer writes to the
 * same place are held (holds.h). */
void settle_connection(struct connection *connection);

#endif
