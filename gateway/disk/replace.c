/* SPDX-License-Identifier: MIT */
/*
 * replace.c - new connections in place of a live queue's: a server shows an export's new size to new
 * connections only.
 *
 * Requests that come meanwhile are held. What is under way is answered first, then flushed, since
 * only where the server promises CAN_MULTI_CONN does a later FLUSH cover what another connection
 * wrote; then each old connection is left in good order, and the new ones take the places.
 *
 * What can be refused is refused before the first old connection is left: the server's terms and the kind of
 * transport by resize.c, the ring's place for the socket and a connection that has ended since by prepare().
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "gateway/common/log.h"

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

static uint32_t spare_file(const struct connection *connection)
{
	uint32_t first = ring_file_of(connection->index);

	return connection->file == first ? first + 1 : first;
}

static int register_file(struct queue *queue, uint32_t file, int fd)
{
	int ret = io_uring_register_files_update(&queue->ring, file, &fd, 1);

	return ret < 0 ? ret : 0;
}

static void forget_file(struct queue *queue, uint32_t file)
{
	int ret = register_file(queue, file, -1);

	if (ret < 0)
		log_warning("queue %u: the ring keeps a socket that was replaced: %s", queue->id,
			    strerror(-ret));
}

static bool has_ended(const struct transport *transport)
{
	struct pollfd fd = { .fd = transport->fd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0;
}

/* The new sockets get places in the ring beside the old ones. A failure changes nothing. */
static int prepare(struct queue *queue)
{
	int ret = 0;

	for (uint32_t i = 0; i < queue->connections_count && ret == 0; i++) {
		ret = has_ended(queue->incoming[i]) ? -ECONNRESET : 0;
		if (ret == 0)
			ret = register_file(queue, spare_file(&queue->connections[i]),
					    queue->incoming[i]->fd);
		for (uint32_t done = 0; ret < 0 && done < i; done++)
			forget_file(queue, spare_file(&queue->connections[done]));
	}
	return ret;
}

static void take_place(struct queue *queue, uint32_t index)
{
	struct connection *connection = &queue->connections[index];
	uint32_t former = connection->file;

	queue->outgoing[index] = connection->transport;
	connection_replace(connection, queue->incoming[index], spare_file(connection));
	queue->incoming[index] = NULL;
	forget_file(queue, former);
}

static void swap(struct queue *queue)
{
	for (uint32_t i = 0; i < queue->connections_count; i++)
		take_place(queue, i);
	finish(queue, 0);
}

/* What was under way is answered and flushed: the last look before the old connections are left. */
static void begin_leaving(struct queue *queue)
{
	int error = queue->replace_cancelled ? -ECANCELED : queue->own.error;

	if (!error)
		error = prepare(queue);
	if (error) {
		finish(queue, error);
		return;
	}
	queue->wrote = false;
	queue->replacing = REPLACE_LEAVING;
}

void replace_advance(struct queue *queue)
{
	if (queue->replacing == REPLACE_DRAINING && all_answered(queue))
		flush_or_leave(queue);
	if (queue->replacing == REPLACE_FLUSHING && queue->own.parts_open == 0)
		begin_leaving(queue);
	if (queue->replacing == REPLACE_LEAVING && queue->own.parts_open == 0 &&
	    leave_next_connection(queue)) {
		if (queue->replace_cancelled)
			finish(queue, -ECANCELED);
		else
			swap(queue);
	}
}
