/* SPDX-License-Identifier: MIT */
/*
 * deadline.c - no request waits longer than its time: a tick runs while any is in flight, and
 * condemns the connection of one that is due. Never an idle connection.
 *
 * The time begins anew when a request that was enqueued before on the same connection is answered:
 * until then its turn had not come. A deep queue on a slow link takes longer than --timeout to be
 * worked off, and nothing is wrong with that. The oldest request has none before it: a server that
 * answers no more, or leaves out one request, is found out by it in time. One that only trickles has
 * QUEUE_FACTOR times as long.
 *
 * What was enqueued behind a FLUSH keeps its own time all the same: a server that stopped amid one
 * looks just like one that is busy with it, and requests end within their time.
 */
#include "gateway/disk/queue.h"

#define TICK_MS_MIN 20
#define TICK_MS_MAX 250
/* FLUSH, TRIM and WRITE_ZEROES may keep a server busy for long: their time is so many times longer. */
#define SLOW_COMMAND_FACTOR 4
/* However often a request's time begins anew, it ends after so many times its time. */
#define QUEUE_FACTOR 8

static bool is_slow(uint16_t command)
{
	return command == NBD_CMD_FLUSH || command == NBD_CMD_TRIM ||
	       command == NBD_CMD_WRITE_ZEROES;
}

int64_t deadline_patience_ms(const struct queue *queue, uint16_t command)
{
	return (int64_t)queue->shared->timeout_ms * (is_slow(command) ? SLOW_COMMAND_FACTOR : 1);
}

void deadline_begin(const struct queue *queue, struct wire_request *request)
{
	int64_t patience_ms = deadline_patience_ms(queue, request->nbd.command);

	request->deadline_ms = queue->now_ms + patience_ms;
	request->deadline_last_ms = queue->now_ms + patience_ms * QUEUE_FACTOR;
}

void deadline_answered(struct connection *connection, const struct wire_request *request)
{
	if (request->sequence < connection->answered_lowest)
		connection->answered_lowest = request->sequence;
	connection->answered_ms = connection->queue->now_ms;
}

uint32_t deadline_tick_ms(const struct queue *queue)
{
	uint32_t tick_ms = queue->shared->timeout_ms / 10;

	return tick_ms < TICK_MS_MIN ? TICK_MS_MIN : tick_ms > TICK_MS_MAX ? TICK_MS_MAX : tick_ms;
}

void deadline_arm(struct queue *queue)
{
	struct io_uring_sqe *sqe;
	uint32_t tick_ms = deadline_tick_ms(queue);
	uint64_t user_data;

	if (queue->tick_armed)
		return;
	queue->tick.tv_sec = tick_ms / 1000;
	queue->tick.tv_nsec = (long long)(tick_ms % 1000) * 1000000;
	sqe = ring_sqe(&queue->ring, RING_TICK, 0);
	user_data = sqe->user_data;
	io_uring_prep_timeout(sqe, &queue->tick, 0, 0);
	sqe->user_data = user_data;
	queue->tick_armed = true;
}

static void begin_anew(const struct queue *queue, struct wire_request *request)
{
	int64_t deadline_ms = request->connection->answered_ms +
			      deadline_patience_ms(queue, request->nbd.command);

	if (deadline_ms > request->deadline_last_ms)
		deadline_ms = request->deadline_last_ms;
	if (deadline_ms > request->deadline_ms)
		request->deadline_ms = deadline_ms;
}

static bool is_awaited(const struct wire_request *request)
{
	const struct connection *connection = request->connection;

	return connection && connection_works(connection) &&
	       dispatch_part_is_open_on(request, connection);
}

/* Condemns one tick early, so that a request has ended when its time is over. */
static void look_at(struct queue *queue, struct wire_request *request)
{
	struct connection *connection = request->connection;
	char text[NBD_REQUEST_TEXT_BYTES];

	if (!is_awaited(request))
		return;
	/* An answered one waits for its batch to be sent: for as long as others of that are answered. */
	if (request->sequence > connection->answered_lowest || request->nbd.rx == NBD_RX_FINAL)
		begin_anew(queue, request);
	if (request->deadline_ms > queue->now_ms + deadline_tick_ms(queue))
		return;
	stats_add(&queue->stats.timeouts, 1);
	connection_condemn(connection, 0,
			   "tag %u: no answer to %s within its time (--timeout is %u ms)",
			   request->tag, nbd_request_text(&request->nbd, text, sizeof(text)),
			   queue->shared->timeout_ms);
}

void deadline_completed(struct queue *queue)
{
	queue->tick_armed = false;
	for (uint32_t tag = 0; tag <= queue->shared->depth; tag++) {
		struct slot *slot = tag == queue->shared->depth ? &queue->own : &queue->slots[tag];

		for (uint16_t part = 0, count = slot->parts_count; part < count; part++)
			if (slot->state == SLOT_ACTIVE)
				look_at(queue, &slot->parts[part]);
	}
	for (uint32_t i = 0; i < queue->connections_count; i++)
		queue->connections[i].answered_lowest = UINT64_MAX;
}
