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
 *
 * A tick that comes late means that this daemon did not run (SIGSTOP, a machine that was suspended or
 * migrated), and could not have taken an answer: all deadlines move by its lateness. Between two answers of
 * a connection they move by one absence alone, the longest, so that a server that is silent is
 * found out even by a daemon that is stopped again and again. And before a connection is condemned, what
 * waits in its socket is read.
 */
#include <poll.h>

#include "gateway/common/log.h"
#include "gateway/disk/queue.h"

#define TICK_MS_MIN 20
#define TICK_MS_MAX 250
/* FLUSH, TRIM and WRITE_ZEROES may keep a server busy for long: their time is so many times longer. */
#define SLOW_COMMAND_FACTOR 4
/* However often a request's time begins anew, it ends after so many times its time. */
#define QUEUE_FACTOR 8
/* A tick that is later than so many ticks is late; less is the coarse clock, or a wait for two completions. */
#define LATE_TICKS 2
/* A request that is due is left so many ticks while there is something to read: in each turn of the loop some
 * of it is. A server that sends without end and answers nothing gets no more. */
#define READING_TICKS 4
/* An absence of which the log tells. */
#define ABSENCE_MS 1000

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
	request->reading_ticks = 0;
}

void deadline_answered(struct connection *connection, const struct wire_request *request)
{
	if (request->sequence < connection->answered_lowest)
		connection->answered_lowest = request->sequence;
	connection->answered_ms = connection->queue->now_ms;
	connection->forgiven_ms = 0;
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
	queue->tick_due_ms = queue->now_ms + tick_ms;
}

void deadline_completed(struct queue *queue)
{
	queue->tick_armed = false;
	queue->tick_came = true;
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

/* Calls look for each part that waits for its connection. */
static void for_each_awaited(struct queue *queue,
			     void (*look)(struct queue *queue, struct wire_request *request))
{
	for (uint32_t tag = 0; tag <= queue->shared->depth; tag++) {
		struct slot *slot = tag == queue->shared->depth ? &queue->own : &queue->slots[tag];

		for (uint16_t part = 0, count = slot->parts_count; part < count; part++)
			if (slot->state == SLOT_ACTIVE && is_awaited(&slot->parts[part]))
				look(queue, &slot->parts[part]);
	}
}

/* None needs more than its whole time from now on: what was begun after the absence has it already. */
static void forgive_request(struct queue *queue, struct wire_request *request)
{
	int64_t patience_ms = deadline_patience_ms(queue, request->nbd.command);
	int64_t deadline_ms = request->deadline_ms + request->connection->forgiving_ms;
	int64_t last_ms = request->deadline_last_ms + request->connection->forgiving_ms;

	if (deadline_ms > queue->now_ms + patience_ms)
		deadline_ms = queue->now_ms + patience_ms;
	if (last_ms > queue->now_ms + patience_ms * QUEUE_FACTOR)
		last_ms = queue->now_ms + patience_ms * QUEUE_FACTOR;
	if (deadline_ms > request->deadline_ms)
		request->deadline_ms = deadline_ms;
	if (last_ms > request->deadline_last_ms)
		request->deadline_last_ms = last_ms;
}

/* The daemon did not run for so long. */
static void forgive(struct queue *queue, int64_t absence_ms)
{
	if (absence_ms >= ABSENCE_MS)
		log_warning("queue %u: this daemon did not run for %lld ms (it was stopped, or the "
			    "machine was)",
			    queue->id, (long long)absence_ms);
	for (uint32_t i = 0; i < queue->connections_count; i++) {
		struct connection *connection = &queue->connections[i];

		connection->forgiving_ms = 0;
		if (absence_ms > connection->forgiven_ms) {
			connection->forgiving_ms = absence_ms - connection->forgiven_ms;
			connection->forgiven_ms = absence_ms;
		}
		if (connection->answered_ms < queue->tick_due_ms)
			connection->answered_ms += connection->forgiving_ms;
	}
	for_each_awaited(queue, forgive_request);
}

/* Whether there is something to read, which may be the answer. The armed receive takes it. */
static bool is_being_read(struct wire_request *request)
{
	struct pollfd fd = { .fd = request->connection->transport->fd, .events = POLLIN };

	return request->reading_ticks++ < READING_TICKS && poll(&fd, 1, 0) > 0;
}

/* Condemns one tick early, so that a request has ended when its time is over. */
static void look_at(struct queue *queue, struct wire_request *request)
{
	struct connection *connection = request->connection;
	char text[NBD_REQUEST_TEXT_BYTES];

	/* An answered one waits for its batch to be sent: for as long as others of that are answered. */
	if (request->sequence > connection->answered_lowest || request->nbd.rx == NBD_RX_FINAL)
		begin_anew(queue, request);
	if (request->deadline_ms > queue->now_ms + deadline_tick_ms(queue) ||
	    is_being_read(request))
		return;
	stats_add(&queue->stats.timeouts, 1);
	connection_condemn(connection, 0,
			   "tag %u: no answer to %s within its time (--timeout is %u ms)",
			   request->tag, nbd_request_text(&request->nbd, text, sizeof(text)),
			   queue->shared->timeout_ms);
}

void deadline_look(struct queue *queue)
{
	int64_t late_ms = queue->now_ms - queue->tick_due_ms;

	if (!queue->tick_came)
		return;
	queue->tick_came = false;
	if (late_ms > LATE_TICKS * (int64_t)deadline_tick_ms(queue))
		forgive(queue, late_ms);
	for_each_awaited(queue, look_at);
	for (uint32_t i = 0; i < queue->connections_count; i++)
		queue->connections[i].answered_lowest = UINT64_MAX;
}
