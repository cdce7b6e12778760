/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/patience.h"

#define SLOW_COMMAND_FACTOR 4

static bool is_slow(uint16_t command)
{
	return command == NBD_CMD_FLUSH || command == NBD_CMD_TRIM ||
	       command == NBD_CMD_WRITE_ZEROES;
}

int64_t patience_ms(const struct nbd_client_shared *shared, uint16_t command)
{
	return (int64_t)shared->timeout_ms * (is_slow(command) ? SLOW_COMMAND_FACTOR : 1);
}

void patience_begin(const struct nbd_client *client, struct wire_request *request)
{
	int64_t ms = patience_ms(client->shared, request->nbd.command);

	request->deadline_ms = client->base.now_ms + ms;
	request->deadline_last_ms = client->base.now_ms + ms * PATIENCE_QUEUE_FACTOR;
	request->reading_ticks = 0;
}

void patience_answered(struct connection *connection, const struct wire_request *request)
{
	if (request->sequence < connection->answered_lowest)
		connection->answered_lowest = request->sequence;
	connection->answered_ms = connection->client->base.now_ms;
	connection->forgiven_ms = 0;
}
