/* SPDX-License-Identifier: MIT */
/*
 * cases_commands.c - what the I/O commands must refuse, whoever sends them and from wherever; what
 * mmap must refuse. Hazards 6, 16, 17, 18, 20 of kernel/README.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"

#define FETCH	    UBLK_U_IO_FETCH_REQ
#define COMMIT	    UBLK_U_IO_COMMIT_AND_FETCH_REQ
#define GET_DATA    UBLK_U_IO_NEED_GET_DATA
#define DEPTH	    4
#define PAGE_BYTES  4096u
#define QUEUE_BYTES (UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc))

static struct probe probe;

static void bounds(void)
{
	static const uint32_t ops[] = { FETCH, COMMIT, GET_DATA };

	probe_run(&probe, 0, DEPTH);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		uint64_t address = (uintptr_t)probe.buffers;

		probe_expect("a tag behind the last", -EINVAL,
			     probe_ask_at(&probe, ops[i], DEPTH, 0, address));
		probe_expect("the largest tag", -EINVAL,
			     probe_ask_at(&probe, ops[i], UINT16_MAX, 0, address));
		probe.queue = 1;
		probe_expect("a queue behind the last", -EINVAL, probe_ask(&probe, ops[i], 0, 0));
		probe.queue = UINT16_MAX;
		probe_expect("the largest queue", -EINVAL, probe_ask(&probe, ops[i], 0, 0));
		probe.queue = 0;
	}
	probe_end(&probe);
}

static void order(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, 0);
	probe_expect("COMMIT without a FETCH", -EINVAL, probe_ask(&probe, COMMIT, 0, 0));
	probe_fetch_all(&probe);
	probe_expect("a second FETCH", -EBUSY, probe_ask(&probe, FETCH, 0, 0));
	probe_start(&probe);
	probe_expect("a FETCH while the disk is there", -EBUSY, probe_ask(&probe, FETCH, 1, 0));
	probe_expect("COMMIT without a request", -EINVAL, probe_ask(&probe, COMMIT, 1, 0));
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("FETCH instead of COMMIT", -EBUSY, probe_ask(&probe, FETCH, tag, 0));
	probe_send(&probe, COMMIT, tag, PAGE_BYTES);
	probe_expect("the read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_expect("COMMIT twice", -EINVAL, probe_ask(&probe, COMMIT, tag, PAGE_BYTES));
	probe_end(&probe);
}

static void opcodes(void)
{
	static const uint32_t unknown[] = { 0, 1, 0x1f, 0x2f, UINT32_MAX };

	probe_run(&probe, 0, DEPTH);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		probe_expect("an opcode that does not exist", -EOPNOTSUPP,
			     probe_ask(&probe, unknown[i], 0, 0));
	probe_expect("GET_DATA that was not asked for", -EINVAL, probe_ask(&probe, GET_DATA, 0, 0));
	probe_end(&probe);
}

static void legacy_opcodes(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	probe.legacy = true;
	probe_run(&probe, 0, DEPTH);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_send(&probe, COMMIT, tag, PAGE_BYTES);
	probe_expect("the read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* --- hazard 17: the task ------------------------------------------------------------------------------ */

/* From another thread: on the daemon's ring, then on one of its own. */
static void *commit_elsewhere(void *argument)
{
	struct probe own = probe;
	uint16_t tag = *(uint16_t *)argument;

	probe_expect("COMMIT by another thread on the daemon's ring", -EINVAL,
		     probe_ask(&probe, COMMIT, tag, PAGE_BYTES));
	if (io_uring_queue_init(8, &own.ring, 0))
		probe_die("no ring");
	probe_expect("COMMIT by another thread", -EINVAL, probe_ask(&own, COMMIT, tag, PAGE_BYTES));
	probe_expect("FETCH by another thread", -EBUSY, probe_ask(&own, FETCH, tag, 0));
	io_uring_queue_exit(&own.ring);
	return NULL;
}

static void wrong_task(void)
{
	struct disk_io io = { 0 };
	pthread_t thread;
	uint16_t tag;

	probe_run(&probe, 0, DEPTH);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	if (pthread_create(&thread, NULL, commit_elsewhere, &tag))
		probe_die("no thread");
	pthread_join(thread, NULL);
	probe_expect("the read is not over", 0, atomic_load(&io.done));
	probe_send(&probe, COMMIT, tag, PAGE_BYTES);
	probe_expect("the read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* A child has the file, and memory of its own. */
static void wrong_process(void)
{
	struct probe own;
	int status;
	pid_t child;

	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, 0);
	probe_send(&probe, FETCH, 0, 0);
	child = fork();
	if (!child) {
		own = probe;
		if (io_uring_queue_init(8, &own.ring, 0))
			probe_die("no ring");
		probe_expect("FETCH by a child", -EINVAL, probe_ask(&own, FETCH, 1, 0));
		probe_expect("COMMIT by a child", -EINVAL, probe_ask(&own, COMMIT, 0, 0));
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		probe_die("the child failed");
	probe_expect("the parent's next FETCH waits", -ETIME,
		     (probe_send(&probe, FETCH, 1, 0), probe_wait(&probe, NULL, 100)));
	probe_delete(&probe);
}

/* --- hazards 6, 16, 18 ------------------------------------------------------------------------------- */

static void fetch_half(void)
{
	probe_open(&probe, 0);
	for (uint16_t tag = 0; tag < DEPTH / 2; tag++)
		probe_send(&probe, FETCH, tag, 0);
	probe_expect("a FETCH waits", -ETIME, probe_wait(&probe, NULL, 20));
	_exit(0);
}

/* Daemons die in the middle of the round: it is over, and another opener begins anew. */
static void h06_half_fetched(void)
{
	probe_add(&probe, 0, DEPTH);
	for (int round = 0; round < 3; round++) {
		int status;
		pid_t child = fork();

		if (!child)
			fetch_half();
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			probe_die("a child that fetches: status %#x", status);
	}
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
	probe_end(&probe);
}

/* The daemon's ring goes in the middle of the round: what it fetched is lost, and so is this opening. */
static void h06_fetch_after_cancel(void)
{
	uint64_t end_ms;
	int result;

	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, 0);
	for (uint16_t tag = 0; tag < DEPTH / 2; tag++)
		probe_send(&probe, FETCH, tag, 0);
	probe_expect("a FETCH waits", -ETIME, probe_wait(&probe, NULL, 20));
	io_uring_queue_exit(&probe.ring);
	if (io_uring_queue_init(DEPTH, &probe.ring, 0))
		probe_die("no ring");
	end_ms = probe_now_ms() + 1000u * (unsigned int)probe_scale();
	do {
		usleep(10000);
		result = probe_ask(&probe, FETCH, 0, 0);
	} while (result == -EBUSY && probe_now_ms() < end_ms);
	probe_expect("FETCH of a tag that was lost", -ENODEV, result);
	probe_expect("FETCH of another", -ENODEV, probe_ask(&probe, FETCH, DEPTH - 1, 0));
	probe_close(&probe);
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
	probe_end(&probe);
}

/* What stands in the SQE after the submission must not count: these commands run in a worker. */
static void h16_rewritten_sqe(void)
{
	struct io_uring ring;
	struct ublksrv_ctrl_cmd command = { .queue_id = UINT16_MAX };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	uint64_t features = 0;

	probe_add(&probe, 0, DEPTH);
	command.addr = (uintptr_t)&features;
	command.len = sizeof(features);
	for (int i = 0; i < 200; i++) {
		if (io_uring_queue_init(1, &ring, IORING_SETUP_SQE128))
			probe_die("no ring");
		features = 0;
		sqe = probe_sqe(&ring);
		memset(sqe, 0, 2 * sizeof(*sqe));
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = probe.control.fd;
		sqe->cmd_op = UBLK_U_CMD_GET_FEATURES;
		memcpy(sqe->cmd, &command, sizeof(command));
		io_uring_submit(&ring);
		memset(sqe, 0xff, 2 * sizeof(*sqe));
		if (io_uring_wait_cqe(&ring, &cqe))
			probe_die("no answer");
		probe_expect("GET_FEATURES", 0, cqe->res);
		if (!features)
			probe_die("GET_FEATURES wrote elsewhere");
		io_uring_queue_exit(&ring);
	}
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
	probe_end(&probe);
}

/* One behind a link begins in the worker that did the one before: each has its own operands there. */
static void linked_commands(void)
{
	struct ublksrv_ctrl_dev_info infos[2];
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	probe_add(&probe, 0, DEPTH);
	if (io_uring_queue_init(4, &ring, IORING_SETUP_SQE128))
		probe_die("no ring");
	for (int i = 0; i < 50; i++) {
		memset(infos, 0, sizeof(infos));
		for (int j = 0; j < 2; j++) {
			/* The second asks for a device that there is, the first for one that there is not. */
			const struct ublksrv_ctrl_cmd command = {
				.dev_id = j ? probe.info.dev_id : probe.info.dev_id + 1,
				.queue_id = UINT16_MAX,
				.addr = (uintptr_t)&infos[j],
				.len = sizeof(infos[j]),
			};
			struct io_uring_sqe *sqe = probe_sqe(&ring);

			memset(sqe, 0, 2 * sizeof(*sqe));
			sqe->opcode = IORING_OP_URING_CMD;
			sqe->flags = j ? 0 : IOSQE_IO_HARDLINK | (i & 1 ? IOSQE_ASYNC : 0);
			sqe->fd = probe.control.fd;
			sqe->cmd_op = UBLK_U_CMD_GET_DEV_INFO;
			sqe->user_data = (uint64_t)j;
			memcpy(sqe->cmd, &command, sizeof(command));
		}
		io_uring_submit(&ring);
		for (int j = 0; j < 2; j++) {
			if (io_uring_wait_cqe(&ring, &cqe))
				probe_die("no answer");
			probe_expect(cqe->user_data ? "GET_DEV_INFO" : "GET_DEV_INFO of no device",
				     cqe->user_data ? 0 : -ENODEV, cqe->res);
			io_uring_cqe_seen(&ring, cqe);
		}
		probe_expect("the depth", DEPTH, infos[1].queue_depth);
	}
	io_uring_queue_exit(&ring);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

/* Nor in those of I/O commands, which a slot keeps for long, submitted directly or through a worker. */
static void h16_rewritten_io_sqe(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	probe.scribbles = true;
	probe_run(&probe, UBLK_F_NEED_GET_DATA, DEPTH);
	for (int i = 0; i < 40; i++) {
		probe.sqe_flags = i % 2 ? IOSQE_ASYNC : 0;
		disk_io_write(&io, &probe, i + 1, PAGE_BYTES);
		probe_expect("a WRITE asks for a buffer", UBLK_IO_RES_NEED_GET_DATA,
			     probe_wait(&probe, &tag, PROBE_TIMEOUT_MS));
		probe_expect("GET_DATA", 0, probe_ask(&probe, GET_DATA, tag, 0));
		probe_expect("its data", i + 1, probe_buffer(&probe, tag)[PAGE_BYTES - 1]);
		probe_send(&probe, COMMIT, tag, PAGE_BYTES);
		probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
		disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
		tag = probe_take(&probe, UBLK_IO_OP_READ);
		memset(probe_buffer(&probe, tag), i + 2, PAGE_BYTES);
		probe_send(&probe, COMMIT, tag, PAGE_BYTES);
		probe_expect("the read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
		probe_expect("the byte read", i + 2, io.data[0]);
	}
	probe_end(&probe);
}

/* IOSQE_ASYNC: a worker of the ring gets the command first; it must count as the daemon's own. */
static void h18_in_a_worker(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	probe.sqe_flags = IOSQE_ASYNC;
	probe_run(&probe, 0, DEPTH);
	for (int i = 0; i < 20; i++) {
		disk_io_write(&io, &probe, i + 1, PAGE_BYTES);
		tag = probe_take(&probe, UBLK_IO_OP_WRITE);
		probe_expect("COMMIT of no such tag", -EINVAL, probe_ask(&probe, COMMIT, DEPTH, 0));
		probe_send(&probe, COMMIT, tag, PAGE_BYTES);
		probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	}
	probe_end(&probe);
}

/* A ring that polls, and one whose SQEs are too small for control commands. */
static void odd_rings(void)
{
	struct control small = { .timeout_ms = PROBE_TIMEOUT_MS };
	struct ublksrv_ctrl_cmd command = { .dev_id = 0 };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, IORING_SETUP_IOPOLL);
	probe_send(&probe, FETCH, 0, 0);
	/* Older kernels refuse it, newer ones take it as on any ring; it must not be polled for. */
	if (!io_uring_peek_cqe(&probe.ring, &cqe))
		probe_expect("FETCH on a ring that polls", -EOPNOTSUPP, cqe->res);
	probe_close(&probe);
	if (control_open(&small) < 0)
		probe_die("no control");
	io_uring_queue_exit(&small.ring);
	if (io_uring_queue_init(4, &small.ring, 0))
		probe_die("no ring");
	sqe = probe_sqe(&small.ring);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = small.fd;
	sqe->cmd_op = UBLK_U_CMD_DEL_DEV;
	memcpy(sqe->cmd, &command, 16);
	io_uring_submit(&small.ring);
	if (io_uring_wait_cqe(&small.ring, &cqe))
		probe_die("no answer");
	probe_expect("a control command in a small SQE", -EINVAL, cqe->res);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

/* --- hazard 20 ---------------------------------------------------------------------------------------- */

static void mmap_refused(const char *what, size_t bytes, int protection, uint64_t offset)
{
	void *area = mmap(NULL, bytes, protection, MAP_SHARED, probe.char_fd, (off_t)offset);

	if (area != MAP_FAILED)
		probe_die("mmap %s is not refused", what);
}

/* In a child: its memory is another one's. */
static void mmap_by_child(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		mmap_refused("by another process", PAGE_BYTES, PROT_READ, 0);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		probe_die("mmap by another process is not refused");
}

/* Of an area of two pages, one is too few, whichever. */
static void h20_mmap_too_short(void)
{
	const size_t area_bytes = 2 * (size_t)PAGE_BYTES;
	void *area;

	probe.info = probe_info_plain();
	probe.info.queue_depth = PAGE_BYTES / sizeof(struct ublksrv_io_desc) + 1;
	probe_expect("ADD_DEV", 0, probe_add_with(&probe, probe.info));
	probe_open_char(&probe);
	mmap_refused("of the first of two pages", PAGE_BYTES, PROT_READ, 0);
	mmap_refused("of the second of two pages", PAGE_BYTES, PROT_READ, PAGE_BYTES);
	area = mmap(NULL, area_bytes, PROT_READ, MAP_SHARED, probe.char_fd, 0);
	if (area == MAP_FAILED)
		probe_die("both pages cannot be mapped");
	munmap(area, area_bytes);
	close(probe.char_fd);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

static void h20_mmap(void)
{
	size_t stride = (QUEUE_BYTES + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
	void *area;

	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, 0);
	mmap_refused("to write", PAGE_BYTES, PROT_READ | PROT_WRITE, 0);
	mmap_refused("to write only", PAGE_BYTES, PROT_WRITE, 0);
	mmap_refused("of two pages", 2 * (size_t)PAGE_BYTES, PROT_READ, 0);
	mmap_refused("within an area", PAGE_BYTES, PROT_READ, PAGE_BYTES);
	mmap_refused("of the second queue", PAGE_BYTES, PROT_READ, stride);
	mmap_refused("of the data", PAGE_BYTES, PROT_READ, UBLKSRV_IO_BUF_OFFSET);
	mmap_refused("far behind", PAGE_BYTES, PROT_READ, 1ULL << 62);
	mmap_by_child();
	area = (void *)probe.descs;
	if (!mprotect(area, PAGE_BYTES, PROT_READ | PROT_WRITE))
		probe_die("the area can be made writable");
	if (mremap(area, PAGE_BYTES, 2 * (size_t)PAGE_BYTES, MREMAP_MAYMOVE) != MAP_FAILED)
		probe_die("the area can be made larger");
	area = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE, probe.char_fd, 0);
	if (area != MAP_FAILED && !mprotect(area, PAGE_BYTES, PROT_READ | PROT_WRITE))
		probe_die("a private area can be made writable");
	munmap(area, PAGE_BYTES);
	probe_fetch_all(&probe);
	probe_start(&probe);
	probe_end(&probe);
}

const struct probe_case cases_commands[] = {
	{ "h17-bounds", bounds },
	{ "h17-order", order },
	{ "h17-opcodes", opcodes },
	{ "legacy-opcodes", legacy_opcodes },
	{ "h17-another-thread", wrong_task },
	{ "h17-another-process", wrong_process },
	{ "h06-half-fetched", h06_half_fetched },
	{ "h06-fetch-after-cancel", h06_fetch_after_cancel },
	{ "h16-linked-commands", linked_commands },
	{ "h16-rewritten-sqe", h16_rewritten_sqe },
	{ "h16-rewritten-io-sqe", h16_rewritten_io_sqe },
	{ "h18-in-a-worker", h18_in_a_worker },
	{ "odd-rings", odd_rings },
	{ "h20-mmap", h20_mmap },
	{ "h20-mmap-too-short", h20_mmap_too_short },
	{ NULL, NULL },
};
