/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR_BYTES  512u
#define PAGE_BYTES    4096u
#define OPEN_TRIES    500
#define OPEN_PAUSE_US 10000
#define TURN_CQES     64u

/* What a completion is about, above the tag in its user_data. */
enum event { EVENT_COMMAND = 1, EVENT_TARGET = 2 };

struct worker {
	struct server *server;
	pthread_t thread;
	struct io_uring ring;
	const struct ublksrv_io_desc *descs; /* the queue's */
	char *buffers;			     /* max_io_buf_bytes for each tag of the queue */
	uint16_t queue;
	uint32_t first, step; /* its tags */
	uint32_t live;	      /* commands that have not ended for good */
	bool dying;
};

static size_t descs_bytes(uint32_t depth)
{
	return (depth * sizeof(struct ublksrv_io_desc) + PAGE_BYTES - 1) &
	       ~(size_t)(PAGE_BYTES - 1);
}

/* --- commands ------------------------------------------------------------------------------------- */

static void *buffer_of(const struct worker *worker, uint32_t tag)
{
	return worker->buffers + (size_t)tag * worker->server->info.max_io_buf_bytes;
}

static struct io_uring_sqe *get_sqe(struct worker *worker)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&worker->ring);

	if (!sqe) {
		io_uring_submit(&worker->ring);
		sqe = io_uring_get_sqe(&worker->ring);
	}
	if (!sqe)
		abort();
	return sqe;
}

static void command(struct worker *worker, uint32_t op, uint32_t tag, int result)
{
	struct io_uring_sqe *sqe = get_sqe(worker);
	struct ublksrv_io_cmd payload = { .q_id = worker->queue,
					  .tag = (uint16_t)tag,
					  .result = result };

	if (!server_has(worker->server, UBLK_F_USER_COPY))
		payload.addr = (uintptr_t)buffer_of(worker, tag);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = worker->server->char_fd;
	sqe->cmd_op = worker->server->options->legacy ? _IOC_NR(op) : op;
	sqe->flags = worker->server->options->async ? IOSQE_ASYNC : 0;
	sqe->user_data = (uint64_t)EVENT_COMMAND << 32 | tag;
	memcpy(sqe->cmd, &payload, sizeof(payload));
}

static void answer(struct worker *worker, uint32_t tag, int result)
{
	if (worker->server->options->delay_us)
		usleep((useconds_t)worker->server->options->delay_us);
	command(worker, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
}

/* --- the target ----------------------------------------------------------------------------------- */

static off_t copy_position(const struct worker *worker, uint32_t tag)
{
	return (off_t)(UBLKSRV_IO_BUF_OFFSET + ((uint64_t)worker->queue << UBLK_QID_OFF) +
		       ((uint64_t)tag << UBLK_TAG_OFF));
}

static bool moves_data(const struct worker *worker, uint32_t tag, uint32_t op)
{
	return server_has(worker->server, UBLK_F_USER_COPY) &&
	       (worker->descs[tag].op_flags & 0xff) == op;
}

static void target_start(struct worker *worker, uint32_t tag)
{
	const struct ublksrv_io_desc *desc = &worker->descs[tag];
	uint32_t bytes = desc->nr_sectors * SECTOR_BYTES;
	off_t offset = (off_t)desc->start_sector * SECTOR_BYTES;
	struct io_uring_sqe *sqe;
	int file = worker->server->file_fd;

	if (moves_data(worker, tag, UBLK_IO_OP_WRITE) &&
	    pread(worker->server->char_fd, buffer_of(worker, tag), bytes,
		  copy_position(worker, tag)) != (ssize_t)bytes) {
		answer(worker, tag, -EIO);
		return;
	}
	if (file < 0) {
		answer(worker, tag, (int)bytes);
		return;
	}
	sqe = get_sqe(worker);
	switch (desc->op_flags & 0xff) {
	case UBLK_IO_OP_READ:
		io_uring_prep_read(sqe, file, buffer_of(worker, tag), bytes, (uint64_t)offset);
		break;
	case UBLK_IO_OP_WRITE:
		io_uring_prep_write(sqe, file, buffer_of(worker, tag), bytes, (uint64_t)offset);
		if (desc->op_flags & UBLK_IO_F_FUA)
			sqe->rw_flags = RWF_DSYNC;
		break;
	case UBLK_IO_OP_FLUSH:
		io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
		break;
	default: /* DISCARD and WRITE_ZEROES: either reads as zeroes afterwards */
		io_uring_prep_fallocate(sqe, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(uint64_t)offset, bytes);
	}
	sqe->user_data = (uint64_t)EVENT_TARGET << 32 | tag;
}

static void target_end(struct worker *worker, uint32_t tag, int result)
{
	if (result > 0 && moves_data(worker, tag, UBLK_IO_OP_READ) &&
	    pwrite(worker->server->char_fd, buffer_of(worker, tag), (size_t)result,
		   copy_position(worker, tag)) != result)
		result = -EIO;
	answer(worker, tag, result);
}

/* --- a thread ------------------------------------------------------------------------------------- */

static void take(struct worker *worker, uint32_t tag)
{
	const struct options *options = worker->server->options;
	uint64_t number = atomic_fetch_add(&worker->server->taken, 1) + 1;

	if (options->crash_after && number >= options->crash_after)
		kill(getpid(), SIGKILL);
	if (options->die_after && number == options->die_after)
		worker->dying = true;
	else if (!options->hold_after || number <= options->hold_after)
		target_start(worker, tag);
}

static void handle(struct worker *worker, uint64_t user_data, int result)
{
	uint32_t tag = (uint32_t)user_data;

	if (user_data >> 32 == EVENT_TARGET)
		target_end(worker, tag, result);
	else if (result == UBLK_IO_RES_NEED_GET_DATA)
		command(worker, UBLK_U_IO_NEED_GET_DATA, tag, 0);
	else if (result == UBLK_IO_RES_OK)
		take(worker, tag);
	else
		worker->live--;
	if (user_data >> 32 == EVENT_COMMAND && result < 0 && result != UBLK_IO_RES_ABORT)
		fprintf(stderr, "ublk_server: queue %u tag %u: %s\n", worker->queue, tag,
			strerror(-result));
}

/* All completions that are there, in their order or the other way round. */
static void turn(struct worker *worker)
{
	struct io_uring_cqe *cqes[TURN_CQES];
	uint64_t user_data[TURN_CQES];
	int results[TURN_CQES];
	unsigned int count, i;

	count = io_uring_peek_batch_cqe(&worker->ring, cqes, TURN_CQES);
	for (i = 0; i < count; i++) {
		user_data[i] = cqes[i]->user_data;
		results[i] = cqes[i]->res;
	}
	io_uring_cq_advance(&worker->ring, count);
	for (i = 0; i < count && !worker->dying; i++) {
		unsigned int at = worker->server->options->reverse ? count - 1 - i : i;

		handle(worker, user_data[at], results[at]);
	}
}

static unsigned int ring_flags(const char *name)
{
	if (!strcmp(name, "defer"))
		return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	return strcmp(name, "coop") != 0 ? 0 : IORING_SETUP_COOP_TASKRUN;
}

/* The ring is made by the thread that uses it, and left to the process's end where the thread dies. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	struct server *server = worker->server;
	unsigned int flags = ring_flags(server->options->ring);
	int ret = io_uring_queue_init(2 * server->info.queue_depth, &worker->ring, flags);

	if (ret < 0) {
		fprintf(stderr, "ublk_server: ring: %s\n", strerror(-ret));
		exit(1);
	}
	for (uint32_t tag = worker->first; tag < server->info.queue_depth; tag += worker->step) {
		command(worker, UBLK_U_IO_FETCH_REQ, tag, 0);
		worker->live++;
	}
	io_uring_submit(&worker->ring);
	atomic_fetch_sub(&server->fetching, 1);
	while (worker->live && !worker->dying) {
		ret = io_uring_submit_and_wait(&worker->ring, 1);
		if (ret < 0 && ret != -EINTR && ret != -EAGAIN)
			break;
		turn(worker);
	}
	return NULL;
}

/* --- all of it ------------------------------------------------------------------------------------ */

static int open_char(const struct server *server)
{
	char path[CONTROL_PATH_BYTES];

	snprintf(path, sizeof(path), "/dev/ublkc%u", server->info.dev_id);
	for (int i = 0; i < OPEN_TRIES; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		usleep(OPEN_PAUSE_US);
	}
	return -errno;
}

static int queue_open(struct server *server, struct worker *workers, uint16_t queue, uint32_t count)
{
	size_t stride = descs_bytes(UBLK_MAX_QUEUE_DEPTH);
	uint32_t depth = server->info.queue_depth;
	size_t bytes = (size_t)depth * server->info.max_io_buf_bytes;
	void *descs = mmap(NULL, descs_bytes(depth), PROT_READ, MAP_SHARED | MAP_POPULATE,
			   server->char_fd, (off_t)(UBLKSRV_CMD_BUF_OFFSET + queue * stride));
	void *buffers =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (descs == MAP_FAILED || buffers == MAP_FAILED)
		return -errno;
	/* What is never written there is not mistaken for a disk's zeroes. */
	memset(buffers, 0xaa, bytes);
	for (uint32_t i = 0; i < count; i++)
		workers[i] = (struct worker){
			.server = server,
			.descs = descs,
			.buffers = buffers,
			.queue = queue,
			.first = i,
			.step = count,
		};
	return 0;
}

static int start_workers(struct server *server)
{
	uint32_t per_queue =
		server_has(server, UBLK_F_PER_IO_DAEMON) ? server->options->threads : 1;
	int ret = 0;

	server->worker_count = server->info.nr_hw_queues * per_queue;
	server->workers = calloc(server->worker_count, sizeof(*server->workers));
	if (!server->workers)
		return -ENOMEM;
	for (uint16_t q = 0; q < server->info.nr_hw_queues && !ret; q++)
		ret = queue_open(server, server->workers + q * per_queue, q, per_queue);
	atomic_store(&server->fetching, server->worker_count);
	for (uint32_t i = 0; i < server->worker_count && !ret; i++)
		ret = -pthread_create(&server->workers[i].thread, NULL, work, &server->workers[i]);
	while (!ret && atomic_load(&server->fetching))
		usleep(1000);
	return ret;
}

int server_open(struct server *server)
{
	int ret;

	server->file_fd = -1;
	server->char_fd = open_char(server);
	if (server->char_fd < 0) {
		fprintf(stderr, "ublk_server: /dev/ublkc%u: %s\n", server->info.dev_id,
			strerror(-server->char_fd));
		return server->char_fd;
	}
	if (server->options->file) {
		server->file_fd = open(server->options->file, O_RDWR | O_CLOEXEC);
		if (server->file_fd < 0) {
			ret = -errno;
			fprintf(stderr, "ublk_server: %s: %s\n", server->options->file,
				strerror(-ret));
			return ret;
		}
	}
	ret = start_workers(server);
	if (ret)
		fprintf(stderr, "ublk_server: threads: %s\n", strerror(-ret));
	return ret;
}

void server_run(struct server *server)
{
	for (uint32_t i = 0; i < server->worker_count; i++)
		pthread_join(server->workers[i].thread, NULL);
	close(server->char_fd);
	if (server->file_fd >= 0)
		close(server->file_fd);
}
