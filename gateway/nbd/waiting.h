/* SPDX-License-Identifier: MIT */
/*
 * waiting.h - parts of active requests that no connection has: the disk has lost its server, or an older write
 * to the same place may still take effect (holds.h). They wait in their slots, in the order in which they came
 * here; client.h looks at them again when something has changed. They have no deadline of their own: what ends
 * the wait is a connection, --dead-timeout (server_link.h), or the removal of the disk.
 *
 * Queue thread only.
 */
#ifndef GATEWAY_NBD_WAITING_H
#define GATEWAY_NBD_WAITING_H

#include "gateway/nbd/client_state.h"

/* A request is failed after so many connections that were lost while it was on them, perhaps because of it. */
#define WAITING_LOSSES_MAX 8

/* Whether a part without a connection may wait for one; else it fails. */
bool waiting_is_allowed(const struct nbd_client *client);
/* A part is failed because the server is lost. Whoever is told may go on elsewhere, with what was not written or
 * not flushed here: from now on each FLUSH fails. */
void waiting_note_failure(struct nbd_client *client, const struct wire_request *request);
/* The part is IDLE, and on no connection. */
void waiting_add(struct nbd_client *client, struct wire_request *request);
/* Takes all of them out, linked by next; NULL: there is none. */
struct wire_request *waiting_take_all(struct nbd_client *client);

static inline bool waiting_is_empty(const struct nbd_client *client)
{
	return client->parked_head == NULL;
}

#endif
