/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/join.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/send.h"

/* --- a transport takes a place ---------------------------------------------------------------------- */

static uint32_t spare_file(const struct connection *connection)
{
	uint32_t first = connection_file_of(connection->index);

	return connection->file == first ? first + 1 : first;
}

static int register_file(struct nbd_client *client, uint32_t file, int fd)
{
	int ret = io_uring_register_files_update(client->base.ring, file, &fd, 1);

	return ret < 0 ? ret : 0;
}

static void forget_file(struct nbd_client *client, uint32_t file)
{
	int ret = register_file(client, file, -1);

	if (ret < 0)
		log_warning("queue %u: the ring keeps a socket that was replaced: %s",
			    client->base.queue_id, strerror(-ret));
}

static bool has_ended(const struct transport *transport)
{
	struct pollfd fd = { .fd = transport->fd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0;
}

int join_prepare(struct nbd_client *client, uint32_t index, const struct transport *transport)
{
	if (has_ended(transport))
		return -ECONNRESET;
	return register_file(client, spare_file(&client->connections[index]), transport->fd);
}

void join_unprepare(struct nbd_client *client, uint32_t index)
{
	forget_file(client, spare_file(&client->connections[index]));
}

void join_take_place(struct nbd_client *client, uint32_t index, struct transport *transport)
{
	struct connection *connection = &client->connections[index];
	uint32_t former = connection->file;

	client->outgoing[index] = connection->transport;
	connection_replace(connection, transport, spare_file(connection));
	forget_file(client, former);
	client->parked_look = true;
}

/* --- a connection comes back ------------------------------------------------------------------------ */

void join_ask(struct nbd_client *client, uint32_t index)
{
	atomic_store(&client->joins[index], JOIN_ASKED);
}

static void join(struct nbd_client *client, uint32_t index)
{
	struct transport *transport = client->joining[index];
	enum join_state answer = JOIN_REFUSED;

	if (connection_state(&client->connections[index]) == CONNECTION_DEAD &&
	    client->leaving == LEAVE_NONE && !client->giving_up &&
	    join_prepare(client, index, transport) == 0) {
		client->joining[index] = NULL;
		join_take_place(client, index, transport);
		answer = JOIN_TAKEN;
	}
	atomic_store(&client->joins[index], answer);
	server_link_changed(&client->shared->link);
}

/* --- the FLUSH -------------------------------------------------------------------------------------- */

void join_ask_probe(struct nbd_client *client)
{
	atomic_store(&client->probe, PROBE_ASKED);
}

static void send_probe(struct nbd_client *client, struct connection *connection)
{
	client->probing = connection;
	connection->own.flush_mark = server_link_flush_mark(&client->shared->link);
	send_own(connection, NBD_CMD_FLUSH);
	atomic_store(&client->probe, PROBE_SENT);
}

static struct connection *idle_own(struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++) {
		struct connection *connection = &client->connections[i];

		if (connection_state(connection) == CONNECTION_LIVE && !connection->own.active)
			return connection;
	}
	return NULL;
}

static void begin_probe(struct nbd_client *client)
{
	struct connection *connection = idle_own(client);

	if (connection && client->leaving == LEAVE_NONE && client->replacing == REPLACE_NONE) {
		send_probe(client, connection);
		return;
	}
	atomic_store(&client->probe, PROBE_FAILED);
	server_link_notify(&client->shared->link);
}

static void end_probe(struct nbd_client *client)
{
	const struct split *own = &client->probing->own;

	client->probing = NULL;
	if (!own->error)
		server_link_flushed(&client->shared->link, own->flush_mark);
	atomic_store(&client->probe, own->error ? PROBE_FAILED : PROBE_ANSWERED);
	server_link_notify(&client->shared->link);
}

void join_seek_life(struct nbd_client *client)
{
	struct connection *connection = idle_own(client);
	enum probe_state none = PROBE_NONE;

	if (!holds_await_life(&client->shared->holds) || !connection || connection->in_flight > 0 ||
	    client->leaving != LEAVE_NONE || client->replacing != REPLACE_NONE)
		return;
	if (!(client->shared->export->flags & NBD_FLAG_SEND_FLUSH))
		holds_server_lives(&client->shared->holds, client->base.now_ms);
	else if (atomic_compare_exchange_strong(&client->probe, &none, PROBE_SENT))
		send_probe(client, connection);
}

void join_look(struct nbd_client *client, bool asked)
{
	if (client->probing && !client->probing->own.active)
		end_probe(client);
	if (!asked)
		return;
	if (atomic_load(&client->probe) == PROBE_ASKED)
		begin_probe(client);
	if (client->replacing != REPLACE_NONE)
		return; /* the main thread asks for one at a time */
	for (uint32_t i = 0; i < client->connections_count; i++)
		if (atomic_load(&client->joins[i]) == JOIN_ASKED)
			join(client, i);
}
