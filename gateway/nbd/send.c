/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/send.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/patience.h"
#include "gateway/nbd/settle.h"

/* A batch is not made larger than the request that reaches this: what was sent of one is known only
 * when all of it has left, which on a slow link must not take as long as --timeout. */
#define BATCH_FULL_BYTES (1u << 20)

void send_enqueue(struct connection *connection, struct wire_request *request)
{
	assert(connection_works(connection));
	wire_request_move_tx(request, TX_QUEUED);
	request->connection = connection;
	request->next = NULL;
	request->sequence = connection->sequence_next++;
	patience_begin(connection->client, request);
	if (connection->waiting_tail)
		connection->waiting_tail->next = request;
	else
		connection->waiting_head = request;
	connection->waiting_tail = request;
	connection_count(connection, 1);
	connection->in_flight_bytes += request->nbd.length_bytes;
}

void send_own(struct connection *connection, uint16_t command)
{
	struct split *own = &connection->own;
	struct wire_request *request = &connection->request;

	assert(own->parts_open == 0);
	own->active = true;
	own->generation++;
	own->error = 0;
	own->parts_count = 1;
	own->parts_open = 1;
	request->nbd = (struct nbd_request){ .command = command, .cookie = split_cookie(own, 0) };
	send_enqueue(connection, request);
}

/* Memory of the batch that a request needs: its header, and its payload where that is copied. */
static uint32_t batch_bytes_needed(const struct connection *connection,
				   const struct wire_request *request)
{
	const struct nbd_client_shared *shared = connection->client->shared;
	uint32_t bytes = nbd_request_header_bytes(shared->export->framing);

	if (request->nbd.command == NBD_CMD_WRITE &&
	    (!shared->in_place || connection->batch.copies))
		bytes += request->nbd.length_bytes;
	return bytes;
}

/* Puts a WRITE's payload into the batch. 0 or -errno. */
static int gather_payload(struct connection *connection, const struct wire_request *request)
{
	uint32_t offset_bytes = request->payload_offset_bytes,
		 length_bytes = request->nbd.length_bytes;
	struct batch *batch = &connection->batch;
	uint16_t tag;
	struct payload *payload = nbd_client_payload(connection->client, request, &tag);
	int ret;

	if (payload->ops->in_place && !batch->copies) {
		batch_refer(batch, payload->ops->place(payload, tag, offset_bytes).memory,
			    length_bytes);
		return 0;
	}
	ret = payload->ops->load(payload, tag, offset_bytes, batch_extend(batch, length_bytes),
				 length_bytes);
	if (ret < 0)
		batch_unextend(batch, length_bytes);
	return ret;
}

/* Puts one request into the batch. 0, or the negative errno of getting at its payload. */
static int gather(struct connection *connection, struct wire_request *request)
{
	enum nbd_framing framing = connection->client->shared->export->framing;
	uint32_t header_bytes = nbd_request_header_bytes(framing);
	struct batch *batch = &connection->batch;
	int ret;

	nbd_request_encode(&request->nbd, framing, batch_extend(batch, header_bytes));
	if (request->nbd.command != NBD_CMD_WRITE)
		return 0;
	ret = gather_payload(connection, request);
	if (ret < 0)
		batch_unextend(batch, header_bytes);
	else /* the socket's copy */
		stats_add(&connection->client->base.stats->copied_bytes, request->nbd.length_bytes);
	return ret;
}

static void log_payload(const struct block_backend *base, const struct wire_request *request,
			int error)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	uint32_t held;

	trouble_note(base->trouble, false, "the driver does not give what is to be written: %s",
		     strerror(-error));
	if (log_limit_pass(&limit, &held))
		log_error("queue %u tag %u: the driver does not give what is to be written: %s%s",
			  base->queue_id, request->tag, strerror(-error),
			  log_limit_held_text(held));
}

static struct wire_request *pop_waiting(struct connection *connection)
{
	struct wire_request *request = connection->waiting_head;

	connection->waiting_head = request->next;
	if (!connection->waiting_head)
		connection->waiting_tail = NULL;
	request->next = NULL;
	return request;
}

static void push_sending(struct connection *connection, struct wire_request *request)
{
	if (connection->sending_tail)
		connection->sending_tail->next = request;
	else
		connection->sending_head = request;
	connection->sending_tail = request;
}

/* From here on the server may answer: the reply can be read before the send's completion. */
static void start_request(struct connection *connection, struct wire_request *request)
{
	wire_request_move_tx(request, TX_SENDING);
	request->answers_before = connection->answers;
	if (request->nbd.command != NBD_CMD_DISC)
		nbd_request_expect(&request->nbd);
	push_sending(connection, request);
	stats_add(&connection->client->base.stats->wire_requests, 1);
}

static void arm(struct connection *connection)
{
	struct batch *batch = &connection->batch;
	struct io_uring_sqe *sqe =
		ring_sqe(connection->client->base.ring, NBD_RING_SEND, connection->index);
	uint32_t pieces = batch->iovecs_count - batch->iovecs_first;
	struct iovec *first = &batch->iovecs[batch->iovecs_first];
	uint64_t user_data = sqe->user_data;
	int file = (int)connection->file;
	int flags = MSG_NOSIGNAL | connection->transport->send_flags;

	if (pieces == 1) {
		io_uring_prep_send(sqe, file, first->iov_base, first->iov_len, flags);
	} else {
		batch->message = (struct msghdr){ .msg_iov = first, .msg_iovlen = pieces };
		io_uring_prep_sendmsg(sqe, file, &batch->message, flags);
	}
	sqe->user_data = user_data;
	sqe->flags = IOSQE_FIXED_FILE;
	connection->send_armed = true;
	stats_add(&connection->client->base.stats->sends, 1);
}

/* Puts the sealed bytes in the batch's place. false: the connection was condemned. */
static bool seal(struct connection *connection)
{
	struct transport *transport = connection->transport;
	struct batch *batch = &connection->batch;
	ssize_t n =
		transport->ops->seal(transport, batch->iovecs[0].iov_base, batch->iovecs[0].iov_len,
				     connection->sealed, connection->sealed_bytes);

	if (n < 0) {
		connection_condemn(connection, (int)-n, "TLS cannot seal what is to be sent");
		return false;
	}
	stats_add(&connection->client->base.stats->copied_bytes, batch->total_bytes);
	batch_replace(batch, connection->sealed, (uint32_t)n);
	return true;
}

void send_kick(struct connection *connection)
{
	struct batch *batch = &connection->batch;

	if (connection->send_armed || !connection->waiting_head || !connection_works(connection))
		return;
	batch_reset(batch);
	while (connection->waiting_head && batch->total_bytes < BATCH_FULL_BYTES &&
	       batch_has_room(batch, batch_bytes_needed(connection, connection->waiting_head))) {
		struct wire_request *request = pop_waiting(connection);
		int ret = gather(connection, request);

		if (ret == 0) {
			start_request(connection, request);
			continue;
		}
		log_payload(&connection->client->base, request, ret);
		settle_part_failed(connection->client, request);
	}
	if (batch_is_empty(batch))
		return;
	if (!connection->sealed || seal(connection))
		arm(connection);
}

/* The whole batch left: its requests are SENT, and those answered already are settled. */
static void batch_sent(struct connection *connection)
{
	struct wire_request *request = connection->sending_head;

	connection->sending_head = NULL;
	connection->sending_tail = NULL;
	while (request) {
		struct wire_request *next = request->next;

		request->next = NULL;
		wire_request_move_tx(request, TX_SENT);
		if (request->nbd.rx == NBD_RX_FINAL || request->nbd.command == NBD_CMD_DISC)
			settle_part(connection->client, request);
		request = next;
	}
}

void send_completed(struct connection *connection, int result)
{
	connection->send_armed = false;
	if (!connection_works(connection)) {
		connection_drain(connection);
		return;
	}
	if (result <= 0) {
		if (result == -EINTR || result == -EAGAIN)
			arm(connection);
		else
			connection_condemn(connection, -result, "%s",
					   connection_met_damage(connection, result)
						   ? CONNECTION_DAMAGED_TEXT
						   : "sending failed");
		return;
	}
	if (batch_advance(&connection->batch, (uint32_t)result))
		batch_sent(connection);
	else
		arm(connection);
}
