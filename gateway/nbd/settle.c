/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/settle.h"

#include <assert.h>
#include <errno.h>

#include "proto/error.h"

static void finish(struct nbd_client *client, struct split *split)
{
	struct block_request *request = split->request;

	for (uint16_t part = 0; part < split->parts_count; part++)
		if (split->parts[part].tx != TX_IDLE)
			wire_request_move_tx(&split->parts[part], TX_IDLE);
	split->active = false;
	if (!request)
		return; /* a connection's own: leave.h and replace.h look at it */
	if (!split->error && block_request_changes(request))
		client->wrote = true;
	request->error = split->error;
	block_request_done(&client->base, request);
}

static void close_part(struct nbd_client *client, const struct wire_request *request, int error)
{
	struct split *split = nbd_client_split(client, request->tag);

	if (error && !split->error)
		split->error = error;
	assert(split->parts_open > 0);
	if (--split->parts_open == 0)
		finish(client, split);
}

/* The request is no longer its connection's: a further reply under its cookie finds nothing. */
static void let_go(struct wire_request *request)
{
	connection_count(request->connection, -1u);
	request->connection->in_flight_bytes -= request->nbd.length_bytes;
	request->connection = NULL;
}

void settle_part(struct nbd_client *client, struct wire_request *request)
{
	const struct nbd_request *nbd = &request->nbd;
	int error = nbd->error ? -nbd_error_to_errno(nbd->command, nbd->error) : 0;

	assert(request->tx == TX_SENT);
	let_go(request);
	close_part(client, request, error);
}

void settle_part_failed(struct nbd_client *client, struct wire_request *request)
{
	if (request->connection)
		let_go(request);
	if (request->tx != TX_IDLE)
		wire_request_move_tx(request, TX_IDLE);
	nbd_request_move_rx(&request->nbd, NBD_RX_IDLE);
	close_part(client, request, -EIO);
}

/* What the server was sent and did not answer it may still do. Before the failure is reported. */
static void note_stale_write(struct nbd_client *client, const struct wire_request *request)
{
	if (wire_request_changes_export(request) && request->tx != TX_QUEUED)
		stale_add(&client->shared->stale, request->nbd.offset_bytes,
			  request->nbd.length_bytes);
}

static void end_part(struct connection *connection, struct wire_request *request)
{
	if (!wire_request_is_open_on(request, connection))
		return;
	if (request->tx == TX_SENDING && request->nbd.rx == NBD_RX_FINAL) {
		wire_request_move_tx(request, TX_SENT);
		settle_part(connection->client, request);
		return;
	}
	note_stale_write(connection->client, request);
	settle_part_failed(connection->client, request);
}

void settle_connection(struct connection *connection)
{
	struct nbd_client *client = connection->client;

	for (uint32_t tag = 0; tag < nbd_client_splits(client); tag++) {
		struct split *split = nbd_client_split(client, tag);

		for (uint16_t part = 0, count = split->parts_count; part < count; part++)
			if (split->active)
				end_part(connection, &split->parts[part]);
	}
}
