/* SPDX-License-Identifier: MIT */
/*
 * client.h - the server's side of a queue: a backend (gateway/block/backend.h) that serves block requests
 * with NBD requests over one or several connections.
 *
 * A request is split into parts where it is larger than the server's largest payload; each part is enqueued
 * on a connection, and leaves with the turn's send. The parser finds it again by its cookie.
 */
#ifndef GATEWAY_NBD_CLIENT_H
#define GATEWAY_NBD_CLIENT_H

#include "gateway/nbd/client_state.h"

/* What nbd_client_open() takes of memory, beside its connections' (connection.h). */
uint64_t nbd_client_memory_bytes(const struct nbd_client_shared *shared);
/* Takes over each transport, also on failure. 0 or -errno; nbd_client_close() is due in every case. The
 * thread that makes the queue. */
int nbd_client_open(struct nbd_client *client, struct nbd_client_shared *shared,
		    struct transport **transports, uint32_t transports_count);
/* Gives back all but memory that the ring still has (base.ops->holds_memory()). The queue's thread has ended. */
void nbd_client_close(struct nbd_client *client);

/* Another thread: incoming is filled. The queue must be woken afterwards. */
void nbd_client_ask_replace(struct nbd_client *client);

/* Fills in command, flags, offset and length of each part, and parts_count; cookies are the caller's. READ and
 * WRITE are split at the server's largest payload. 0, or -EIO: more parts than parts_max. Pure. */
int nbd_client_split_request(struct split *split, const struct nbd_client_shared *shared);

#endif
