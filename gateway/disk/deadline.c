/* SPDX-License-Identifier: MIT */
/*
 * deadline.c - no request waits longer than its time: a tick runs while any is in flight, and
 * condemns the connection of one that is due. Never an idle connection.
 */
#include "gateway/disk/queue.h"

#define TICK_MS_MIN 20
#define TICK_MS_MAX 250

static uint32_t tick_ms_of(const struct queue *queue)
{
	uint32_t tick_ms = queue->shared->timeout_ms / 10;

	return tick_ms < TICK_MS_MIN ? TICK_MS_MIN : tick_ms > TICK_MS_MAX ? TICK_MS_MAX : tick_ms;
}

void deadline_arm(struct queue *queue)
{
	struct io_uring_sqe *sqe;
	uint32_t tick_ms = tick_ms_of(queue);
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

static void condemn_overdue_connections(struct queue *queue, const struct slot *slot)
{
	for (uint16_t part = 0, count = slot->parts_count; part < count; part++) {
		const struct wire_request *request = &slot->parts[part];
		struct connection *connection = request->connection;

		if (!connection || connection_state(connection) != CONNECTION_LIVE ||
		    !dispatch_part_is_open_on(request, connection))
			continue;
		stats_add(&queue->stats.timeouts, 1);
		connection_condemn(connection, 0,
				   "tag %u: no answer to command %u at %llu+%u within its time "
				   "(--timeout is %u ms)",
				   slot->tag, request->nbd.command,
				   (unsigned long long)request->nbd.offset_bytes,
				   request->nbd.length_bytes, queue->shared->timeout_ms);
	}
}

/* Condemns one tick early, so that a request has ended when its time is over. */
void deadline_completed(struct queue *queue)
{
	int64_t horizon_ms = queue->now_ms + tick_ms_of(queue);

	queue->tick_armed = false;
	for (uint32_t tag = 0; tag < queue->shared->depth; tag++) {
		struct slot *slot = &queue->slots[tag];

		if (slot->state == SLOT_ACTIVE && slot->deadline_ms <= horizon_ms)
			condemn_overdue_connections(queue, slot);
	}
	if (queue->own.state == SLOT_ACTIVE && queue->own.deadline_ms <= horizon_ms)
		condemn_overdue_connections(queue, &queue->own);
}
