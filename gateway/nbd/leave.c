/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/leave.h"

#include <errno.h>

#include "gateway/nbd/connection.h"
#include "gateway/nbd/send.h"

/* --- FLUSH -------------------------------------------------------------------------------------- */

int leave_begin_flush(struct nbd_client *client)
{
	struct connection *connection = connection_pick(client, 0);

	client->flushing = NULL;
	if (client->wrote && client->shared->export->flags & NBD_FLAG_SEND_FLUSH && connection) {
		client->flushing = connection;
		send_own(connection, NBD_CMD_FLUSH);
	}
	return connection ? 0 : -EIO;
}

bool leave_is_flushing(const struct nbd_client *client)
{
	return client->flushing && client->flushing->own.active;
}

int leave_flush_result(const struct nbd_client *client)
{
	return client->flushing ? client->flushing->own.error : 0;
}

/* --- DISC --------------------------------------------------------------------------------------- */

/* Sends DISC, then ends the connection. One that has a request of its own under way is left later. */
static void leave_one(struct connection *connection)
{
	if (!connection_works(connection) || connection->own.active)
		return;
	if (connection->leaving) {
		connection_leave(connection);
	} else {
		connection->leaving = true;
		send_own(connection, NBD_CMD_DISC);
	}
}

bool leave_connections(struct nbd_client *client)
{
	bool all_dead = true;

	for (uint32_t i = 0; i < client->connections_count; i++) {
		leave_one(&client->connections[i]);
		if (connection_state(&client->connections[i]) != CONNECTION_DEAD)
			all_dead = false;
	}
	return all_dead;
}

void leave_retiring(struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++) {
		struct connection *connection = &client->connections[i];

		if (connection_state(connection) == CONNECTION_RETIRING &&
		    connection->in_flight == 0)
			leave_one(connection);
	}
}

/* --- the queue's end ----------------------------------------------------------------------------- */

static void start_flushing(struct nbd_client *client)
{
	int ret = leave_begin_flush(client);

	client->leaving = LEAVE_FLUSHING;
	/* What may be lost already is not made durable by another FLUSH. */
	if (client->wrote && atomic_load(&client->shared->link.flush_fails))
		atomic_store(&client->flush_error, EIO);
	if (ret == 0 || !client->wrote || !(client->shared->export->flags & NBD_FLAG_SEND_FLUSH))
		return;
	/* Another queue's FLUSH may have covered all that this one wrote. */
	if (client->shared->link.counts_unflushed &&
	    server_link_unflushed(&client->shared->link) == 0)
		return;
	connection_note_cut_off(client);
	atomic_store(&client->flush_error, EIO);
}

bool leave_all(struct nbd_client *client)
{
	if (client->probing)
		return false; /* its connection's own request is under way (join.h) */
	if (client->leaving == LEAVE_NONE)
		start_flushing(client);
	if (client->leaving == LEAVE_FLUSHING && !leave_is_flushing(client)) {
		int error = leave_flush_result(client);

		if (error)
			atomic_store(&client->flush_error, -error);
		client->leaving = LEAVE_DISCONNECTING;
	}
	return client->leaving == LEAVE_DISCONNECTING && leave_connections(client);
}
