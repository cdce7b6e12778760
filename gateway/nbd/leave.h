/* SPDX-License-Identifier: MIT */
/*
 * leave.h - how connections are left in good order: DISC on each, after which nothing may follow. At the end
 * of a queue a FLUSH comes before; a connection whose server shuts down leaves by itself.
 *
 *   NONE -> FLUSHING -> DISCONNECTING
 *
 * Queue thread only.
 */
#ifndef GATEWAY_NBD_LEAVE_H
#define GATEWAY_NBD_LEAVE_H

#include "gateway/nbd/client_state.h"

/* The queue's end: moves on, and returns true once no connection is left. flush_error tells of the FLUSH. */
bool leave_all(struct nbd_client *client);
/* Sends DISC on RETIRING connections that owe no answer any more, and ends those where it has left. */
void leave_retiring(struct nbd_client *client);
/* Sends DISC on each connection that works, and ends those where it has left. True when none is left. */
bool leave_connections(struct nbd_client *client);
/* A FLUSH on one of the connections, where the server takes it and something was written. 0, or -EIO: no
 * connection is left. Over when leave_is_flushing() is false. */
int leave_begin_flush(struct nbd_client *client);
bool leave_is_flushing(const struct nbd_client *client);
/* How the last one ended: 0 or a negative errno. */
int leave_flush_result(const struct nbd_client *client);

#endif
