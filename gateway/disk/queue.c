/* SPDX-License-Identifier: MIT */
#include "gateway/disk/queue.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/process.h"
#include "tls/clock.h"

#define SUBMIT_TRIES  1000
#define JOIN_SLICE_MS 100
/* What is cancelled at the end comes back at once, or perhaps never. */
#define DRAIN_TRIES    20
#define DRAIN_PAUSE_MS 5

/* Forward only; each step may be left out. */
static void move(struct queue *queue, enum queue_state to)
{
	assert(to > atomic_load_explicit(&queue->state, memory_order_relaxed));
	atomic_store(&queue->state, to);
}

static enum queue_state state_of(const struct queue *queue)
{
	return atomic_load_explicit(&queue->state, memory_order_relaxed);
}

static void read_clock(struct queue *queue)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	queue->backend->now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wakes the main thread, which looks at failure and state. */
static void report(struct queue *queue)
{
	const uint64_t one = 1;

	if (write(queue->report_fd, &one, sizeof(one)) < 0)
		log_error("queue %u: cannot report its state: %s", queue->id, strerror(errno));
}

/* --- mailbox and tick ---------------------------------------------------------------------------- */

static void arm_mailbox(struct queue *queue)
{
	struct io_uring_sqe *sqe;
	uint64_t user_data;

	if (queue->mailbox_armed)
		return;
	sqe = ring_sqe(&queue->ring, RING_MAILBOX, 0);
	user_data = sqe->user_data;
	io_uring_prep_read(sqe, queue->mailbox_fd, &queue->mailbox_value,
			   sizeof(queue->mailbox_value), 0);
	sqe->user_data = user_data;
	queue->mailbox_armed = true;
}

static void mailbox_completed(struct queue *queue)
{
	uint32_t requested = atomic_exchange(&queue->requested, 0);
	struct block_backend *backend = queue->backend;

	queue->mailbox_armed = false;
	if (requested & QUEUE_REQUEST_LOOK)
		queue->look = true;
	if (requested & QUEUE_REQUEST_CONDEMN)
		backend->ops->condemn(backend, "the disk is being removed by force");
	if (requested & QUEUE_REQUEST_GIVE_UP) {
		atomic_store(&queue->failure, ECANCELED);
		backend->ops->condemn(backend, "the disk was not started");
	}
}

/* While anybody waits for an answer. */
static void arm_tick(struct queue *queue)
{
	const struct block_backend *backend = queue->backend;
	struct io_uring_sqe *sqe;
	uint64_t user_data;

	if (queue->tick_armed || (queue->tags.active == 0 && !backend->ops->is_busy(backend)))
		return;
	queue->tick.tv_sec = backend->tick_ms / 1000;
	queue->tick.tv_nsec = (long long)(backend->tick_ms % 1000) * 1000000;
	sqe = ring_sqe(&queue->ring, RING_TICK, 0);
	user_data = sqe->user_data;
	io_uring_prep_timeout(sqe, &queue->tick, 0, 0);
	sqe->user_data = user_data;
	queue->tick_armed = true;
	queue->tick_due_ms = backend->now_ms + backend->tick_ms;
}

static void tick_completed(struct queue *queue)
{
	queue->tick_armed = false;
	queue->tick_came = true;
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void dispatch_cqe(struct queue *queue, const struct io_uring_cqe *cqe)
{
	switch (ring_kind_of(cqe->user_data)) {
	case RING_UBLK:
		tags_completed(&queue->tags, ring_index_of(cqe->user_data), cqe->res);
		break;
	case RING_MAILBOX:
		mailbox_completed(queue);
		break;
	case RING_TICK:
		tick_completed(queue);
		break;
	case RING_CANCEL:
		break;
	default:
		queue->backend->ops->completed(queue->backend, cqe);
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

/* The disk cannot go on without a tag's command, whatever else the queue still serves: the main thread is
 * told at once. */
static void note_refusal(struct queue *queue)
{
	if (!queue->tags.refused || atomic_load_explicit(&queue->failure, memory_order_relaxed))
		return;
	atomic_store(&queue->failure, queue->tags.refused);
	report(queue);
}

/* The driver sends no more, and nothing that it sent is under way. */
static bool driver_has_ended(const struct queue *queue)
{
	const struct tags *tags = &queue->tags;

	return tags->ended == tags->depth || (atomic_load(&queue->failure) && tags->active == 0);
}

static void leave_when_ended(struct queue *queue)
{
	if (state_of(queue) == QUEUE_SERVING && driver_has_ended(queue))
		move(queue, QUEUE_LEAVING);
	/* A request may still have come under a tag that the driver has: it is done first. */
	if (state_of(queue) == QUEUE_LEAVING && queue->tags.active == 0 &&
	    queue->backend->ops->leave(queue->backend))
		move(queue, QUEUE_DONE);
}

/* Waits without a deadline for one completion: every request has one, which the tick enforces; without
 * a request there is nothing to wait for but the driver, whose abort ends the queue. */
static int turn(struct queue *queue)
{
	struct block_backend *backend = queue->backend;
	int ret;

	backend->ops->arm(backend);
	arm_tick(queue);
	arm_mailbox(queue);
	stats_add(&queue->stats.enters, 1);
	ret = io_uring_submit_and_wait(&queue->ring, 1);
	if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		return ret;
	queue->look = false;
	queue->tick_came = false;
	reap(queue);
	note_refusal(queue);
	if (queue->tick_came)
		backend->ops->tick(backend, queue->tick_due_ms);
	backend->ops->advance(backend, queue->look);
	leave_when_ended(queue);
	return 0;
}

static int open_ring(struct queue *queue)
{
	const struct block_backend *backend = queue->backend;
	int fds[RING_FILE_BACKEND + RING_BACKEND_FILES_MAX];
	int ret = ring_open(&queue->ring, queue->shared->depth);
	uint32_t count;

	if (ret < 0)
		return ret;
	fds[RING_FILE_CHAR] = queue->shared->char_fd;
	count = backend->ops->files(backend, &fds[RING_FILE_BACKEND]);
	ret = ring_register_files(&queue->ring, fds, RING_FILE_BACKEND + count);
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
	return queue->mailbox_armed || queue->backend->ops->holds_memory(queue->backend);
}

static void note_returned(struct queue *queue)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe(&queue->ring, head, cqe) {
		uint32_t kind = ring_kind_of(cqe->user_data);

		seen++;
		if (kind == RING_MAILBOX)
			queue->mailbox_armed = false;
		else if (kind >= RING_BACKEND)
			queue->backend->ops->returned(queue->backend, cqe);
	}
	io_uring_cq_advance(&queue->ring, seen);
}

/* Before the ring is closed: takes back what it has of ours, the mailbox's read always, and all else
 * where the ring has failed. What does not come back keeps its memory (queue_close()). */
static void drain(struct queue *queue)
{
	int ret = 0;

	for (int tries = 0; ring_holds_memory(queue) && tries < DRAIN_TRIES; tries++) {
		if (tries > 0)
			clock_pause_ms(DRAIN_PAUSE_MS);
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

static void *queue_main(void *argument)
{
	struct queue *queue = argument;
	int ret;

	ret = open_ring(queue);
	if (ret == 0) {
		move(queue, QUEUE_SERVING);
		read_clock(queue);
		tags_fetch_all(&queue->tags);
		ret = submit_all(queue);
		/* With its first commands the driver wanted CAP_SYS_ADMIN; from here on it does not. */
		process_confine_thread();
		while (ret == 0 && state_of(queue) != QUEUE_DONE)
			ret = turn(queue);
		drain(queue);
		ring_close(&queue->ring);
	}
	if (ret < 0) {
		trouble_note(&queue->shared->trouble, false, "io_uring failed: %s", strerror(-ret));
		log_error("queue %u ends: io_uring: %s", queue->id, strerror(-ret));
		atomic_store(&queue->failure, -ret);
		if (state_of(queue) != QUEUE_DONE)
			move(queue, QUEUE_DONE);
	}
	report(queue);
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

/* In slices: where this daemon does not run for long (a signal stopped it, or the machine was), one of them
 * ends, and the queue's thread still has its time. */
bool queue_join(struct queue *queue, uint32_t timeout_ms)
{
	uint32_t slices = timeout_ms / JOIN_SLICE_MS + 1;

	if (!queue->thread_started)
		return true;
	for (uint32_t i = 0; i < slices && queue->thread_started; i++) {
		struct timespec deadline = clock_deadline(JOIN_SLICE_MS);

		queue->thread_started =
			pthread_clockjoin_np(queue->thread, NULL, CLOCK_MONOTONIC, &deadline) != 0;
	}
	return !queue->thread_started;
}

/* --- open, close --------------------------------------------------------------------------------- */

/* The driver's side and the backend meet here. */
static void connect_sides(struct queue *queue)
{
	struct queue_shared *shared = queue->shared;
	struct block_backend *backend = queue->backend;
	struct tags *tags = &queue->tags;

	*tags = (struct tags){
		.char_fd = shared->char_fd,
		.queue_id = queue->id,
		.depth = shared->depth,
		.max_io_bytes = shared->max_io_bytes,
		.size_bytes = &shared->size_bytes,
		.ring = &queue->ring,
		.backend = backend,
		.stats = &queue->stats,
		.trouble = &shared->trouble,
	};
	backend->queue_id = queue->id;
	backend->ring = &queue->ring;
	backend->payload = &tags->payload.base;
	backend->stats = &queue->stats;
	backend->trouble = &shared->trouble;
	backend->done = tags_done;
	backend->submitter = tags;
}

int queue_open(struct queue *queue, struct queue_shared *shared, uint16_t id,
	       struct block_backend *backend)
{
	memset(queue, 0, sizeof(*queue));
	queue->shared = shared;
	queue->id = id;
	queue->backend = backend;
	connect_sides(queue);
	queue->mailbox_fd = eventfd(0, EFD_CLOEXEC);
	queue->report_fd = eventfd(0, EFD_CLOEXEC);
	if (queue->mailbox_fd < 0 || queue->report_fd < 0)
		return -EMFILE;
	return tags_open(&queue->tags, shared->mapped);
}

bool queue_close(struct queue *queue)
{
	bool held = ring_holds_memory(queue);

	assert(!queue->thread_started);
	tags_close(&queue->tags, held);
	if (queue->mailbox_fd >= 0)
		close(queue->mailbox_fd);
	if (queue->report_fd >= 0)
		close(queue->report_fd);
	return !held;
}
