/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/settle.h"

#include <assert.h>
#include <errno.h>

#include "gateway/common/log.h"
#include "gateway/nbd/waiting.h"
#include "proto/error.h"
#include "proto/wire.h"

/* What a success of this request says about what the server has made durable. */
static void note_durability(struct nbd_client *client, const struct split *split)
{
	const struct block_request *request = split->request;
	struct server_link *link = &client->shared->link;

	if (request->op == BLOCK_FLUSH) {
		server_link_flushed(link, split->flush_mark);
	} else if (block_request_changes(request)) {
		client->wrote = true;
		if (!request->fua)
			server_link_acknowledge(link);
	}
}

/* A server may report a failed write with one FLUSH only. If that was ours, the user's have to fail. */
static void note_own_flush(struct nbd_client *client, const struct nbd_request *own)
{
	if (own->command == NBD_CMD_FLUSH && own->error && client->leaving == LEAVE_NONE)
		atomic_store(&client->shared->link.flush_fails, true);
}

void settle_give_back(struct nbd_client *client, struct loan *loan)
{
	struct nbd_client_shared *shared = client->shared;
	uint16_t lender = loan->lender->base.queue_id;

	loan_give_back(&loan->lender->box, loan);
	shared->wake(shared->wake_context, lender);
}

static void end_loan(struct nbd_client *client, struct split *split)
{
	struct loan *loan = split->loan;

	loan->sent |= split->parts[0].sent_before;
	loan->losses = split->parts[0].losses;
	split->loan = NULL;
	split->request = NULL;
	client->carrying--;
	settle_give_back(client, loan);
}

static void finish(struct nbd_client *client, struct split *split)
{
	struct block_request *request = split->request;

	for (uint16_t part = 0; part < split->parts_count; part++)
		if (split->parts[part].tx != TX_IDLE)
			wire_request_move_tx(&split->parts[part], TX_IDLE);
	split->active = false;
	if (!request) { /* a connection's own: leave.h, replace.h and join.h look at it */
		note_own_flush(client, &split->parts[0].nbd);
		return;
	}
	if (!split->error)
		note_durability(client, split);
	request->error = split->error;
	if (split->loan)
		end_loan(client, split);
	else
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

/* The request is not carried out, and its connection has no more to do with it. One that is carried for another
 * queue goes back there. */
static void park(struct nbd_client *client, struct wire_request *request)
{
	struct split *split = nbd_client_split(client, request->tag);

	if (split->loan) {
		split->loan->lost = true;
		settle_part_failed(client, request);
		return;
	}
	let_go(request);
	wire_request_move_tx(request, TX_IDLE);
	nbd_request_move_rx(&request->nbd, NBD_RX_IDLE);
	waiting_add(client, request);
	client->parked_look = true;
}

static bool is_own(struct nbd_client *client, const struct wire_request *request)
{
	return !nbd_client_split(client, request->tag)->request;
}

void settle_part(struct nbd_client *client, struct wire_request *request)
{
	const struct nbd_request *nbd = &request->nbd;
	int error = nbd->error ? -nbd_error_to_errno(nbd->command, nbd->error) : 0;

	assert(request->tx == TX_SENT);
	/* A server that shuts down answers so, and does nothing. */
	if (nbd->error == NBD_ESHUTDOWN && waiting_is_allowed(client) && !is_own(client, request)) {
		park(client, request);
		return;
	}
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

void settle_part_needless(struct nbd_client *client, struct wire_request *request)
{
	assert(request->tx == TX_IDLE && !request->connection);
	close_part(client, request, 0);
}

void settle_part_carried(struct nbd_client *client, struct wire_request *request, int error)
{
	assert(request->tx == TX_IDLE && !request->connection);
	close_part(client, request, error);
}

/* --- a connection is lost ------------------------------------------------------------------------- */

/* One loss: what the server was sent and did not answer it may still do. */
struct loss {
	struct connection *connection;
	bool clock_begun;
	uint32_t clock; /* of holds.h, once it is begun */
};

/* Before the request is sent again, or its failure is reported. */
static void hold_newer_writes(struct loss *loss, const struct wire_request *request)
{
	struct nbd_client_shared *shared = loss->connection->client->shared;

	if (!wire_request_changes_export(request) || request->tx == TX_QUEUED)
		return;
	if (!loss->clock_begun)
		loss->clock = holds_begin_loss(&shared->holds, loss->connection->fell_silent
								       ? shared->quiet_silent_ms
								       : shared->quiet_closed_ms);
	loss->clock_begun = true;
	holds_add(&shared->holds, loss->clock, request->nbd.offset_bytes,
		  request->nbd.length_bytes);
}

/* Whether the connection may have been lost because of this request: it was the only one, or others that were
 * sent with it have been answered. */
static bool is_suspected(const struct connection *connection, const struct wire_request *request)
{
	if (request->tx == TX_QUEUED || connection->answers == 0)
		return false;
	return connection->in_flight == 1 || connection->answers != request->answers_before;
}

static void log_deadly(const struct nbd_client *client, const struct wire_request *request)
{
	char text[NBD_REQUEST_TEXT_BYTES];

	nbd_request_text(&request->nbd, text, sizeof(text));
	trouble_note(client->base.trouble, false,
		     "%s fails: %d connections in a row were lost while the server had it", text,
		     WAITING_LOSSES_MAX);
	log_error("queue %u tag %u: %s fails: %d connections in a row were lost while the server "
		  "had it",
		  client->base.queue_id, request->tag, text, WAITING_LOSSES_MAX);
}

void settle_part_lost(struct nbd_client *client, struct wire_request *request)
{
	if (request->losses >= WAITING_LOSSES_MAX)
		log_deadly(client, request);
	waiting_note_failure(client, request);
	settle_part_failed(client, request);
}

static void end_part(struct loss *loss, struct wire_request *request)
{
	struct connection *connection = loss->connection;
	struct nbd_client *client = connection->client;

	if (!wire_request_is_open_on(request, connection))
		return;
	if (request->tx == TX_SENDING && request->nbd.rx == NBD_RX_FINAL) {
		wire_request_move_tx(request, TX_SENT);
		settle_part(client, request);
		return;
	}
	hold_newer_writes(loss, request);
	request->sent_before |= request->tx != TX_QUEUED;
	if (is_suspected(connection, request))
		request->losses++;
	if (is_own(client, request)) {
		settle_part_failed(client, request);
	} else if (waiting_is_allowed(client) && request->losses < WAITING_LOSSES_MAX) {
		park(client, request);
	} else {
		settle_part_lost(client, request);
	}
}

void settle_connection(struct connection *connection)
{
	struct nbd_client *client = connection->client;
	struct loss loss = { .connection = connection };

	for (uint32_t tag = 0; tag < nbd_client_splits(client); tag++) {
		struct split *split = nbd_client_split(client, tag);

		for (uint16_t part = 0, count = split->parts_count; part < count; part++)
			if (split->active)
				end_part(&loss, &split->parts[part]);
	}
}
