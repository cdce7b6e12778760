/* SPDX-License-Identifier: MIT */
#include "gateway/disk/queue.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/process.h"

#define SUBMIT_TRIES  1000
#define JOIN_SLICE_MS 100
/* What is cancelled at the end comes back at once, or perhaps never. */
#define DRAIN_TRIES  20
#define DRAIN_NAP_MS 5

void queue_move(struct queue *queue, enum queue_state to)
{
	enum queue_state from = atomic_load_explicit(&queue->state, memory_order_relaxed);

	/* Forward only; each step may be left out. */
	assert(to > from);
	atomic_store(&queue->state, to);
}

static void read_clock(struct queue *queue)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	queue->now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
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
	if (requested & QUEUE_REQUEST_REPLACE)
		replace_begin(queue);
	if (requested & (QUEUE_REQUEST_CONDEMN | QUEUE_REQUEST_GIVE_UP))
		queue->replace_cancelled = queue->replacing != REPLACE_NONE;
	if (requested & QUEUE_REQUEST_CONDEMN)
		condemn_all(queue, "the disk is being removed by force");
	if (requested & QUEUE_REQUEST_GIVE_UP) {
		atomic_store(&queue->failure, ECANCELED);
		condemn_all(queue, "the disk was not started");
	}
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void dispatch_cqe(struct queue *queue, const struct io_uring_cqe *cqe)
{
	uint32_t index = ring_index_of(cqe->user_data);

	switch (ring_kind_of(cqe->user_data)) {
	case RING_UBLK:
		fetch_completed(queue, index, cqe->res);
		break;
	case RING_SEND:
		send_completed(&queue->connections[index], cqe->res);
		break;
	case RING_RECEIVE:
		receive_completed(&queue->connections[index], cqe->res, cqe->flags);
		break;
	case RING_MAILBOX:
		mailbox_completed(queue);
		break;
	case RING_TICK:
		deadline_completed(queue);
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
		deadline_arm(queue);
	if (!queue->mailbox_armed)
		arm_mailbox(queue);
}

/* Waits without a deadline for one completion: every request has one, which the tick enforces; without
 * a request there is nothing to wait for but the driver, whose abort ends the queue. */
static int turn(struct queue *queue)
{
	int ret;

	queue->turns++;
	queue->completions_at_once = 0;
	arm_all(queue);
	stats_add(&queue->stats.enters, 1);
	ret = ring_submit_and_wait(&queue->ring, 1 + queue->completions_at_once,
				   deadline_tick_ms(queue));
	if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		return ret;
	reap(queue);
	deadline_look(queue);
	replace_advance(queue);
	if (queue->replacing == REPLACE_NONE && queue_state(queue) == QUEUE_SERVING &&
	    queue->connections_retiring > 0)
		leave_retiring(queue);
	if (queue->replacing == REPLACE_NONE)
		leave_advance(queue);
	return 0;
}

static int open_ring(struct queue *queue)
{
	int fds[RING_FILE_CONNECTION + DISK_CONNECTIONS_MAX * RING_FILES_PER_CONNECTION];
	int ret = ring_open(&queue->ring, queue->shared->depth);

	if (ret < 0)
		return ret;
	fds[RING_FILE_CHAR] = queue->shared->char_fd;
	for (uint32_t i = 0; i < queue->connections_count; i++) {
		fds[ring_file_of(i)] = queue->connections[i].transport->fd;
		fds[ring_file_of(i) + 1] = -1; /* none yet */
	}
	ret = ring_register_files(&queue->ring, fds, ring_file_of(queue->connections_count));
	if (ret < 0)
		ring_close(&queue->ring);
	return ret;
}

static int submit_all(struct queue *queue)
{
	int ret = 0;

	for (int tries = 0; tries < SUBMIT_TRIES && io_uring_sq_ready(&queue->ring) > 0; tries++) {
		ret = io_uring_submit(&queue->ring);
		if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
			return ret;
	}
	return io_uring_sq_ready(&queue->ring) > 0 ? -EAGAIN : 0;
}

/* Whether an operation of the ring may still use memory of ours. */
static bool ring_holds_memory(const struct queue *queue)
{
	for (uint32_t i = 0; i < queue->connections_count; i++)
		if (connection_is_armed(&queue->connections[i]))
			return true;
	return queue->mailbox_armed;
}

/* The same of the buffers whose addresses the driver has, one for each command that it has. */
static bool driver_holds_memory(const struct queue *queue)
{
	for (uint32_t tag = 0; queue->payload.buffers && tag < queue->shared->depth; tag++)
		if (queue->slots[tag].state == SLOT_PARKED)
			return true;
	return false;
}

static void note_returned(struct queue *queue)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe(&queue->ring, head, cqe) {
		uint32_t index = ring_index_of(cqe->user_data);

		seen++;
		if (ring_kind_of(cqe->user_data) == RING_SEND)
			queue->connections[index].send_armed = false;
		else if (ring_kind_of(cqe->user_data) == RING_RECEIVE)
			queue->connections[index].receive_armed = false;
		else if (ring_kind_of(cqe->user_data) == RING_MAILBOX)
			queue->mailbox_armed = false;
	}
	io_uring_cq_advance(&queue->ring, seen);
}

/* Before the ring is closed: takes back what it has of ours, the mailbox's read always, and all else
 * where the ring has failed. What does not come back keeps its memory (queue_close()). */
static void drain(struct queue *queue)
{
	const struct timespec nap = { .tv_nsec = DRAIN_NAP_MS * 1000000L };
	int ret = 0;

	for (int tries = 0; ring_holds_memory(queue) && tries < DRAIN_TRIES; tries++) {
		if (tries > 0)
			nanosleep(&nap, NULL);
		ret = ring_cancel_all(&queue->ring);
		note_returned(queue);
		if (ret < 0)
			break;
	}
	if (ring_holds_memory(queue))
		log_warning("queue %u: its io_uring keeps what it has%s%s: that memory stays until "
			    "the daemon ends",
			    queue->id, ret < 0 ? ": " : "", ret < 0 ? strerror(-ret) : "");
}

void queue_report(struct queue *queue)
{
	const uint64_t one = 1;

	if (write(queue->report_fd, &one, sizeof(one)) < 0)
		log_error("queue %u: cannot report its state: %s", queue->id, strerror(errno));
}

static void *queue_main(void *argument)
{
	struct queue *queue = argument;
	int ret;

	ret = open_ring(queue);
	if (ret == 0) {
		queue_move(queue, QUEUE_SERVING);
		read_clock(queue);
		fetch_all(queue);
		ret = submit_all(queue);
		/* With its first commands the driver wanted CAP_SYS_ADMIN; from here on it does not. */
		process_confine_thread();
		while (ret == 0 && queue_state(queue) != QUEUE_DONE)
			ret = turn(queue);
		drain(queue);
		ring_close(&queue->ring);
	}
	if (ret < 0) {
		trouble_note(&queue->shared->trouble, false, "io_uring failed: %s", strerror(-ret));
		log_error("queue %u ends: io_uring: %s", queue->id, strerror(-ret));
		atomic_store(&queue->failure, -ret);
		if (queue_state(queue) != QUEUE_DONE)
			queue_move(queue, QUEUE_DONE);
	}
	queue_report(queue);
	return NULL;
}

int queue_start(struct queue *queue)
{
	int ret = process_thread_start(&queue->thread, queue_main, queue);

	queue->thread_started = ret == 0;
	return ret;
}

void queue_request(struct queue *queue, uint32_t bits)
{
	const uint64_t one = 1;

	atomic_fetch_or(&queue->requested, bits);
	if (write(queue->mailbox_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("queue %u: cannot be reached: %s", queue->id, strerror(errno));
}

int queue_hurry(struct queue *queue, bool hurry)
{
	const struct sched_param lowest = { .sched_priority = hurry ? 1 : 0 };

	if (!queue->thread_started)
		return 0;
	return -pthread_setschedparam(queue->thread, hurry ? SCHED_RR : SCHED_OTHER, &lowest);
}

static bool join_within(pthread_t thread, uint32_t ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline); /* the time of day may be set meanwhile */
	deadline.tv_nsec += (long)ms * 1000000;
	deadline.tv_sec += deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &deadline) == 0;
}

/* In slices: where this daemon does not run for long (a signal stopped it, or the machine was), one of them
 * ends, and the queue's thread still has its time. */
bool queue_join(struct queue *queue, uint32_t timeout_ms)
{
	uint32_t slices = timeout_ms / JOIN_SLICE_MS + 1;

	if (!queue->thread_started)
		return true;
	for (uint32_t i = 0; i < slices && queue->thread_started; i++)
		queue->thread_started = !join_within(queue->thread, JOIN_SLICE_MS);
	return !queue->thread_started;
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

uint64_t queue_memory_bytes(const struct queue_shared *shared)
{
	uint64_t slot_bytes =
		sizeof(struct slot) + (uint64_t)shared->parts_max * sizeof(struct wire_request);

	if (shared->payload == DISK_PAYLOAD_MAPPED)
		slot_bytes += shared->max_io_bytes;
	return shared->depth * slot_bytes;
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
		uint16_t parts_count;

		slot->tag = (uint16_t)tag;
		slot->parts = &queue->parts[(size_t)tag * shared->parts_max];
		parts_count = tag == shared->depth ? 1 : shared->parts_max;
		for (uint16_t i = 0; i < parts_count; i++) {
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
	queue->report_fd = eventfd(0, EFD_CLOEXEC);
	for (uint32_t i = 0; i < transports_count; i++) {
		int opened = connection_open(&queue->connections[i], queue, i, transports[i]);

		queue->connections_count++;
		if (opened < 0)
			ret = opened;
	}
	if (queue->mailbox_fd < 0 || queue->report_fd < 0)
		ret = -EMFILE;
	if (ret == 0)
		ret = open_slots(queue);
	if (ret == 0)
		ret = open_payload(queue);
	if (ret == 0)
		ret = map_descriptors(queue);
	return ret;
}

bool queue_close(struct queue *queue)
{
	bool held = ring_holds_memory(queue);

	assert(!queue->thread_started);
	for (uint32_t i = 0; i < queue->connections_count; i++) {
		connection_close(&queue->connections[i]);
		transport_close(queue->incoming[i]);
		transport_close(queue->outgoing[i]);
	}
	if (queue->descriptors)
		munmap(queue->descriptors, queue->descriptors_bytes);
	queue->descriptors = NULL;
	if (!held && !driver_holds_memory(queue))
		payload_close(&queue->payload);
	free(queue->export);
	free(queue->parts);
	free(queue->slots);
	if (queue->mailbox_fd >= 0)
		close(queue->mailbox_fd);
	if (queue->report_fd >= 0)
		close(queue->report_fd);
	return !held;
}
