/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/replace.h"

#include <errno.h>

#include "gateway/nbd/connection.h"
#include "gateway/nbd/join.h"
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

/* The new sockets get places in the ring beside the old ones. A failure changes nothing. */
static int prepare(struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++) {
		int ret = join_prepare(client, i, client->incoming[i]);

		if (ret == 0)
			continue;
		while (i-- > 0)
			join_unprepare(client, i);
		return ret;
	}
	return 0;
}

static void swap(struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++) {
		join_take_place(client, i, client->incoming[i]);
		client->incoming[i] = NULL;
	}
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
