/* SPDX-License-Identifier: MIT */
/*
 * replace.c - new connections in place of a live queue's: a server shows an export's new size to new
 * connections only.
 *
 * Requests that come meanwhile are held. What is under way is answered first, then flushed, since
 * only where the server promises CAN_MULTI_CONN does a later FLUSH cover what another connection
 * wrote; then each old connection is left in good order, and the new ones take the places.
 */
#include <errno.h>

#include "gateway/disk/queue.h"

void replace_begin(struct queue *queue)
{
	if (queue->replacing == REPLACE_NONE && queue_state(queue) == QUEUE_SERVING)
		queue->replacing = REPLACE_DRAINING;
	else
		atomic_store(&queue->replaced, -ECANCELED);
}

/* Goes on with whatever connections there are. error: negative errno, 0. */
static void finish(struct queue *queue, int error)
{
	queue->replacing = REPLACE_NONE;
	queue->replace_cancelled = false;
	queue->own.error = 0; /* a DISC's is of no interest when the queue leaves */
	for (uint32_t tag = 0; tag < queue->shared->depth; tag++) {
		struct slot *slot = &queue->slots[tag];

		if (!slot->held)
			continue;
		slot->held = false;
		dispatch_slot(queue, slot);
	}
	atomic_store(&queue->replaced, error ? error : 1);
}

static bool all_answered(const struct queue *queue)
{
	for (uint32_t i = 0; i < queue->connections_count; i++)
		if (queue->connections[i].in_flight > 0)
			return false;
	return true;
}

static void flush_or_leave(struct queue *queue)
{
	struct connection *connection = dispatch_pick_connection(queue, 0);

	if (!connection || queue->replace_cancelled) {
		finish(queue, connection ? -ECANCELED : -EIO);
		return;
	}
	queue->replacing = REPLACE_FLUSHING;
	queue->own.error = 0;
	if (queue->wrote && queue->shared->export->flags & NBD_FLAG_SEND_FLUSH)
		leave_send_own(queue, connection, NBD_CMD_FLUSH);
}

static int take_place(struct queue *queue, uint32_t index)
{
	struct connection *connection = &queue->connections[index];
	struct transport *transport = queue->incoming[index];
	int ret = io_uring_register_files_update(&queue->ring, RING_FILE_CONNECTION + index,
						 &transport->fd, 1);

	if (ret < 0)
		return ret;
	queue->outgoing[index] = connection->transport;
	queue->incoming[index] = NULL;
	return connection_replace(connection, transport);
}

static void swap(struct queue *queue)
{
	int error = 0;

	for (uint32_t i = 0; i < queue->connections_count; i++) {
		int ret = take_place(queue, i);

		if (ret < 0)
			error = ret;
	}
	finish(queue, error);
}

void replace_advance(struct queue *queue)
{
	if (queue->replacing == REPLACE_DRAINING && all_answered(queue))
		flush_or_leave(queue);
	if (queue->replacing == REPLACE_FLUSHING && queue->own.parts_open == 0) {
		if (queue->own.error || queue->replace_cancelled) {
			finish(queue, queue->own.error ? queue->own.error : -ECANCELED);
			return;
		}
		queue->wrote = false;
		queue->replacing = REPLACE_LEAVING;
	}
	if (queue->replacing == REPLACE_LEAVING && queue->own.parts_open == 0 &&
	    leave_next_connection(queue)) {
		if (queue->replace_cancelled)
			finish(queue, -ECANCELED);
		else
			swap(queue);
	}
}
