/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/deadline.h"

#include <poll.h>

#include "gateway/common/log.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/patience.h"

#define TICK_MS_MIN 20
#define TICK_MS_MAX 250
/* A tick that is later than so many ticks is late; less is the coarse clock. */
#define LATE_TICKS 2
/* A request that is due is left so many ticks while there is something to read: in each turn of the loop some
 * of it is. A server that sends without end and answers nothing gets no more. */
#define READING_TICKS 4
/* An absence of which the log tells. */
#define ABSENCE_MS 1000

uint32_t deadline_tick_ms(uint32_t timeout_ms)
{
	uint32_t tick_ms = timeout_ms / 10;

	return tick_ms < TICK_MS_MIN ? TICK_MS_MIN : tick_ms > TICK_MS_MAX ? TICK_MS_MAX : tick_ms;
}

static void begin_anew(const struct nbd_client *client, struct wire_request *request)
{
	int64_t deadline_ms = request->connection->answered_ms +
			      patience_ms(client->shared, request->nbd.command);

	if (deadline_ms > request->deadline_last_ms)
		deadline_ms = request->deadline_last_ms;
	if (deadline_ms > request->deadline_ms)
		request->deadline_ms = deadline_ms;
}

static bool is_awaited(const struct wire_request *request)
{
	const struct connection *connection = request->connection;

	return connection && connection_works(connection) &&
	       wire_request_is_open_on(request, connection);
}

/* Calls look for each part that waits for its connection. */
static void for_each_awaited(struct nbd_client *client,
			     void (*look)(struct nbd_client *client, struct wire_request *request))
{
	for (uint32_t tag = 0; tag < nbd_client_splits(client); tag++) {
		struct split *split = nbd_client_split(client, tag);

		for (uint16_t part = 0, count = split->parts_count; part < count; part++)
			if (split->active && is_awaited(&split->parts[part]))
				look(client, &split->parts[part]);
	}
}

/* None needs more than its whole time from now on: what was begun after the absence has it already. */
static void forgive_request(struct nbd_client *client, struct wire_request *request)
{
	int64_t ms = patience_ms(client->shared, request->nbd.command);
	int64_t deadline_ms = request->deadline_ms + request->connection->forgiving_ms;
	int64_t last_ms = request->deadline_last_ms + request->connection->forgiving_ms;

	if (deadline_ms > client->base.now_ms + ms)
		deadline_ms = client->base.now_ms + ms;
	if (last_ms > client->base.now_ms + ms * PATIENCE_QUEUE_FACTOR)
		last_ms = client->base.now_ms + ms * PATIENCE_QUEUE_FACTOR;
	if (deadline_ms > request->deadline_ms)
		request->deadline_ms = deadline_ms;
	if (last_ms > request->deadline_last_ms)
		request->deadline_last_ms = last_ms;
}

/* The daemon did not run for so long. */
static void forgive(struct nbd_client *client, int64_t due_ms, int64_t absence_ms)
{
	if (absence_ms >= ABSENCE_MS)
		log_warning("queue %u: this daemon did not run for %lld ms (it was stopped, or the "
			    "machine was)",
			    client->base.queue_id, (long long)absence_ms);
	for (uint32_t i = 0; i < client->connections_count; i++) {
		struct connection *connection = &client->connections[i];

		connection->forgiving_ms = 0;
		if (absence_ms > connection->forgiven_ms) {
			connection->forgiving_ms = absence_ms - connection->forgiven_ms;
			connection->forgiven_ms = absence_ms;
		}
		if (connection->answered_ms < due_ms)
			connection->answered_ms += connection->forgiving_ms;
	}
	for_each_awaited(client, forgive_request);
}

/* Whether there is something to read, which may be the answer. The armed receive takes it. */
static bool is_being_read(struct wire_request *request)
{
	struct pollfd fd = { .fd = request->connection->transport->fd, .events = POLLIN };

	return request->reading_ticks++ < READING_TICKS && poll(&fd, 1, 0) > 0;
}

/* Condemns one tick early, so that a request has ended when its time is over. */
static void look_at(struct nbd_client *client, struct wire_request *request)
{
	struct connection *connection = request->connection;
	char text[NBD_REQUEST_TEXT_BYTES];

	/* An answered one waits for its batch to be sent: for as long as others of that are answered. */
	if (request->sequence > connection->answered_lowest || request->nbd.rx == NBD_RX_FINAL)
		begin_anew(client, request);
	if (request->deadline_ms > client->base.now_ms + client->base.tick_ms ||
	    is_being_read(request))
		return;
	stats_add(&client->base.stats->timeouts, 1);
	connection->fell_silent = true;
	connection_condemn(connection, 0,
			   "tag %u: no answer to %s within its time (--timeout is %u ms)",
			   request->tag, nbd_request_text(&request->nbd, text, sizeof(text)),
			   client->timeout_ms);
}

void deadline_look(struct nbd_client *client, int64_t due_ms)
{
	int64_t late_ms = client->base.now_ms - due_ms;

	if (late_ms > LATE_TICKS * (int64_t)client->base.tick_ms)
		forgive(client, due_ms, late_ms);
	for_each_awaited(client, look_at);
	for (uint32_t i = 0; i < client->connections_count; i++)
		client->connections[i].answered_lowest = UINT64_MAX;
}
