/* SPDX-License-Identifier: MIT */
#include "gateway/disk/queue.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/translate.h"
#include "proto/error.h"

#define THREAD_STACK_BYTES (256u << 10)
#define TICK_MS_MIN        20
#define TICK_MS_MAX        250
/* FLUSH, TRIM and WRITE_ZEROES may keep a server busy for long: their deadline is so much later. */
#define SLOW_COMMAND_FACTOR 4

static void queue_move(struct queue *queue, enum queue_state to)
{
	enum queue_state from = atomic_load_explicit(&queue->state, memory_order_relaxed);

	/* Forward only; each step may be left out. */
	assert(to > from);
	atomic_store(&queue->state, to);
}

static enum queue_state queue_state(const struct queue *queue)
{
	return atomic_load_explicit(&queue->state, memory_order_relaxed);
}

uint32_t queue_tick_ms(const struct queue *queue)
{
	uint32_t tick_ms = queue->shared->timeout_ms / 10;

	return tick_ms < TICK_MS_MIN ? TICK_MS_MIN : tick_ms > TICK_MS_MAX ? TICK_MS_MAX : tick_ms;
}

static void read_clock(struct queue *queue)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	queue->now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- the driver's side: fetch, commit ---------------------------------------------------------- */

static void put_command(struct queue *queue, struct slot *slot, uint32_t op, int32_t result)
{
	struct io_uring_sqe *sqe = ring_sqe(&queue->ring, RING_UBLK, slot->tag);
	struct ublksrv_io_cmd *command = (struct ublksrv_io_cmd *)sqe->cmd;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = queue->shared->char_fd;
	sqe->cmd_op = op;
	command->q_id = queue->id;
	command->tag = slot->tag;
	command->result = result;
	command->addr = queue->payload.ops->fetch_addr(&queue->payload, slot->tag);
}

static void count_committed(struct queue *queue, const struct slot *slot)
{
	struct stats *stats = &queue->stats;
	uint64_t copied_bytes = (uint64_t)slot->length_bytes * queue->payload.ops->kernel_copies;

	if (slot->error) {
		stats_add(&stats->errors, 1);
	} else if (slot->op == UBLK_IO_OP_READ) {
		stats_add(&stats->read_bytes, slot->length_bytes);
		stats_add(&stats->copied_bytes, copied_bytes);
	} else if (slot->op == UBLK_IO_OP_WRITE) {
		stats_add(&stats->write_bytes, slot->length_bytes);
		stats_add(&stats->copied_bytes, copied_bytes);
	}
}

/*
 * Ends the block request and waits for the next under this tag. The result is the full length or
 * a negative errno, never anything between: the driver takes a short result for success where it
 * does not do the copying itself.
 */
static void commit(struct queue *queue, struct slot *slot)
{
	int32_t result = slot->error ? slot->error : (int32_t)slot->length_bytes;

	assert(slot->parts_open == 0 && slot->error <= 0);
	for (uint16_t part = 0; part < slot->parts_count; part++) {
		struct wire_request *request = &slot->parts[part];

		if (request->tx != TX_IDLE)
			wire_request_move_tx(request, TX_IDLE);
	}
	count_committed(queue, slot);
	slot_move(slot, SLOT_PARKED);
	queue->slots_active--;
	put_command(queue, slot, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

/* --- parts ------------------------------------------------------------------------------------- */

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
	commit(queue, slot);
}

static struct slot *slot_of(struct queue *queue, const struct wire_request *request)
{
	return request->tag == queue->shared->depth ? &queue->own : &queue->slots[request->tag];
}

void queue_part_settled(struct queue *queue, struct wire_request *request)
{
	int error = request->nbd.error ? -nbd_error_to_errno(request->nbd.error) : 0;

	assert(request->tx == TX_SENT);
	connection_count(request->connection, -1u);
	request->connection = NULL; /* a further reply under this cookie finds nothing */
	close_part(queue, slot_of(queue, request), error);
}

void queue_part_fail(struct queue *queue, struct wire_request *request, int error)
{
	if (request->connection)
		connection_count(request->connection, -1u);
	request->connection = NULL;
	if (request->tx != TX_IDLE)
		wire_request_move_tx(request, TX_IDLE);
	request->nbd.rx = NBD_RX_IDLE;
	close_part(queue, slot_of(queue, request), error);
}

/* The live connection with the least to do; NULL when none is left. */
static struct connection *pick_connection(struct queue *queue)
{
	struct connection *best = NULL;

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

static uint32_t slow_factor(const struct slot *slot)
{
	uint16_t command = slot->parts[0].nbd.command;

	return command == NBD_CMD_READ || command == NBD_CMD_WRITE ? 1 : SLOW_COMMAND_FACTOR;
}

/* Hands every part of an ACTIVE slot to connections. With none left the request fails at once:
 * this is where --dead-timeout will let it wait for a new one. */
static void dispatch(struct queue *queue, struct slot *slot)
{
	slot->generation++;
	slot->error = 0;
	slot->parts_open = slot->parts_count;
	slot->deadline_ms =
		queue->now_ms + (int64_t)queue->shared->timeout_ms * slow_factor(slot);
	for (uint16_t part = 0, count = slot->parts_count; part < count; part++) {
		struct wire_request *request = &slot->parts[part];
		struct connection *connection = pick_connection(queue);

		request->nbd.cookie = slot_cookie(slot, part);
		request->nbd.rx = NBD_RX_IDLE;
		request->connection = NULL;
		if (connection && nbd_request_check(&request->nbd, queue->export) == 0)
			connection_enqueue(connection, request);
		else
			queue_part_fail(queue, request, -EIO);
	}
}

/* Whether this part still waits for the connection: queued, in its batch, or sent and not answered. */
static bool part_is_open_on(const struct wire_request *request, const struct connection *connection)
{
	if (request->connection != connection || request->tx == TX_IDLE)
		return false;
	return request->tx != TX_SENT || request->nbd.rx != NBD_RX_FINAL;
}

/*
 * The connection is drained: no SQE refers to anything any more. A part whose whole answer came
 * keeps it; each other ends with EIO, because nobody knows what the server did with it.
 */
void queue_connection_dead(struct queue *queue, struct connection *connection)
{
	for (uint32_t tag = 0; tag <= queue->shared->depth; tag++) {
		struct slot *slot =
			tag == queue->shared->depth ? &queue->own : &queue->slots[tag];

		if (slot->state != SLOT_ACTIVE)
			continue;
		for (uint16_t part = 0, count = slot->parts_count; part < count; part++) {
			struct wire_request *request = &slot->parts[part];

			if (!part_is_open_on(request, connection))
				continue;
			if (request->tx == TX_SENDING && request->nbd.rx == NBD_RX_FINAL) {
				wire_request_move_tx(request, TX_SENT);
				queue_part_settled(queue, request);
			} else {
				queue_part_fail(queue, request, -EIO);
			}
		}
	}
}

/* --- requests and aborts from the driver -------------------------------------------------------- */

static void count_request(struct queue *queue, const struct slot *slot)
{
	struct stats *stats = &queue->stats;

	switch (slot->op) {
	case UBLK_IO_OP_READ:
		stats_add(&stats->reads, 1);
		break;
	case UBLK_IO_OP_WRITE:
		stats_add(&stats->writes, 1);
		break;
	case UBLK_IO_OP_FLUSH:
		stats_add(&stats->flushes, 1);
		break;
	case UBLK_IO_OP_DISCARD:
		stats_add(&stats->trims, 1);
		break;
	default:
		stats_add(&stats->zeroes, 1);
	}
}

static void take_request(struct queue *queue, struct slot *slot)
{
	struct queue_shared *shared = queue->shared;
	struct translate_limits limits = {
		.export = queue->export,
		.size_bytes = atomic_load_explicit(&shared->size_bytes, memory_order_relaxed),
		.max_io_bytes = shared->max_io_bytes,
		.parts_max = shared->parts_max,
		.fua_always = shared->fua_always,
	};
	int ret;

	queue->export->size_bytes =
		atomic_load_explicit(&shared->export_size_bytes, memory_order_relaxed);
	ret = translate_request(slot, &queue->descriptors[slot->tag], &limits);
	slot_move(slot, SLOT_ACTIVE);
	queue->slots_active++;
	if (ret == 0) {
		count_request(queue, slot);
		dispatch(queue, slot);
		return;
	}
	log_error("queue %u tag %u: the kernel asked for operation %u on %u sectors at %llu: %s",
		  queue->id, slot->tag, slot->op, queue->descriptors[slot->tag].nr_sectors,
		  (unsigned long long)queue->descriptors[slot->tag].start_sector, strerror(-ret));
	slot->error = ret;
	slot->parts_count = 0;
	slot->parts_open = 0;
	commit(queue, slot);
}

static void ublk_completed(struct queue *queue, uint32_t tag, int result)
{
	struct slot *slot = &queue->slots[tag];

	if (result == UBLK_IO_RES_OK) {
		take_request(queue, slot);
		return;
	}
	if (result != UBLK_IO_RES_ABORT) {
		log_error("queue %u tag %u: the driver refused the command: %s", queue->id, tag,
			  strerror(-result));
		atomic_store(&queue->failure, -result);
	}
	slot_move(slot, SLOT_ENDED);
	queue->slots_ended++;
}

/* --- time and mail ------------------------------------------------------------------------------- */

static void arm_tick(struct queue *queue)
{
	struct io_uring_sqe *sqe;
	uint32_t tick_ms = queue_tick_ms(queue);
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
		    !part_is_open_on(request, connection))
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
static void tick_completed(struct queue *queue)
{
	int64_t horizon_ms = queue->now_ms + queue_tick_ms(queue);

	queue->tick_armed = false;
	for (uint32_t tag = 0; tag < queue->shared->depth; tag++) {
		struct slot *slot = &queue->slots[tag];

		if (slot->state == SLOT_ACTIVE && slot->deadline_ms <= horizon_ms)
			condemn_overdue_connections(queue, slot);
	}
	if (queue->own.state == SLOT_ACTIVE && queue->own.deadline_ms <= horizon_ms)
		condemn_overdue_connections(queue, &queue->own);
}

static void arm_mailbox(struct queue *queue)
{
	struct io_uring_sqe *sqe = ring_sqe(&queue->ring, RING_MAILBOX, 0);
	uint64_t user_data = sqe->user_data;

	io_uring_prep_read(sqe, queue->mailbox_fd, &queue->mailbox_value,
			   sizeof(queue->mailbox_value), 0);
	sqe->user_data = user_data;
	queue->mailbox_armed = true;
}

static void condemn_all(struct queue *queue, const char *why)
{
	for (uint32_t i = 0; i < queue->connections_count; i++)
		connection_condemn(&queue->connections[i], 0, "%s", why);
}

static void mailbox_completed(struct queue *queue)
{
	uint32_t requested = atomic_exchange(&queue->requested, 0);

	queue->mailbox_armed = false;
	if (requested & QUEUE_REQUEST_CONDEMN)
		condemn_all(queue, "the disk is being removed by force");
	if (requested & QUEUE_REQUEST_GIVE_UP) {
		atomic_store(&queue->failure, ECANCELED);
		condemn_all(queue, "the disk was not started");
	}
}

/* --- the end: flush, leave ----------------------------------------------------------------------- */

static void send_own(struct queue *queue, struct connection *connection, uint16_t command)
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
	own->deadline_ms =
		queue->now_ms +
		(int64_t)queue->shared->timeout_ms * (command == NBD_CMD_FLUSH ? SLOW_COMMAND_FACTOR : 1);
	request->nbd = (struct nbd_request){ .command = command, .cookie = slot_cookie(own, 0) };
	connection_enqueue(connection, request);
}

static void start_flushing(struct queue *queue)
{
	struct connection *connection = pick_connection(queue);

	queue_move(queue, QUEUE_FLUSHING);
	if (!queue->wrote || !(queue->shared->export->flags & NBD_FLAG_SEND_FLUSH))
		return;
	if (connection)
		send_own(queue, connection, NBD_CMD_FLUSH);
	else
		atomic_store(&queue->flush_error, EIO);
}

/* DISC goes out on each live connection in turn; one on which it has left is closed. True when
 * none is live any more and nothing of any is in the ring. */
static bool leave_next(struct queue *queue)
{
	bool all_dead = true;

	for (uint32_t i = 0; i < queue->connections_count; i++) {
		struct connection *connection = &queue->connections[i];

		if (connection_state(connection) == CONNECTION_LIVE && connection->leaving)
			connection_leave(connection);
		if (connection_state(connection) == CONNECTION_LIVE) {
			connection->leaving = true;
			send_own(queue, connection, NBD_CMD_DISC);
			return false;
		}
		if (connection_state(connection) != CONNECTION_DEAD)
			all_dead = false;
	}
	return all_dead;
}

/* Moves the queue on when what its state waits for has happened. */
static void advance(struct queue *queue)
{
	if (queue_state(queue) == QUEUE_SERVING &&
	    (queue->slots_ended == queue->shared->depth ||
	     (atomic_load(&queue->failure) && queue->slots_active == 0)))
		start_flushing(queue);
	if (queue_state(queue) == QUEUE_FLUSHING && queue->own.parts_open == 0) {
		if (queue->own.error)
			atomic_store(&queue->flush_error, -queue->own.error);
		queue_move(queue, QUEUE_LEAVING);
	}
	if (queue_state(queue) == QUEUE_LEAVING && queue->own.parts_open == 0 && leave_next(queue))
		queue_move(queue, QUEUE_DONE);
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void dispatch_cqe(struct queue *queue, const struct io_uring_cqe *cqe)
{
	uint32_t index = ring_index_of(cqe->user_data);

	switch (ring_kind_of(cqe->user_data)) {
	case RING_UBLK:
		ublk_completed(queue, index, cqe->res);
		break;
	case RING_SEND:
		send_completed(&queue->connections[index], cqe->res);
		break;
	case RING_RECEIVE:
		receive_completed(&queue->connections[index], cqe->res);
		break;
	case RING_MAILBOX:
		mailbox_completed(queue);
		break;
	case RING_TICK:
		tick_completed(queue);
		break;
	case RING_CANCEL:
		break;
	}
}

static void reap(struct queue *queue)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	read_clock(queue);
	io_uring_for_each_cqe(&queue->ring, head, cqe) {
		seen++;
		dispatch_cqe(queue, cqe);
	}
	io_uring_cq_advance(&queue->ring, seen);
}

/* Arms what should be armed: sends, receives, and the tick while anybody waits for a reply. */
static void arm_all(struct queue *queue)
{
	for (uint32_t i = 0; i < queue->connections_count; i++) {
		send_kick(&queue->connections[i]);
		receive_arm(&queue->connections[i]);
	}
	if (queue->slots_active > 0 || queue->own.parts_open > 0)
		arm_tick(queue);
	if (!queue->mailbox_armed)
		arm_mailbox(queue);
}

/* Waits without a deadline: every request has one, which the tick enforces; without a request
 * there is nothing to wait for but the driver, whose abort ends the queue. */
static int turn(struct queue *queue)
{
	int ret;

	arm_all(queue);
	stats_add(&queue->stats.enters, 1);
	ret = io_uring_submit_and_wait(&queue->ring, 1);
	if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		return ret;
	reap(queue);
	advance(queue);
	return 0;
}

static void *queue_main(void *argument)
{
	struct queue *queue = argument;
	const uint64_t one = 1;
	int ret;

	ret = ring_open(&queue->ring, queue->shared->depth);
	if (ret == 0) {
		queue_move(queue, QUEUE_SERVING);
		read_clock(queue);
		for (uint32_t tag = 0; tag < queue->shared->depth; tag++)
			put_command(queue, &queue->slots[tag], UBLK_U_IO_FETCH_REQ, 0);
		while (ret == 0 && queue_state(queue) != QUEUE_DONE)
			ret = turn(queue);
		io_uring_queue_exit(&queue->ring);
	}
	for (uint32_t i = 0; i < queue->connections_count; i++) {
		queue->connections[i].send_armed = false;
		queue->connections[i].receive_armed = false;
	}
	if (ret < 0) {
		log_error("queue %u ends: io_uring: %s", queue->id, strerror(-ret));
		atomic_store(&queue->failure, -ret);
		atomic_store(&queue->state, QUEUE_DONE);
	}
	if (write(queue->done_fd, &one, sizeof(one)) < 0)
		log_error("queue %u: cannot report its end: %s", queue->id, strerror(errno));
	return NULL;
}

int queue_start(struct queue *queue)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int ret;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&queue->thread, &attributes, queue_main, queue);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	queue->thread_started = ret == 0;
	return -ret;
}

void queue_request(struct queue *queue, uint32_t bits)
{
	const uint64_t one = 1;

	atomic_fetch_or(&queue->requested, bits);
	if (write(queue->mailbox_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("queue %u: cannot be reached: %s", queue->id, strerror(errno));
}

bool queue_join(struct queue *queue, uint32_t timeout_ms)
{
	struct timespec deadline;

	if (!queue->thread_started)
		return true;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += timeout_ms / 1000;
	deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	if (pthread_timedjoin_np(queue->thread, NULL, &deadline) != 0)
		return false;
	queue->thread_started = false;
	return true;
}

/* --- open, close --------------------------------------------------------------------------------- */

static int map_descriptors(struct queue *queue)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	size_t stride_bytes = UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc);
	void *descriptors;

	/* The driver wants exactly this length; each queue's area begins a full area further. */
	queue->descriptors_bytes = queue->shared->depth * sizeof(struct ublksrv_io_desc);
	queue->descriptors_bytes = (queue->descriptors_bytes + page_bytes - 1) & ~(page_bytes - 1);
	stride_bytes = (stride_bytes + page_bytes - 1) & ~(page_bytes - 1);
	descriptors = mmap(NULL, queue->descriptors_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE,
			   queue->shared->char_fd,
			   (off_t)(UBLKSRV_CMD_BUF_OFFSET + queue->id * stride_bytes));
	if (descriptors == MAP_FAILED)
		return -errno;
	queue->descriptors = descriptors;
	return 0;
}

static int open_slots(struct queue *queue)
{
	const struct queue_shared *shared = queue->shared;

	queue->slots = calloc(shared->depth, sizeof(*queue->slots));
	queue->parts = calloc((size_t)shared->depth * shared->parts_max + 1, sizeof(*queue->parts));
	queue->export = malloc(sizeof(*queue->export));
	if (!queue->slots || !queue->parts || !queue->export)
		return -ENOMEM;
	*queue->export = *shared->export;
	for (uint32_t tag = 0; tag <= shared->depth; tag++) {
		struct slot *slot = tag == shared->depth ? &queue->own : &queue->slots[tag];

		slot->tag = (uint16_t)tag;
		slot->parts = &queue->parts[(size_t)tag * shared->parts_max];
		for (uint16_t i = 0; i < (tag == shared->depth ? 1 : shared->parts_max); i++) {
			slot->parts[i].tag = (uint16_t)tag;
			slot->parts[i].part = i;
		}
	}
	return 0;
}

static int open_payload(struct queue *queue)
{
	struct payload *payload = &queue->payload;

	payload->char_fd = queue->shared->char_fd;
	payload->queue_id = queue->id;
	payload->depth = queue->shared->depth;
	payload->max_io_bytes = queue->shared->max_io_bytes;
	payload->stats = &queue->stats;
	if (queue->shared->payload == DISK_PAYLOAD_USER_COPY)
		return payload_open_user_copy(payload);
	return payload_open_mapped(payload);
}

int queue_open(struct queue *queue, struct queue_shared *shared, uint16_t id,
	       struct transport **transports, uint32_t transports_count)
{
	int ret = 0;

	memset(queue, 0, sizeof(*queue));
	queue->shared = shared;
	queue->id = id;
	queue->mailbox_fd = eventfd(0, EFD_CLOEXEC);
	queue->done_fd = eventfd(0, EFD_CLOEXEC);
	for (uint32_t i = 0; i < transports_count; i++) {
		int opened = connection_open(&queue->connections[i], queue, i, transports[i]);

		queue->connections_count++;
		if (opened < 0)
			ret = opened;
	}
	if (queue->mailbox_fd < 0 || queue->done_fd < 0)
		ret = -EMFILE;
	if (ret == 0)
		ret = open_slots(queue);
	if (ret == 0)
		ret = open_payload(queue);
	if (ret == 0)
		ret = map_descriptors(queue);
	return ret;
}

void queue_close(struct queue *queue)
{
	assert(!queue->thread_started);
	for (uint32_t i = 0; i < queue->connections_count; i++)
		connection_close(&queue->connections[i]);
	if (queue->descriptors)
		munmap(queue->descriptors, queue->descriptors_bytes);
	queue->descriptors = NULL;
	payload_close(&queue->payload);
	free(queue->export);
	free(queue->parts);
	free(queue->slots);
	if (queue->mailbox_fd >= 0)
		close(queue->mailbox_fd);
	if (queue->done_fd >= 0)
		close(queue->done_fd);
}
