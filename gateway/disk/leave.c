/* SPDX-License-Identifier: MIT */
/*
 * leave.c - how a queue ends once the driver sends no more: a FLUSH of our own, then DISC on each
 * connection, after which nothing may follow; and how a connection is left whose server shuts down.
 */
#include <errno.h>

#include "gateway/disk/queue.h"

void leave_send_own(struct queue *queue, struct connection *connection, uint16_t command)
{
	struct slot *own = &queue->own;
	struct wire_request *request = &own->parts[0];

	if (own->state != SLOT_ACTIVE)
		slot_move(own, SLOT_ACTIVE);
	if (request->tx != TX_IDLE)
		wire_request_move_tx(request, TX_IDLE);
	own->generation++;
	own->error = 0;
	own->parts_count = 1;
	own->parts_open = 1;
	request->nbd = (struct nbd_request){ .command = command, .cookie = slot_cookie(own, 0) };
	connection_enqueue(connection, request);
}

static void start_flushing(struct queue *queue)
{
	struct connection *connection = dispatch_pick_connection(queue, 0);

	queue_move(queue, QUEUE_FLUSHING);
	queue->own.error = 0; /* an earlier DISC's is of no interest */
	if (!queue->wrote || !(queue->shared->export->flags & NBD_FLAG_SEND_FLUSH))
		return;
	if (connection)
		leave_send_own(queue, connection, NBD_CMD_FLUSH);
	else {
		dispatch_note_cut_off(queue);
		atomic_store(&queue->flush_error, EIO);
	}
}

bool leave_next_connection(struct queue *queue)
{
	bool all_dead = true;

	for (uint32_t i = 0; i < queue->connections_count; i++) {
		struct connection *connection = &queue->connections[i];

		if (connection->leaving)
			connection_leave(connection);
		if (connection_works(connection)) {
			connection->leaving = true;
			leave_send_own(queue, connection, NBD_CMD_DISC);
			return false;
		}
		if (connection_state(connection) != CONNECTION_DEAD)
			all_dead = false;
	}
	return all_dead;
}

void leave_retiring(struct queue *queue)
{
	for (uint32_t i = 0; i < queue->connections_count; i++) {
		struct connection *connection = &queue->connections[i];

		if (connection_state(connection) != CONNECTION_RETIRING ||
		    queue->own.parts_open > 0)
			continue;
		if (connection->leaving) {
			connection_leave(connection);
		} else if (connection->in_flight == 0) {
			connection->leaving = true;
			leave_send_own(queue, connection, NBD_CMD_DISC);
		}
	}
}

/* Moves the queue on when what its state waits for has happened. */
void leave_advance(struct queue *queue)
{
	if (queue_state(queue) == QUEUE_SERVING && queue->own.parts_open == 0 &&
	    (queue->slots_ended == queue->shared->depth ||
	     (atomic_load(&queue->failure) && queue->slots_active == 0)))
		start_flushing(queue);
	if (queue_state(queue) == QUEUE_FLUSHING && queue->own.parts_open == 0) {
		if (queue->own.error)
			atomic_store(&queue->flush_error, -queue->own.error);
		queue_move(queue, QUEUE_LEAVING);
	}
	if (queue_state(queue) == QUEUE_LEAVING && queue->own.parts_open == 0 &&
	    leave_next_connection(queue))
		queue_move(queue, QUEUE_DONE);
}
