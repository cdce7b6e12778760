/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/receive.h"

#include <assert.h>
#include <errno.h>

#include "gateway/common/log.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/patience.h"
#include "gateway/nbd/settle.h"
#include "proto/error.h"
#include "proto/wire.h"
#include "tls/tls.h"

/* From here on it pays to wait for the whole rest of a payload instead of taking what is there. */
#define WHOLE_PAYLOAD_BYTES (16u << 10)
#define CLOSED		    "the server closed the connection"

/* Where the rest of the current payload can be received to, or NULL for staging. */
static void *direct_place(struct connection *connection, struct nbd_request *nbd,
			  uint64_t offset_bytes)
{
	const struct wire_request *request = wire_request_of(nbd);
	uint16_t tag;
	const struct payload *payload = nbd_client_payload(connection->client, request, &tag);

	if (!payload->ops->in_place)
		return NULL;
	return payload->ops
		->place(payload, tag, request->payload_offset_bytes + (uint32_t)offset_bytes)
		.memory;
}

void receive_arm(struct connection *connection)
{
	struct io_uring_sqe *sqe;
	struct nbd_request *nbd = NULL;
	uint64_t offset_bytes = 0, user_data;
	bool direct = !connection->arrived;
	uint32_t length_bytes = direct ? connection->staging_bytes : connection->arrived_bytes;
	uint32_t left_bytes;
	void *place = NULL, *buffer = direct ? connection->staging : connection->arrived;
	int flags = 0;

	if (connection->receive_armed || !connection_works(connection))
		return;
	left_bytes = nbd_reply_payload_left(&connection->parser, &nbd, &offset_bytes);
	/* TLS may hold a record's beginning already: so much less is certain to come. */
	if (!direct)
		left_bytes -= left_bytes < TLS_RECORD_BYTES_MAX ? left_bytes : TLS_RECORD_BYTES_MAX;
	if (left_bytes >= WHOLE_PAYLOAD_BYTES) {
		place = direct ? direct_place(connection, nbd, offset_bytes) : NULL;
		if (place || left_bytes < length_bytes)
			length_bytes = left_bytes;
		flags = MSG_WAITALL;
	}
	connection->direct_request = place ? wire_request_of(nbd) : NULL;
	sqe = ring_sqe(connection->client->base.ring, NBD_RING_RECEIVE, connection->index);
	user_data = sqe->user_data;
	io_uring_prep_recv(sqe, (int)connection->file, place ? place : buffer, length_bytes, flags);
	sqe->user_data = user_data;
	sqe->flags = IOSQE_FIXED_FILE;
	if (connection->receive_empty)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	connection->receive_armed = true;
	stats_add(&connection->client->base.stats->receives, 1);
}

static int take_data(struct connection *connection, const struct nbd_reply_event *event)
{
	struct wire_request *request = wire_request_of(event->request);
	uint32_t offset_bytes = request->payload_offset_bytes + (uint32_t)event->offset_bytes;
	uint16_t tag;
	struct payload *payload = nbd_client_payload(connection->client, request, &tag);

	if (event->type == NBD_REPLY_HOLE)
		return payload->ops->zero(payload, tag, offset_bytes, event->length_bytes);
	stats_add(&connection->client->base.stats->copied_bytes,
		  event->length_bytes); /* the socket's */
	return payload->ops->store(payload, tag, offset_bytes, event->data, event->length_bytes);
}

/* The server's message is its own text: what is not plain ASCII is not logged. */
static void log_server_error(struct connection *connection, const struct nbd_reply_event *event)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	struct wire_request *request = wire_request_of(event->request);
	char message[200], text[NBD_REQUEST_TEXT_BYTES];
	uint32_t held, used = 0;

	while (used < event->message_bytes && used < sizeof(message) - 1) {
		char c = event->message[used];

		message[used++] = c >= ' ' && c <= '~' ? c : '?';
	}
	message[used] = '\0';
	trouble_note(connection->client->base.trouble, true,
		     "the server answered %s with the error %s%s%s",
		     nbd_request_text(&request->nbd, text, sizeof(text)),
		     nbd_error_name(event->wire_error), used ? ": " : "", message);
	if (!log_limit_pass(&limit, &held))
		return;
	log_warning("queue %u tag %u: the server failed command %u at %llu+%u: %s (%u)%s%s%s",
		    connection->client->base.queue_id, request->tag, request->nbd.command,
		    (unsigned long long)request->nbd.offset_bytes, request->nbd.length_bytes,
		    nbd_error_name(event->wire_error), event->wire_error, used ? ": " : "", message,
		    log_limit_held_text(held));
}

static void log_scattered(struct connection *connection, const struct wire_request *request)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	uint32_t held;

	trouble_note(connection->client->base.trouble, true,
		     "the server answered READ of %u bytes at %llu in more than %u separate "
		     "pieces: a smaller --max-io-size helps",
		     request->nbd.length_bytes, (unsigned long long)request->nbd.offset_bytes,
		     NBD_COVERAGE_SPANS_MAX);
	if (log_limit_pass(&limit, &held))
		log_warning("queue %u tag %u: reading %u bytes at %llu fails: the server answers "
			    "in more than %u separate pieces; a smaller --max-io-size helps%s",
			    connection->client->base.queue_id, request->tag,
			    request->nbd.length_bytes,
			    (unsigned long long)request->nbd.offset_bytes, NBD_COVERAGE_SPANS_MAX,
			    log_limit_held_text(held));
}

/* The first answer since a connection was lost or made. */
static void server_lives(const struct nbd_client *client)
{
	holds_server_lives(&client->shared->holds, client->base.now_ms);
	server_link_answered(&client->shared->link);
}

static void take_final(struct connection *connection, struct wire_request *request)
{
	if (request->nbd.error != NBD_ESHUTDOWN) { /* which says that nothing will be answered */
		connection->answers++;
		if (atomic_load_explicit(&connection->client->shared->link.unproven,
					 memory_order_relaxed))
			server_lives(connection->client);
	}
	if (request->nbd.scattered)
		log_scattered(connection, request);
	patience_answered(connection, request);
	if (request->tx == TX_SENT)
		settle_part(connection->client, request);
}

/* One event of the parser. false: the connection was condemned. */
static bool take_event(struct connection *connection, const struct nbd_reply_event *event)
{
	int ret;

	switch (event->type) {
	case NBD_REPLY_DATA:
	case NBD_REPLY_HOLE:
		ret = take_data(connection, event);
		if (ret == 0)
			return true;
		connection_condemn(connection, -ret, "tag %u: cannot store what was read",
				   wire_request_of(event->request)->tag);
		return false;
	case NBD_REPLY_ERROR:
		log_server_error(connection, event);
		if (event->wire_error == NBD_ESHUTDOWN)
			connection_retire(connection);
		return true;
	case NBD_REPLY_FINAL:
		take_final(connection, wire_request_of(event->request));
		return true;
	case NBD_REPLY_NEED_MORE:
		break;
	}
	assert(!"the parser gave an event that does not exist");
	return false;
}

static void parse(struct connection *connection, const uint8_t *bytes, size_t len)
{
	for (;;) {
		struct nbd_reply_event event;
		size_t used = 0;

		if (nbd_reply_parse(&connection->parser, bytes, len, &used, &event) < 0) {
			connection_condemn(connection, 0, "the server broke the protocol: %s",
					   connection->parser.why);
			return;
		}
		bytes += used;
		len -= used;
		if (event.type == NBD_REPLY_NEED_MORE || !take_event(connection, &event))
			return;
	}
}

/* The socket's bytes as NBD's, in staging. The count, or -errno. */
static ssize_t open_arrived(struct connection *connection, size_t arrived_bytes)
{
	struct transport *transport = connection->transport;

	return transport->ops->open(transport, connection->arrived, arrived_bytes,
				    connection->staging, connection->staging_bytes);
}

static void condemn_over(struct connection *connection, int over)
{
	if (over == -ECONNRESET)
		connection_condemn(connection, 0, CLOSED);
	else if (over == -ECONNABORTED)
		connection_condemn(connection, -over, "the server ended TLS with an alert");
	else
		connection_condemn(connection, -over, CONNECTION_DAMAGED_TEXT);
}

/* What was received into staging, or for TLS has to get there. */
static void take_received(struct connection *connection, size_t len)
{
	ssize_t n = (ssize_t)len;

	if (connection->arrived)
		n = open_arrived(connection, len);
	if (n > 0)
		parse(connection, connection->staging, (size_t)n);
	else if (n < 0 && !connection->transport->over)
		connection_condemn(connection, (int)-n, "what arrived cannot be opened");
	if (connection->transport->over)
		condemn_over(connection, connection->transport->over);
}

/* The kernel gives data alone; of another record it only says that there is one. */
static const char *failure_text(const struct connection *connection, int result)
{
	if (!result)
		return CLOSED;
	if (result == -EIO && transport_tls_describe(connection->transport))
		return "receiving failed: the server ended TLS, or sent a record that is not data";
	if (connection_met_damage(connection, result))
		return CONNECTION_DAMAGED_TEXT;
	return "receiving failed";
}

void receive_completed(struct connection *connection, int result, uint32_t cqe_flags)
{
	connection->receive_armed = false;
	connection->receive_empty = !(cqe_flags & IORING_CQE_F_SOCK_NONEMPTY);
	if (!connection_works(connection)) {
		connection_drain(connection);
		return;
	}
	if (result == -EINTR || result == -EAGAIN)
		return;
	if (result <= 0) {
		connection_condemn(connection, -result, "%s", failure_text(connection, result));
		return;
	}
	if (!connection->direct_request) {
		take_received(connection, (size_t)result);
		return;
	}
	stats_add(&connection->client->base.stats->copied_bytes, (uint64_t)result);
	nbd_reply_payload_received(&connection->parser, (uint32_t)result);
	parse(connection, NULL, 0);
}
