/* SPDX-License-Identifier: MIT */
/*
 * replace.h - new connections in place of a live queue's: a server shows an export's new size to new
 * connections only.
 *
 *   NONE -> DRAINING -> FLUSHING -> LEAVING -> NONE
 *
 * Requests that come meanwhile are held. What is under way is answered first, then flushed, since
 * only where the server promises CAN_MULTI_CONN does a later FLUSH cover what another connection
 * wrote; then each old connection is left in good order, and the new ones take the places.
 *
 * What can be refused is refused before the first old connection is left: the server's terms and the kind of
 * transport by whoever dialled (gateway/disk/resize.c), the ring's place for the socket and a connection
 * that has ended since by this. Queue thread only.
 */
#ifndef GATEWAY_NBD_REPLACE_H
#define GATEWAY_NBD_REPLACE_H

#include "gateway/nbd/client_state.h"

/* Another thread has filled incoming. */
void replace_begin(struct nbd_client *client);
/* Moves on, once each turn; when it is over, replaced is set and what was held is to be submitted. */
void replace_advance(struct nbd_client *client);

#endif
