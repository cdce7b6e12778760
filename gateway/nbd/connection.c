/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "gateway/common/log.h"
#include "gateway/common/tcp.h"
#include "gateway/nbd/patience.h"
#include "gateway/nbd/settle.h"
#include "tls/tls.h"

/* A receive brings at most this much through staging: one that is copied on from there is large,
 * to bring many replies at once; where they lie in place, large payloads bypass it. */
#define STAGING_BYTES	       (256u << 10)
#define STAGING_IN_PLACE_BYTES (64u << 10)
/* What is received for TLS at once; opened, it fits staging together with a record begun before. */
#define ARRIVED_BYTES (STAGING_BYTES - 2 * TLS_RECORD_BYTES_MAX)
/* Beside the largest payload: headers, and small writes that are waiting with it. */
#define BATCH_EXTRA_BYTES (256u << 10)
/* A connection with this much in flight is full: see connection_pick(). */
#define SHARE_BYTES (1u << 20)

/* A state in the table of legal moves. */
#define BIT(n) (1u << (n))

void connection_move(struct connection *connection, enum connection_state to)
{
	static const uint8_t legal[] = {
		[CONNECTION_DEAD] = BIT(CONNECTION_LIVE),
		[CONNECTION_LIVE] = BIT(CONNECTION_RETIRING) | BIT(CONNECTION_CONDEMNED),
		[CONNECTION_RETIRING] = BIT(CONNECTION_CONDEMNED),
		[CONNECTION_CONDEMNED] = BIT(CONNECTION_DEAD),
	};

	assert(legal[connection_state(connection)] & BIT(to));
	atomic_store(&connection->state, to);
}

/* The parser's question: which request waits under this cookie? */
static struct nbd_request *find_request(void *context, uint64_t cookie)
{
	struct connection *connection = context;
	struct split *split = nbd_client_split(connection->client, wire_cookie_tag(cookie));
	uint16_t part = wire_cookie_part(cookie);
	struct wire_request *request;

	if (!split || !split->active || part >= split->parts_count)
		return NULL;
	request = &split->parts[part];
	if (request->nbd.cookie != cookie || request->connection != connection ||
	    !wire_request_awaits_reply(request))
		return NULL;
	return &request->nbd;
}

/* The kernel gives a peer that acknowledges nothing up as late as we would, a server that reads
 * nothing while it flushes: data that was sent but never acknowledged must not keep the socket open.
 * Fails harmlessly on other families. */
static void set_user_timeout(const struct nbd_client *client, int fd)
{
	tcp_set_user_timeout(fd, patience_ms(client->shared, NBD_CMD_FLUSH));
}

static void *allocate(uint32_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void release(uint8_t **memory, uint32_t bytes)
{
	if (*memory)
		munmap(*memory, bytes);
	*memory = NULL;
}

static int open_batch(struct connection *connection, uint32_t bytes)
{
	struct batch *batch = &connection->batch;

	batch->memory = allocate(bytes);
	batch->memory_bytes = bytes;
	batch_reset(batch);
	return batch->memory ? 0 : -ENOMEM;
}

/* Room for the socket's bytes beside NBD's, where the two differ. */
static int open_transport_buffers(struct connection *connection, uint32_t batch_bytes)
{
	const struct transport *transport = connection->transport;

	connection->batch.copies = !transport->direct_tx;
	if (!transport->direct_tx) {
		connection->sealed_bytes = TLS_SEALED_BYTES_MAX(batch_bytes);
		connection->sealed = allocate(connection->sealed_bytes);
		if (!connection->sealed)
			return -ENOMEM;
	}
	if (!transport->direct_rx) {
		connection->arrived_bytes = ARRIVED_BYTES;
		connection->arrived = allocate(connection->arrived_bytes);
		if (!connection->arrived)
			return -ENOMEM;
	}
	return 0;
}

uint64_t connection_memory_bytes_max(const struct nbd_client_shared *shared)
{
	uint64_t batch_bytes = (uint64_t)BATCH_EXTRA_BYTES + shared->max_io_bytes;

	return batch_bytes + TLS_SEALED_BYTES_MAX(batch_bytes) + STAGING_BYTES + ARRIVED_BYTES;
}

static void open_own(struct connection *connection)
{
	uint16_t tag = (uint16_t)(connection->client->shared->depth + connection->index);

	connection->own.tag = tag;
	connection->own.parts = &connection->request;
	connection->request.tag = tag;
}

int connection_open(struct connection *connection, struct nbd_client *client, uint32_t index,
		    struct transport *transport)
{
	const struct nbd_client_shared *shared = client->shared;
	uint32_t batch_bytes = BATCH_EXTRA_BYTES;
	int ret;

	memset(connection, 0, sizeof(*connection));
	connection->client = client;
	connection->index = index;
	connection->transport = transport;
	connection->answered_lowest = UINT64_MAX;
	connection->file = connection_file_of(index);
	open_own(connection);
	ret = transport_detach(transport);
	if (ret < 0)
		return ret;
	if (!shared->in_place || !transport->direct_tx)
		batch_bytes += shared->max_io_bytes;
	connection->staging_bytes =
		shared->in_place && transport->direct_rx ? STAGING_IN_PLACE_BYTES : STAGING_BYTES;
	connection->staging = allocate(connection->staging_bytes);
	if (!connection->staging)
		return -ENOMEM;
	ret = open_transport_buffers(connection, batch_bytes);
	if (ret == 0)
		ret = open_batch(connection, batch_bytes);
	if (ret < 0)
		return ret;
	nbd_reply_parser_init(&connection->parser, shared->export->framing, find_request,
			      connection);
	set_user_timeout(client, transport->fd);
	connection_move(connection, CONNECTION_LIVE);
	return 0;
}

bool connection_fits(const struct connection *connection, const struct transport *transport)
{
	return transport->direct_tx == connection->transport->direct_tx &&
	       transport->direct_rx == connection->transport->direct_rx;
}

void connection_replace(struct connection *connection, struct transport *transport, uint32_t file)
{
	const struct nbd_client_shared *shared = connection->client->shared;

	assert(connection_state(connection) == CONNECTION_DEAD);
	assert(connection_fits(connection, transport));
	connection->transport = transport;
	connection->file = file;
	connection->leaving = false;
	connection->fell_silent = false;
	connection->answers = 0;
	connection->receive_empty = false;
	connection->direct_request = NULL;
	connection->answered_lowest = UINT64_MAX;
	connection->forgiven_ms = 0;
	batch_reset(&connection->batch);
	nbd_reply_parser_init(&connection->parser, shared->export->framing, find_request,
			      connection);
	set_user_timeout(connection->client, transport->fd);
	connection->reason[0] = '\0';
	connection_move(connection, CONNECTION_LIVE);
}

void connection_follow_timeout(const struct connection *connection)
{
	set_user_timeout(connection->client, connection->transport->fd);
}

void connection_close(struct connection *connection)
{
	transport_close(connection->transport);
	connection->transport = NULL;
	if (connection_is_armed(connection))
		return;
	release(&connection->staging, connection->staging_bytes);
	release(&connection->arrived, connection->arrived_bytes);
	release(&connection->sealed, connection->sealed_bytes);
	release(&connection->batch.memory, connection->batch.memory_bytes);
}

static void cancel(struct connection *connection, uint32_t kind)
{
	struct io_uring_sqe *sqe = ring_sqe(connection->client->base.ring, RING_CANCEL, 0);
	uint64_t user_data = sqe->user_data;

	io_uring_prep_cancel64(sqe, ring_user_data(kind, connection->index), 0);
	sqe->user_data = user_data;
}

/* No more is sent or received: what the ring has of this connection is made to come back. */
static void abandon(struct connection *connection)
{
	if (connection_state(connection) == CONNECTION_RETIRING)
		connection->client->connections_retiring--;
	connection_move(connection, CONNECTION_CONDEMNED);
	/* What is still queued in the kernel must not reach the server later; after DISC, it must. */
	if (connection->leaving || !tcp_abort(connection->transport->fd))
		shutdown(connection->transport->fd, SHUT_RDWR);
	if (connection->send_armed)
		cancel(connection, NBD_RING_SEND);
	if (connection->receive_armed)
		cancel(connection, NBD_RING_RECEIVE);
	connection_drain(connection);
}

void connection_leave(struct connection *connection)
{
	if (connection_works(connection))
		abandon(connection);
}

/* Counts and logs once that the connection is lost to the disk, for the reason that is in it. */
static void report_loss(struct connection *connection, int error)
{
	struct block_backend *base = &connection->client->base;
	char in_flight[40] = "";

	stats_add(&base->stats->connections_lost, 1);
	if (connection->in_flight > 0)
		snprintf(in_flight, sizeof(in_flight), "; %u request%s in flight",
			 connection->in_flight, connection->in_flight == 1 ? "" : "s");
	trouble_note(base->trouble, false, "the connection to %s was given up: %s%s%s",
		     connection->peer_text, connection->reason, error ? ": " : "",
		     error ? strerror(error) : "");
	log_error("queue %u: connection %u to %s is given up: %s%s%s%s", base->queue_id,
		  connection->index, connection->peer_text, connection->reason, error ? ": " : "",
		  error ? strerror(error) : "", in_flight);
}

void connection_retire(struct connection *connection)
{
	if (connection_state(connection) != CONNECTION_LIVE || connection->leaving)
		return;
	snprintf(connection->reason, sizeof(connection->reason), "the server is shutting down");
	report_loss(connection, 0);
	connection->client->connections_retiring++;
	connection_move(connection, CONNECTION_RETIRING);
}

/* Whether it may be closed without a word: it was left after DISC, which a server may answer by
 * closing first; or it was given up before, and owes no answer. */
static bool expects_the_end(const struct connection *connection)
{
	return connection->leaving ||
	       (connection_state(connection) == CONNECTION_RETIRING && connection->in_flight == 0);
}

void connection_condemn(struct connection *connection, int error, const char *format, ...)
{
	va_list arguments;

	if (!connection_works(connection))
		return;
	if (!expects_the_end(connection)) {
		va_start(arguments, format);
		vsnprintf(connection->reason, sizeof(connection->reason), format, arguments);
		va_end(arguments);
		report_loss(connection, error);
	}
	abandon(connection);
}

bool connection_met_damage(const struct connection *connection, int result)
{
	return result == -EBADMSG && transport_tls_describe(connection->transport);
}

void connection_drain(struct connection *connection)
{
	if (connection_state(connection) != CONNECTION_CONDEMNED || connection->send_armed ||
	    connection->receive_armed)
		return;
	connection->waiting_head = NULL;
	connection->waiting_tail = NULL;
	connection->sending_head = NULL;
	connection->sending_tail = NULL;
	settle_connection(connection);
	/* The main thread acts upon DEAD: by then all that was acknowledged here is counted. */
	connection_move(connection, CONNECTION_DEAD);
	server_link_changed(&connection->client->shared->link);
}

/* --- which of several ---------------------------------------------------------------------------- */

/*
 * One connection is filled before the next is used: what goes out on one connection goes out in
 * one send, and comes back in fewer receives. It is full when it has its even share of the queue's
 * tags, or SHARE_BYTES; when all are full, the one with the least to do.
 */
struct connection *connection_pick(struct nbd_client *client, uint64_t length_bytes)
{
	uint32_t count = client->connections_count;
	uint32_t share = (client->shared->depth + count - 1) / count;
	struct connection *best = NULL;

	for (uint32_t i = 0; i < count; i++) {
		struct connection *connection = &client->connections[i];

		if (connection_state(connection) == CONNECTION_LIVE &&
		    connection->in_flight < share &&
		    connection->in_flight_bytes + length_bytes <= SHARE_BYTES)
			return connection;
	}

	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = (client->connection_next + i) % count;
		struct connection *connection = &client->connections[index];

		if (connection_state(connection) == CONNECTION_LIVE &&
		    (!best || connection->in_flight < best->in_flight))
			best = connection;
	}
	if (best)
		client->connection_next = best->index + 1;
	return best;
}

void connection_note_cut_off(const struct nbd_client *client)
{
	const char *reason = "";

	for (uint32_t i = 0; i < client->connections_count && !reason[0]; i++)
		reason = client->connections[i].reason;
	trouble_note(client->base.trouble, false, "no connection to the server is left%s%s",
		     reason[0] ? ": " : "", reason);
}
