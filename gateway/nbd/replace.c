/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/replace.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/leave.h"

void replace_begin(struct nbd_client *client)
{
	if (client->replacing == REPLACE_NONE && client->leaving == LEAVE_NONE)
		client->replacing = REPLACE_DRAINING;
	else
		atomic_store(&client->replaced, -ECANCELED);
}

/* Goes on with whatever connections there are. error: negative errno, 0. */
static void finish(struct nbd_client *client, int error)
{
	client->replacing = REPLACE_NONE;
	client->replace_cancelled = false;
	client->flushing = NULL;
	atomic_store(&client->replaced, error ? error : 1);
}

static bool all_answered(const struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++)
		if (client->connections[i].in_flight > 0)
			return false;
	return true;
}

static void begin_flushing(struct nbd_client *client)
{
	int ret = client->replace_cancelled ? -ECANCELED : leave_begin_flush(client);

	if (ret < 0)
		finish(client, ret);
	else
		client->replacing = REPLACE_FLUSHING;
}

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

/* The new sockets get places in the ring beside the old ones. A failure changes nothing. */
static int prepare(struct nbd_client *client)
{
	int ret = 0;

	for (uint32_t i = 0; i < client->connections_count && ret == 0; i++) {
		ret = has_ended(client->incoming[i]) ? -ECONNRESET : 0;
		if (ret == 0)
			ret = register_file(client, spare_file(&client->connections[i]),
					    client->incoming[i]->fd);
		for (uint32_t done = 0; ret < 0 && done < i; done++)
			forget_file(client, spare_file(&client->connections[done]));
	}
	return ret;
}

static void take_place(struct nbd_client *client, uint32_t index)
{
	struct connection *connection = &client->connections[index];
	uint32_t former = connection->file;

	client->outgoing[index] = connection->transport;
	connection_replace(connection, client->incoming[index], spare_file(connection));
	client->incoming[index] = NULL;
	forget_file(client, former);
}

static void swap(struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++)
		take_place(client, i);
	finish(client, 0);
}

/* What was under way is answered and flushed: the last look before the old connections are left. */
static void begin_leaving(struct nbd_client *client)
{
	int error = client->replace_cancelled ? -ECANCELED : leave_flush_result(client);

	if (!error)
		error = prepare(client);
	if (error) {
		finish(client, error);
		return;
	}
	client->wrote = false;
	client->replacing = REPLACE_LEAVING;
}

void replace_advance(struct nbd_client *client)
{
	if (client->replacing == REPLACE_DRAINING && all_answered(client))
		begin_flushing(client);
	if (client->replacing == REPLACE_FLUSHING && !leave_is_flushing(client))
		begin_leaving(client);
	if (client->replacing == REPLACE_LEAVING && leave_connections(client)) {
		if (client->replace_cancelled)
			finish(client, -ECANCELED);
		else
			swap(client);
	}
}
