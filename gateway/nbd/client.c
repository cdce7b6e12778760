/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/nbd/carry.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/deadline.h"
#include "gateway/nbd/join.h"
#include "gateway/nbd/leave.h"
#include "gateway/nbd/receive.h"
#include "gateway/nbd/replace.h"
#include "gateway/nbd/send.h"
#include "gateway/nbd/settle.h"
#include "gateway/nbd/waiting.h"

/* --- a block request as wire requests ------------------------------------------------------------ */

static uint16_t command_of(enum block_op op)
{
	static const uint16_t commands[] = {
		[BLOCK_READ] = NBD_CMD_READ,
		[BLOCK_WRITE] = NBD_CMD_WRITE,
		[BLOCK_FLUSH] = NBD_CMD_FLUSH,
		[BLOCK_TRIM] = NBD_CMD_TRIM,
		[BLOCK_WRITE_ZEROES] = NBD_CMD_WRITE_ZEROES,
	};

	return commands[op];
}

static uint16_t flags_of(const struct block_request *request,
			 const struct nbd_client_shared *shared)
{
	uint16_t flags = 0;

	if (block_request_changes(request) && (request->fua || shared->fua_always) &&
	    shared->export->flags & NBD_FLAG_SEND_FUA)
		flags |= NBD_CMD_FLAG_FUA;
	if (request->no_hole)
		flags |= NBD_CMD_FLAG_NO_HOLE;
	return flags;
}

/* The most bytes of a part: READ and WRITE have the server's largest payload, of which each part stays a
 * multiple of the server's minimum block; the other commands carry none. */
static uint32_t part_bytes_max(const struct block_request *request, const struct nbd_export *export)
{
	if (request->op != BLOCK_READ && request->op != BLOCK_WRITE)
		return UINT32_MAX;
	return export->payload_max_bytes - export->payload_max_bytes % export->block_minimum_bytes;
}

int nbd_client_split_request(struct split *split, const struct nbd_client_shared *shared)
{
	const struct block_request *request = split->request;
	uint32_t part_max = part_bytes_max(request, shared->export), done_bytes = 0;
	uint16_t command = command_of(request->op), flags = flags_of(request, shared);

	split->parts_count = 0;
	do {
		uint32_t left_bytes = request->length_bytes - done_bytes;
		struct wire_request *part = &split->parts[split->parts_count];

		if (split->parts_count == shared->parts_max)
			return -EIO;
		part->nbd.command = command;
		part->nbd.flags = flags;
		part->nbd.offset_bytes = request->offset_bytes + done_bytes;
		part->nbd.length_bytes = left_bytes < part_max ? left_bytes : part_max;
		part->payload_offset_bytes = done_bytes;
		done_bytes += part->nbd.length_bytes;
		split->parts_count++;
	} while (done_bytes < request->length_bytes);
	return 0;
}

/* --- submit ------------------------------------------------------------------------------------- */

/* An older write that the server never answered may still be carried out here, and always may: see holds.h. */
static void log_held_for_ever(struct nbd_client *client, const struct wire_request *request)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	struct block_backend *base = &client->base;
	uint32_t held;

	stats_add(&base->stats->hold_refusals, 1);
	trouble_note(base->trouble, false,
		     "writing %u bytes at %llu is refused: the server never answered an earlier "
		     "write there, and may still carry it out",
		     request->nbd.length_bytes, (unsigned long long)request->nbd.offset_bytes);
	if (log_limit_pass(&limit, &held))
		log_error("queue %u tag %u: writing %u bytes at %llu is refused: the server never "
			  "answered an earlier write there, and may still carry it out; disconnect "
			  "and connect again%s",
			  base->queue_id, request->tag, request->nbd.length_bytes,
			  (unsigned long long)request->nbd.offset_bytes, log_limit_held_text(held));
}

/* Ours to keep: the kernel asked for something that the disk's own limits exclude. */
static void log_refused(const struct block_backend *base, const struct wire_request *request,
			int error)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	char text[NBD_REQUEST_TEXT_BYTES];
	uint32_t held;

	trouble_note(base->trouble, false, "%s is not a request that the server supports: %s",
		     nbd_request_text(&request->nbd, text, sizeof(text)), strerror(-error));
	if (log_limit_pass(&limit, &held))
		log_error("queue %u tag %u: command %u at %llu+%u is not a request that the server "
			  "supports: %s%s",
			  base->queue_id, request->tag, request->nbd.command,
			  (unsigned long long)request->nbd.offset_bytes, request->nbd.length_bytes,
			  strerror(-error), log_limit_held_text(held));
}

/* What becomes of a part that has no connection. */
enum fate { FATE_SENT, FATE_WAITS, FATE_FAILS, FATE_NEEDLESS };

static bool is_carried(struct nbd_client *client, const struct wire_request *request)
{
	return nbd_client_split(client, request->tag)->loan != NULL;
}

/* With no connection left. */
static enum fate fate_without_connection(struct nbd_client *client, struct wire_request *request)
{
	struct server_link *link = &client->shared->link;

	if (is_carried(client, request))
		return FATE_WAITS;
	if (server_link_state(link) == LINK_ONLINE && !client->giving_up &&
	    carry_lend(client, request))
		return FATE_SENT;
	if (request->nbd.command == NBD_CMD_FLUSH && link->counts_unflushed &&
	    server_link_unflushed(link) == 0)
		return FATE_NEEDLESS;
	if (waiting_is_allowed(client))
		return FATE_WAITS;
	waiting_note_failure(client, request);
	connection_note_cut_off(client);
	return FATE_FAILS;
}

static bool flush_must_fail(struct nbd_client *client, const struct wire_request *request)
{
	if (request->nbd.command != NBD_CMD_FLUSH ||
	    !atomic_load_explicit(&client->shared->link.flush_fails, memory_order_relaxed))
		return false;
	trouble_note(client->base.trouble, false,
		     "FLUSH fails: writes that the server had acknowledged may be lost");
	return true;
}

/* Whether it has to wait for an older write of a lost connection, or fails because of that. */
static enum hold_answer meets_hold(struct nbd_client *client, const struct wire_request *request)
{
	enum hold_answer answer;

	if (holds_are_empty(&client->shared->holds) || request->sent_before ||
	    !wire_request_changes_export(request))
		return HOLD_NONE;
	answer = holds_meet(&client->shared->holds, request->nbd.offset_bytes,
			    request->nbd.length_bytes, client->base.now_ms);
	if (answer == HOLD_NEVER)
		log_held_for_ever(client, request);
	return answer;
}

/* Enqueues it, if it can go out now. */
static enum fate enqueue_part(struct nbd_client *client, struct wire_request *request)
{
	struct connection *connection = connection_pick(client, request->nbd.length_bytes);
	enum hold_answer hold;
	int ret;

	if (flush_must_fail(client, request))
		return FATE_FAILS;
	ret = nbd_request_check(&request->nbd, client->export);
	if (ret < 0) {
		log_refused(&client->base, request, ret);
		return FATE_FAILS;
	}
	hold = meets_hold(client, request);
	if (hold == HOLD_NEVER)
		return FATE_FAILS;
	if (hold == HOLD_WAIT && (connection || waiting_is_allowed(client)))
		return FATE_WAITS;
	if (!connection)
		return fate_without_connection(client, request);
	if (request->nbd.command == NBD_CMD_FLUSH)
		nbd_client_split(client, request->tag)->flush_mark =
			server_link_flush_mark(&client->shared->link);
	send_enqueue(connection, request);
	return FATE_SENT;
}

/* What is carried for another queue does not wait here. */
static void give_back_part(struct nbd_client *client, struct wire_request *request)
{
	nbd_client_split(client, request->tag)->loan->lost = true;
	settle_part_failed(client, request);
}

static void place_part(struct nbd_client *client, struct wire_request *request)
{
	switch (enqueue_part(client, request)) {
	case FATE_SENT:
		break;
	case FATE_WAITS:
		if (is_carried(client, request))
			give_back_part(client, request);
		else
			waiting_add(client, request);
		break;
	case FATE_NEEDLESS:
		settle_part_needless(client, request);
		break;
	case FATE_FAILS:
		settle_part_failed(client, request);
		break;
	}
}

/* With no connection left the request waits, or fails at once. It fails when the client is leaving: nothing may
 * follow its last FLUSH and DISC. */
static void dispatch(struct nbd_client *client, struct split *split)
{
	bool refused = client->leaving != LEAVE_NONE;

	client->export->size_bytes =
		atomic_load_explicit(&client->shared->export_size_bytes, memory_order_relaxed);
	split->generation++;
	split->error = 0;
	split->parts_open = split->parts_count;
	for (uint16_t part = 0, count = split->parts_count; part < count; part++) {
		struct wire_request *request = &split->parts[part];

		request->nbd.cookie = split_cookie(split, part);
		nbd_request_move_rx(&request->nbd, NBD_RX_IDLE);
		request->connection = NULL;
		request->losses = split->loan ? split->loan->losses : 0;
		request->sent_before = split->loan && split->loan->sent;
		if (refused)
			settle_part_failed(client, request);
		else
			place_part(client, request);
	}
}

/* What other queues, which have no connection, left here; and what this one left with others. */
static void look_at_loans(struct nbd_client *client)
{
	struct loan *loan = loan_take_to_carry(&client->box);

	while (loan) {
		struct loan *next = loan->next;
		struct split *split = carry_begin(client, loan);

		if (split) { /* a part is not split once more */
			nbd_client_split_request(split, client->shared);
			split->parts[0].payload_offset_bytes = loan->payload_offset_bytes;
			dispatch(client, split);
		}
		loan = next;
	}
	carry_take_back(client);
}

static void submit(struct block_backend *backend, struct block_request *request)
{
	struct nbd_client *client = nbd_client_of(backend);
	struct split *split = &client->splits[request->tag];

	split->request = request;
	if (nbd_client_split_request(split, client->shared) < 0) {
		log_refused(backend, &split->parts[0], -E2BIG);
		split->parts_count = 0;
		request->error = -EIO;
		block_request_done(backend, request);
		return;
	}
	split->active = true;
	split->held = client->replacing != REPLACE_NONE;
	if (!split->held)
		dispatch(client, split);
}

/* --- each turn ----------------------------------------------------------------------------------- */

static void arm(struct block_backend *backend)
{
	struct nbd_client *client = nbd_client_of(backend);

	for (uint32_t i = 0; i < client->connections_count; i++) {
		send_kick(&client->connections[i]);
		receive_arm(&client->connections[i]);
	}
}

static void completed(struct block_backend *backend, const struct io_uring_cqe *cqe)
{
	struct nbd_client *client = nbd_client_of(backend);
	struct connection *connection = &client->connections[ring_index_of(cqe->user_data)];

	if (ring_kind_of(cqe->user_data) == NBD_RING_SEND)
		send_completed(connection, cqe->res);
	else
		receive_completed(connection, cqe->res, cqe->flags);
}

/* Quiet times end, and --dead-timeout does, without a completion. */
static void tick(struct block_backend *backend, int64_t due_ms)
{
	struct nbd_client *client = nbd_client_of(backend);

	deadline_look(client, due_ms);
	if (waiting_is_empty(client))
		return;
	join_seek_life(client);
	client->parked_look |= connection_pick(client, 0) || !waiting_is_allowed(client) ||
			       server_link_state(&client->shared->link) == LINK_ONLINE;
}

/* Places again what waits; what has to wait longer has waited since the same time. */
static void look_at_parked(struct nbd_client *client)
{
	int64_t since_ms = atomic_load(&client->parked_since_ms);
	struct wire_request *request = waiting_take_all(client);

	client->parked_look = false;
	while (request) {
		struct wire_request *next = request->next;

		place_part(client, request);
		request = next;
	}
	if (!waiting_is_empty(client))
		atomic_store(&client->parked_since_ms, since_ms);
}

/* What came while connections were replaced. */
static void dispatch_held(struct nbd_client *client)
{
	for (uint32_t tag = 0; tag < client->shared->depth; tag++) {
		struct split *split = &client->splits[tag];

		if (!split->held)
			continue;
		split->held = false;
		dispatch(client, split);
	}
}

/* The main thread has set another --timeout. What is under way keeps the deadline that it has. */
static void follow_timeout(struct nbd_client *client)
{
	uint32_t timeout_ms = atomic_load(&client->shared->timeout_ms);

	if (timeout_ms == client->timeout_ms)
		return;
	client->timeout_ms = timeout_ms;
	client->base.tick_ms = deadline_tick_ms(timeout_ms);
	for (uint32_t i = 0; i < client->connections_count; i++)
		if (connection_works(&client->connections[i]))
			connection_follow_timeout(&client->connections[i]);
}

static void advance(struct block_backend *backend, bool asked)
{
	struct nbd_client *client = nbd_client_of(backend);

	if (asked)
		follow_timeout(client);
	if (asked && atomic_exchange(&client->replace_asked, false))
		replace_begin(client);
	join_look(client, asked);
	if (loan_box_was_filled(&client->box))
		look_at_loans(client);
	if (client->replacing != REPLACE_NONE) {
		replace_advance(client);
		if (client->replacing == REPLACE_NONE)
			dispatch_held(client);
	}
	client->parked_look |= asked;
	if (client->parked_look && client->replacing == REPLACE_NONE && !waiting_is_empty(client))
		look_at_parked(client);
	if (client->replacing == REPLACE_NONE && client->leaving == LEAVE_NONE &&
	    client->connections_retiring > 0)
		leave_retiring(client);
}

static void condemn(struct block_backend *backend, const char *why)
{
	struct nbd_client *client = nbd_client_of(backend);

	client->replace_cancelled = client->replacing != REPLACE_NONE;
	client->giving_up = true;
	client->parked_look = true;
	for (uint32_t i = 0; i < client->connections_count; i++)
		connection_condemn(&client->connections[i], 0, "%s", why);
}

static bool leave(struct block_backend *backend)
{
	struct nbd_client *client = nbd_client_of(backend);

	return client->replacing == REPLACE_NONE && carry_end(client) && leave_all(client);
}

static bool is_busy(const struct block_backend *backend)
{
	const struct nbd_client *client = nbd_client_of(backend);

	for (uint32_t i = 0; i < client->connections_count; i++)
		if (client->connections[i].own.active)
			return true;
	return client->carrying > 0; /* whose deadlines are kept here */
}

/* --- what the ring has --------------------------------------------------------------------------- */

static uint32_t files(const struct block_backend *backend, int *fds)
{
	const struct nbd_client *client = nbd_client_of(backend);

	/* Batches and staging were made for this kind. */
	assert(client->shared->in_place == backend->payload->ops->in_place);
	for (uint32_t i = 0; i < client->connections_count; i++) {
		*fds++ = client->connections[i].transport->fd;
		*fds++ = -1;
	}
	return CONNECTION_FILES * client->connections_count;
}

static void returned(struct block_backend *backend, const struct io_uring_cqe *cqe)
{
	struct nbd_client *client = nbd_client_of(backend);
	struct connection *connection = &client->connections[ring_index_of(cqe->user_data)];

	if (ring_kind_of(cqe->user_data) == NBD_RING_SEND)
		connection->send_armed = false;
	else
		connection->receive_armed = false;
}

static bool holds_memory(const struct block_backend *backend)
{
	const struct nbd_client *client = nbd_client_of(backend);

	for (uint32_t i = 0; i < client->connections_count; i++)
		if (connection_is_armed(&client->connections[i]))
			return true;
	return false;
}

static const struct block_backend_ops client_ops = {
	.submit = submit,
	.arm = arm,
	.completed = completed,
	.returned = returned,
	.holds_memory = holds_memory,
	.tick = tick,
	.advance = advance,
	.condemn = condemn,
	.leave = leave,
	.is_busy = is_busy,
	.files = files,
};

_Static_assert(CONNECTION_FILES *DISK_CONNECTIONS_MAX <= RING_BACKEND_FILES_MAX,
	       "each connection has its places");

/* --- other threads ------------------------------------------------------------------------------- */

void nbd_client_ask_replace(struct nbd_client *client)
{
	atomic_store(&client->replaced, 0);
	atomic_store(&client->replace_asked, true);
}

uint64_t nbd_client_memory_bytes(const struct nbd_client_shared *shared)
{
	return shared->depth *
	       (sizeof(struct split) + (uint64_t)shared->parts_max * sizeof(struct wire_request));
}

static void open_carried(struct nbd_client *client)
{
	for (uint32_t i = 0; i < LOANS_MAX; i++) {
		uint16_t tag = (uint16_t)(client->shared->depth + client->connections_count + i);

		client->carried[i].tag = tag;
		client->carried[i].parts = &client->carried_parts[i];
		client->carried_parts[i].tag = tag;
	}
}

static int open_splits(struct nbd_client *client)
{
	const struct nbd_client_shared *shared = client->shared;

	client->splits = calloc(shared->depth, sizeof(*client->splits));
	client->parts = calloc((size_t)shared->depth * shared->parts_max, sizeof(*client->parts));
	client->export = malloc(sizeof(*client->export));
	if (!client->splits || !client->parts || !client->export)
		return -ENOMEM;
	*client->export = *shared->export;
	open_carried(client);
	for (uint16_t tag = 0; tag < shared->depth; tag++) {
		struct split *split = &client->splits[tag];

		split->tag = tag;
		split->parts = &client->parts[(size_t)tag * shared->parts_max];
		for (uint16_t i = 0; i < shared->parts_max; i++) {
			split->parts[i].tag = tag;
			split->parts[i].part = i;
		}
	}
	return 0;
}

int nbd_client_open(struct nbd_client *client, struct nbd_client_shared *shared,
		    struct transport **transports, uint32_t transports_count)
{
	int ret = 0;

	memset(client, 0, sizeof(*client));
	loan_box_open(&client->box);
	client->base.ops = &client_ops;
	client->timeout_ms = atomic_load(&shared->timeout_ms);
	client->base.tick_ms = deadline_tick_ms(client->timeout_ms);
	client->shared = shared;
	for (uint32_t i = 0; i < transports_count; i++) {
		int opened = connection_open(&client->connections[i], client, i, transports[i]);

		client->connections_count++;
		if (opened < 0)
			ret = opened;
	}
	return ret < 0 ? ret : open_splits(client);
}

void nbd_client_close(struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++) {
		connection_close(&client->connections[i]);
		transport_close(client->joining[i]);
		transport_close(client->incoming[i]);
		transport_close(client->outgoing[i]);
		client->joining[i] = NULL;
		client->incoming[i] = NULL;
		client->outgoing[i] = NULL;
	}
	free(client->export);
	free(client->parts);
	free(client->splits);
	client->export = NULL;
	client->parts = NULL;
	client->splits = NULL;
}
