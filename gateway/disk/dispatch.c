/* SPDX-License-Identifier: MIT */
/*
 * dispatch.c - the parts of block requests: to which connection each goes, when it is settled, and
 * what becomes of it when its connection is lost.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/disk/queue.h"
#include "proto/error.h"

/* A connection with this much in flight is full: see dispatch_pick_connection(). */
#define SHARE_BYTES (1u << 20)

static void close_part(struct queue *queue, struct slot *slot, int error)
{
	if (error && !slot->error)
		slot->error = error;
	assert(slot->parts_open > 0);
	if (--slot->parts_open > 0)
		return;
	if (slot == &queue->own)
		return; /* the queue's state machine looks at it */
	if (!slot->error && slot->op != UBLK_IO_OP_READ && slot->op != UBLK_IO_OP_FLUSH)
		queue->wrote = true;
	fetch_commit(queue, slot);
}

static struct slot *slot_of(struct queue *queue, const struct wire_request *request)
{
	return request->tag == queue->shared->depth ? &queue->own : &queue->slots[request->tag];
}

/* The request is no longer its connection's. */
static void let_go(struct wire_request *request)
{
	connection_count(request->connection, -1u);
	request->connection->in_flight_bytes -= request->nbd.length_bytes;
}

void dispatch_part_settled(struct queue *queue, struct wire_request *request)
{
	const struct nbd_request *nbd = &request->nbd;
	int error = nbd->error ? -nbd_error_to_errno(nbd->command, nbd->error) : 0;

	assert(request->tx == TX_SENT);
	let_go(request);
	request->connection = NULL; /* a further reply under this cookie finds nothing */
	close_part(queue, slot_of(queue, request), error);
}

void dispatch_part_fail(struct queue *queue, struct wire_request *request)
{
	if (request->connection)
		let_go(request);
	request->connection = NULL;
	if (request->tx != TX_IDLE)
		wire_request_move_tx(request, TX_IDLE);
	nbd_request_move_rx(&request->nbd, NBD_RX_IDLE);
	close_part(queue, slot_of(queue, request), -EIO);
}

/*
 * One connection is filled before the next is used: what goes out on one connection goes out in
 * one send, and comes back in fewer receives. It is full when it has its even share of the queue's
 * tags, or SHARE_BYTES; when all are full, the one with the least to do. NULL when none is left.
 */
struct connection *dispatch_pick_connection(struct queue *queue, uint64_t length_bytes)
{
	uint32_t share =
		(queue->shared->depth + queue->connections_count - 1) / queue->connections_count;
	struct connection *best = NULL;

	for (uint32_t i = 0; i < queue->connections_count; i++) {
		struct connection *connection = &queue->connections[i];

		if (connection_state(connection) == CONNECTION_LIVE &&
		    connection->in_flight < share &&
		    connection->in_flight_bytes + length_bytes <= SHARE_BYTES)
			return connection;
	}

	for (uint32_t i = 0; i < queue->connections_count; i++) {
		uint32_t index = (queue->connection_next + i) % queue->connections_count;
		struct connection *connection = &queue->connections[index];

		if (connection_state(connection) == CONNECTION_LIVE &&
		    (!best || connection->in_flight < best->in_flight))
			best = connection;
	}
	if (best)
		queue->connection_next = best->index + 1;
	return best;
}

static bool changes_the_export(const struct wire_request *request)
{
	return request->nbd.command == NBD_CMD_WRITE || request->nbd.command == NBD_CMD_TRIM ||
	       request->nbd.command == NBD_CMD_WRITE_ZEROES;
}

/* Whether the block request must not reach the server: see stale.h. */
static bool meets_stale_write(struct queue *queue, const struct slot *slot)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	const struct wire_request *first = &slot->parts[0];
	uint32_t held;

	if (!changes_the_export(first) ||
	    !stale_overlaps(&queue->shared->stale, first->nbd.offset_bytes, slot->length_bytes))
		return false;
	stats_add(&queue->stats.stale_refusals, 1);
	trouble_note(&queue->shared->trouble, false,
		     "writing %u bytes at %llu is refused: the server never answered an earlier "
		     "write there, and may still carry it out",
		     slot->length_bytes, (unsigned long long)first->nbd.offset_bytes);
	if (log_limit_pass(&limit, &held))
		log_error("queue %u tag %u: writing %u bytes at %llu is refused: the server never "
			  "answered an earlier write there, and may still carry it out; disconnect "
			  "and connect again%s",
			  queue->id, slot->tag, slot->length_bytes,
			  (unsigned long long)first->nbd.offset_bytes, log_limit_held_text(held));
	return true;
}

/* Ours to keep: the kernel asked for something that the disk's own limits exclude. */
static void log_refused(const struct queue *queue, const struct wire_request *request, int error)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	char text[NBD_REQUEST_TEXT_BYTES];
	uint32_t held;

	trouble_note(&queue->shared->trouble, false, "%s is nothing the server takes: %s",
		     nbd_request_text(&request->nbd, text, sizeof(text)), strerror(-error));
	if (log_limit_pass(&limit, &held))
		log_error(
			"queue %u tag %u: command %u at %llu+%u is nothing the server takes: %s%s",
			queue->id, request->tag, request->nbd.command,
			(unsigned long long)request->nbd.offset_bytes, request->nbd.length_bytes,
			strerror(-error), log_limit_held_text(held));
}

void dispatch_note_cut_off(const struct queue *queue)
{
	const char *reason = "";

	for (uint32_t i = 0; i < queue->connections_count && !reason[0]; i++)
		reason = queue->connections[i].reason;
	trouble_note(&queue->shared->trouble, false, "no connection to the server is left%s%s",
		     reason[0] ? ": " : "", reason);
}

static int send_part(struct queue *queue, struct wire_request *request)
{
	struct connection *connection = dispatch_pick_connection(queue, request->nbd.length_bytes);
	int ret = connection ? nbd_request_check(&request->nbd, queue->export) : -EIO;

	if (!connection)
		dispatch_note_cut_off(queue);
	else if (ret < 0)
		log_refused(queue, request, ret);
	if (ret == 0)
		connection_enqueue(connection, request);
	return ret;
}

/* Hands every part of an ACTIVE slot to connections. With none left the request fails at once:
 * this is where --dead-timeout will let it wait for a new one. So it does when the queue is leaving:
 * nothing may follow its last FLUSH and DISC. */
void dispatch_slot(struct queue *queue, struct slot *slot)
{
	bool refused;

	if (queue->replacing != REPLACE_NONE) {
		slot->held = true;
		return;
	}
	slot->generation++;
	slot->error = 0;
	slot->parts_open = slot->parts_count;
	refused = queue_state(queue) != QUEUE_SERVING || meets_stale_write(queue, slot);
	for (uint16_t part = 0, count = slot->parts_count; part < count; part++) {
		struct wire_request *request = &slot->parts[part];

		request->nbd.cookie = slot_cookie(slot, part);
		nbd_request_move_rx(&request->nbd, NBD_RX_IDLE);
		request->connection = NULL;
		if (refused || send_part(queue, request) < 0)
			dispatch_part_fail(queue, request);
	}
}

/* Whether this part still waits for the connection: queued, in its batch, or sent and not answered. */
bool dispatch_part_is_open_on(const struct wire_request *request,
			      const struct connection *connection)
{
	if (request->connection != connection || request->tx == TX_IDLE)
		return false;
	return request->tx != TX_SENT || request->nbd.rx != NBD_RX_FINAL;
}

/* What the server was sent and did not answer it may still do. Before the failure is reported. */
static void note_stale_write(struct queue *queue, const struct wire_request *request)
{
	if (changes_the_export(request) && request->tx != TX_QUEUED)
		stale_add(&queue->shared->stale, request->nbd.offset_bytes,
			  request->nbd.length_bytes);
}

/*
 * The connection is drained: no SQE refers to anything any more. A part whose whole answer came
 * keeps it; each other ends with EIO, because nobody knows what the server did with it.
 */
void dispatch_connection_dead(struct queue *queue, struct connection *connection)
{
	for (uint32_t tag = 0; tag <= queue->shared->depth; tag++) {
		struct slot *slot = tag == queue->shared->depth ? &queue->own : &queue->slots[tag];

		if (slot->state != SLOT_ACTIVE)
			continue;
		for (uint16_t part = 0, count = slot->parts_count; part < count; part++) {
			struct wire_request *request = &slot->parts[part];

			if (!dispatch_part_is_open_on(request, connection))
				continue;
			if (request->tx == TX_SENDING && request->nbd.rx == NBD_RX_FINAL) {
				wire_request_move_tx(request, TX_SENT);
				dispatch_part_settled(queue, request);
				continue;
			}
			note_stale_write(queue, request);
			dispatch_part_fail(queue, request);
		}
	}
}
