/* SPDX-License-Identifier: MIT */
/*
 * Goal: the driver's side of a queue by itself: each request is submitted once, as the driver described
 * it, and committed once, with the result that the driver must get; what breaks the driver's own limits
 * never reaches a backend.
 * Method: tags on a real ring that is never submitted, with a backend that writes down what it is given;
 * the driver's page of descriptors is a file that the test writes, its commands are read from the ring.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/block/null_backend.h"
#include "gateway/ublk/tags.h"

#define DEPTH	     4
#define MAX_IO_BYTES (64u << 10)
#define SIZE_BYTES   (1u << 20)

static struct io_uring ring;
static struct stats stats;
static struct trouble trouble;
static struct block_backend backend;
static struct block_backend_ops recording_ops;
static struct tags tags;
static struct block_request *submitted;
static uint32_t submissions;
static _Atomic uint64_t size_bytes = SIZE_BYTES;

static void record(struct block_backend *unused, struct block_request *request)
{
	(void)unused;
	submitted = request;
	submissions++;
}

static int open_tags(bool mapped)
{
	memset(&stats, 0, sizeof(stats));
	memset(&tags, 0, sizeof(tags));
	trouble_init(&trouble);
	submitted = NULL;
	submissions = 0;
	tags.char_fd = memfd_create("char", MFD_CLOEXEC);
	assert_true(tags.char_fd >= 0);
	/* Descriptors at its beginning, payload from UBLKSRV_IO_BUF_OFFSET on. */
	assert_int_equal(ftruncate(tags.char_fd, 1 << 20), 0);
	null_backend_open(&backend);
	recording_ops = *backend.ops;
	recording_ops.submit = record;
	backend.ops = &recording_ops;
	tags.queue_id = 3;
	tags.depth = DEPTH;
	tags.max_io_bytes = MAX_IO_BYTES;
	tags.size_bytes = &size_bytes;
	tags.ring = &ring;
	tags.backend = &backend;
	tags.stats = &stats;
	tags.trouble = &trouble;
	backend.done = tags_done;
	backend.submitter = &tags;
	backend.payload = &tags.payload.base;
	assert_int_equal(ring_open(&ring, DEPTH), 0);
	return tags_open(&tags, mapped);
}

static int setup(void **state)
{
	(void)state;
	return open_tags(false);
}

static int setup_mapped(void **state)
{
	(void)state;
	return open_tags(true);
}

static int teardown(void **state)
{
	(void)state;
	tags_close(&tags, false);
	tag_payload_close(&tags.payload); /* kept while the driver has a command */
	io_uring_queue_exit(&ring);
	close(tags.char_fd);
	return 0;
}

/* The driver puts a request under a tag, and completes the tag's command. */
static void request_comes(uint16_t tag, uint32_t op_flags, uint64_t sector, uint32_t sectors)
{
	struct ublksrv_io_desc descriptor = { .op_flags = op_flags,
					      .start_sector = sector,
					      .nr_sectors = sectors };
	off_t place = UBLKSRV_CMD_BUF_OFFSET +
		      (off_t)((uintptr_t)&tags.descriptors[tag] - (uintptr_t)tags.descriptors);
	size_t area = UBLK_MAX_QUEUE_DEPTH * sizeof(descriptor);

	place += (off_t)(tags.queue_id * area);
	assert_int_equal(pwrite(tags.char_fd, &descriptor, sizeof(descriptor), place),
			 sizeof(descriptor));
	tags_completed(&tags, tag, UBLK_IO_RES_OK);
}

/* The last command that was put into the ring. */
static const struct io_uring_sqe *last_sqe(void)
{
	uint32_t last = ring.sq.sqe_tail - 1;

	assert_true(io_uring_sq_ready(&ring) > 0);
	return &ring.sq.sqes[last & ring.sq.ring_mask];
}

static void assert_command(uint16_t tag, uint32_t op, int32_t result)
{
	const struct io_uring_sqe *sqe = last_sqe();
	const struct ublksrv_io_cmd *command = (const struct ublksrv_io_cmd *)sqe->cmd;

	assert_int_equal(sqe->opcode, IORING_OP_URING_CMD);
	assert_int_equal(sqe->fd, RING_FILE_CHAR);
	assert_int_equal(sqe->flags, IOSQE_FIXED_FILE);
	assert_int_equal(sqe->cmd_op, op);
	assert_int_equal(ring_kind_of(sqe->user_data), RING_UBLK);
	assert_int_equal(ring_index_of(sqe->user_data), tag);
	assert_int_equal(command->q_id, 3);
	assert_int_equal(command->tag, tag);
	assert_int_equal(command->result, result);
	assert_int_equal(command->addr, tag_payload_address(&tags.payload, tag));
}

static void done(int error)
{
	submitted->error = error;
	block_request_done(&backend, submitted);
}

static void each_tag_fetches(void **state)
{
	(void)state;
	tags_fetch_all(&tags);
	assert_int_equal(io_uring_sq_ready(&ring), DEPTH);
	assert_command(DEPTH - 1, UBLK_U_IO_FETCH_REQ, 0);
}

static void a_request_is_submitted_and_committed_once(void **state)
{
	(void)state;
	request_comes(2, UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, 8, 16);
	assert_int_equal(submissions, 1);
	assert_int_equal(submitted->op, BLOCK_WRITE);
	assert_true(submitted->fua);
	assert_int_equal(submitted->tag, 2);
	assert_int_equal(submitted->offset_bytes, 4096);
	assert_int_equal(submitted->length_bytes, 8192);
	assert_int_equal(tags.active, 1);
	assert_int_equal(io_uring_sq_ready(&ring), 0);
	done(0);
	assert_int_equal(io_uring_sq_ready(&ring), 1);
	assert_command(2, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 8192);
	assert_int_equal(tags.active, 0);
	assert_int_equal(stats_read(&stats.writes), 1);
	assert_int_equal(stats_read(&stats.write_bytes), 8192);
	assert_int_equal(stats_read(&stats.errors), 0);
}

/* All tags at once, done in another order. */
static void requests_may_be_done_in_any_order(void **state)
{
	struct block_request *requests[DEPTH];

	(void)state;
	for (uint16_t tag = 0; tag < DEPTH; tag++) {
		request_comes(tag, UBLK_IO_OP_READ, 8ULL * tag, 8);
		requests[tag] = submitted;
	}
	assert_int_equal(tags.active, DEPTH);
	for (uint16_t i = 0; i < DEPTH; i++) {
		uint16_t tag = DEPTH - 1 - i;

		requests[tag]->error = 0;
		block_request_done(&backend, requests[tag]);
		assert_command(tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 4096);
	}
	assert_int_equal(tags.active, 0);
}

static void the_driver_gets_all_or_an_error(void **state)
{
	static const struct {
		uint32_t op;
		uint32_t sectors;
		int error;
		int32_t result;
	} cases[] = {
		{ UBLK_IO_OP_READ, 8, 0, 4096 },
		{ UBLK_IO_OP_READ, 8, -EIO, -EIO },
		{ UBLK_IO_OP_WRITE, 8, -ENOSPC, -ENOSPC },
		{ UBLK_IO_OP_FLUSH, 0, 0, 0 },
		{ UBLK_IO_OP_FLUSH, 0, -EIO, -EIO },
		{ UBLK_IO_OP_DISCARD, 2048, 0, 0 },
		{ UBLK_IO_OP_WRITE_ZEROES, 2048, 0, 0 },
		{ UBLK_IO_OP_WRITE_ZEROES, 8, -EOPNOTSUPP, -EOPNOTSUPP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request_comes(1, cases[i].op, 0, cases[i].sectors);
		done(cases[i].error);
		assert_command(1, UBLK_U_IO_COMMIT_AND_FETCH_REQ, cases[i].result);
	}
	assert_int_equal(stats_read(&stats.errors), 4);
}

static void what_breaks_the_limits_is_submitted_to_nobody(void **state)
{
	static const struct {
		uint32_t op;
		uint64_t sector;
		uint32_t sectors;
	} cases[] = {
		{ UBLK_IO_OP_READ, SIZE_BYTES >> 9, 1 },
		{ UBLK_IO_OP_WRITE, (SIZE_BYTES >> 9) - 1, 2 },
		{ UBLK_IO_OP_READ, 0, (MAX_IO_BYTES >> 9) + 1 },
		{ UBLK_IO_OP_WRITE, UINT64_MAX, 8 },
		{ UBLK_IO_OP_WRITE_SAME, 0, 8 },
		{ 0xff, 0, 8 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request_comes(0, cases[i].op, cases[i].sector, cases[i].sectors);
		assert_command(0, UBLK_U_IO_COMMIT_AND_FETCH_REQ, -EIO);
	}
	assert_int_equal(submissions, 0);
	assert_int_equal(tags.active, 0);
	assert_int_equal(trouble_count(&trouble), sizeof(cases) / sizeof(cases[0]));
}

/* resize raises it while the queue runs. */
static void the_size_is_looked_at_each_time(void **state)
{
	(void)state;
	request_comes(0, UBLK_IO_OP_READ, SIZE_BYTES >> 9, 8);
	assert_int_equal(submissions, 0);
	size_bytes = 2 * SIZE_BYTES;
	request_comes(0, UBLK_IO_OP_READ, SIZE_BYTES >> 9, 8);
	assert_int_equal(submissions, 1);
	size_bytes = SIZE_BYTES;
}

static void an_aborted_command_ends_its_tag(void **state)
{
	(void)state;
	tags_completed(&tags, 0, UBLK_IO_RES_ABORT);
	assert_int_equal(tags.ended, 1);
	assert_int_equal(tags.refused, 0);
	tags_completed(&tags, 1, -EINVAL);
	assert_int_equal(tags.ended, 2);
	assert_int_equal(tags.refused, EINVAL);
	assert_int_equal(io_uring_sq_ready(&ring), 0);
}

/* Each byte of a tag's place, and none of another's. */
static void payload_moves(void)
{
	struct payload *payload = &tags.payload.base;
	uint8_t bytes[4096], back[4096];

	memset(bytes, 0xa5, sizeof(bytes));
	assert_int_equal(payload->ops->store(payload, 1, 512, bytes, 1024), 0);
	assert_int_equal(payload->ops->zero(payload, 1, 1024, 256), 0);
	assert_int_equal(payload->ops->load(payload, 1, 0, back, sizeof(back)), 0);
	memset(bytes, 0, 512);
	memset(bytes + 1024, 0, 256);
	memset(bytes + 1536, 0, sizeof(bytes) - 1536);
	assert_memory_equal(back, bytes, sizeof(back));
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(payload->ops->load(payload, 0, 0, back, sizeof(back)), 0);
	assert_memory_equal(back, bytes, sizeof(back));
	assert_int_equal(payload->ops->load(payload, 2, 0, back, sizeof(back)), 0);
	assert_memory_equal(back, bytes, sizeof(back));
}

static void bytes_move_by_user_copy(void **state)
{
	(void)state;
	/* Sparse: the payloads of queue 3 lie 6 TiB into the file. */
	assert_int_equal(ftruncate(tags.char_fd, 1LL << 44), 0);
	assert_false(tags.payload.base.ops->in_place);
	payload_moves();
}

static void bytes_move_in_mapped_buffers(void **state)
{
	struct payload *payload = &tags.payload.base;

	(void)state;
	assert_true(payload->ops->in_place);
	assert_ptr_equal(payload->ops->place(payload, 2, 100).memory,
			 tags.payload.buffers + 2 * MAX_IO_BYTES + 100);
	payload_moves();
	request_comes(2, UBLK_IO_OP_READ, 0, 8);
	done(0);
	assert_command(2, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 4096); /* with its buffer's address */
	assert_int_equal(stats_read(&stats.copied_bytes), 1024 + 3 * 4096 + 4096);
}

static void the_null_backend_reads_zeroes(void **state)
{
	struct payload *payload = &tags.payload.base;
	uint8_t bytes[4096], back[4096];

	(void)state;
	null_backend_open(&backend);
	backend.done = tags_done;
	backend.submitter = &tags;
	backend.payload = payload;
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(payload->ops->store(payload, 1, 0, bytes, sizeof(bytes)), 0);
	request_comes(1, UBLK_IO_OP_WRITE, 0, 8);
	assert_command(1, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 4096);
	request_comes(1, UBLK_IO_OP_READ, 0, 8);
	assert_command(1, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 4096);
	assert_int_equal(payload->ops->load(payload, 1, 0, back, sizeof(back)), 0);
	memset(bytes, 0, sizeof(bytes));
	assert_memory_equal(back, bytes, sizeof(back));
	assert_true(backend.ops->leave(&backend));
}

int main(void)
{
#define CASE(name)	  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASE_MAPPED(name) cmocka_unit_test_setup_teardown(name, setup_mapped, teardown)
	const struct CMUnitTest tests[] = {
		CASE(each_tag_fetches),
		CASE(a_request_is_submitted_and_committed_once),
		CASE(requests_may_be_done_in_any_order),
		CASE(the_driver_gets_all_or_an_error),
		CASE(what_breaks_the_limits_is_submitted_to_nobody),
		CASE(the_size_is_looked_at_each_time),
		CASE(an_aborted_command_ends_its_tag),
		CASE(bytes_move_by_user_copy),
		CASE_MAPPED(bytes_move_in_mapped_buffers),
		CASE_MAPPED(the_null_backend_reads_zeroes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
