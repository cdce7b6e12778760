/* SPDX-License-Identifier: MIT */
/*
 * join.h - a new connection for a place whose own is DEAD, dialled by the main thread
 * (gateway/disk/reconnect.h), and the FLUSH that shows on an older connection whether its server still lives.
 *
 *   joins[i]:  NONE --the main thread fills joining[i]--> ASKED --> TAKEN | REFUSED --the main thread--> NONE
 *   probe:     NONE --the main thread--> ASKED --> SENT --> ANSWERED | FAILED --the main thread--> NONE
 *
 * Queue thread only, but where it says otherwise.
 */
#ifndef GATEWAY_NBD_JOIN_H
#define GATEWAY_NBD_JOIN_H

#include "gateway/nbd/client_state.h"

/* --- a transport takes a place, also for replace.h ------------------------------------------------------ */

/* Registers the transport's socket with the ring, beside the one that the place has. Refuses one that has ended
 * since. 0 or -errno: nothing has changed. */
int join_prepare(struct nbd_client *client, uint32_t index, const struct transport *transport);
void join_unprepare(struct nbd_client *client, uint32_t index);
/* The DEAD connection goes on with the transport that was prepared; the former goes to outgoing. */
void join_take_place(struct nbd_client *client, uint32_t index, struct transport *transport);

/* --- what the main thread asks for ---------------------------------------------------------------------- */

/* Another thread: joining[index] is filled, and detached. The queue must be woken afterwards. */
void join_ask(struct nbd_client *client, uint32_t index);
/* Another thread: the same of the FLUSH. */
void join_ask_probe(struct nbd_client *client);
/* Looks at what was asked for, and how far the FLUSH is; each turn. */
void join_look(struct nbd_client *client, bool asked);
/* Parts wait for a quiet time that has not begun, since nothing is under way that the server could answer:
 * gives it something. At a tick. */
void join_seek_life(struct nbd_client *client);

#endif
