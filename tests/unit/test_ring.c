/* SPDX-License-Identifier: MIT */
/*
 * Goal: a queue's wait for several completions always ends, also when the timeout that was to end it
 * came just before the wait began.
 * Method: a real ring. Waiting for two completions where one timeout is all that ever comes, armed and
 * left to expire in user space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/block/ring.h"
#include "tls/clock.h"

#define TICK_MS	 20
#define LIMIT_MS 60
#define LATE_MS	 3000

static struct io_uring open_ring(void)
{
	struct io_uring ring;
	int ret = ring_open(&ring, 4);

	if (ret < 0) {
		print_message("no io_uring here: %d\n", ret);
		skip();
	}
	return ring;
}

static void arm_tick(struct io_uring *ring, struct __kernel_timespec *tick)
{
	struct io_uring_sqe *sqe = ring_sqe(ring, RING_TICK, 0);
	uint64_t user_data = sqe->user_data;

	*tick = (struct __kernel_timespec){ .tv_nsec = TICK_MS * 1000000ll };
	io_uring_prep_timeout(sqe, tick, 0, 0);
	sqe->user_data = user_data;
	assert_int_equal(io_uring_submit(ring), 1);
}

/* Busy all the while: the kernel can post the completion only once it is entered again. */
static void spin_ms(int64_t ms)
{
	int64_t end_ms = clock_now_ms() + ms;

	while (clock_now_ms() < end_ms)
		;
}

static void test_tick_before_the_wait(void **state)
{
	struct io_uring ring = open_ring();
	struct __kernel_timespec tick;
	int64_t began_ms;
	int silent[2];

	(void)state;
	assert_int_equal(pipe2(silent, O_CLOEXEC), 0);
	arm_tick(&ring, &tick);
	spin_ms(3 * TICK_MS);
	/* With something to submit the kernel takes note of the tick before it begins to wait. */
	io_uring_prep_poll_add(ring_sqe(&ring, RING_BACKEND, 0), silent[0], POLLIN);
	began_ms = clock_now_ms();
	assert_in_range(ring_submit_and_wait(&ring, 2, LIMIT_MS), 0, 1);
	assert_in_range(clock_now_ms() - began_ms, 0, LATE_MS);
	assert_int_equal(io_uring_cq_ready(&ring), 1);
	ring_close(&ring);
	close(silent[0]);
	close(silent[1]);
}

static void test_no_completion_at_all(void **state)
{
	struct io_uring ring = open_ring();
	int64_t began_ms = clock_now_ms();

	(void)state;
	assert_int_equal(ring_submit_and_wait(&ring, 2, LIMIT_MS), 0);
	assert_in_range(clock_now_ms() - began_ms, LIMIT_MS - 1, LATE_MS);
	assert_int_equal(io_uring_cq_ready(&ring), 0);
	ring_close(&ring);
}

/* What is queued goes out, whatever ends the wait. */
static void test_submits(void **state)
{
	struct io_uring ring = open_ring();

	(void)state;
	io_uring_prep_nop(ring_sqe(&ring, RING_CANCEL, 0));
	io_uring_prep_nop(ring_sqe(&ring, RING_CANCEL, 0));
	assert_int_equal(ring_submit_and_wait(&ring, 2, LIMIT_MS), 2);
	assert_int_equal(io_uring_cq_ready(&ring), 2);
	io_uring_cq_advance(&ring, 2);
	io_uring_prep_nop(ring_sqe(&ring, RING_CANCEL, 0));
	assert_in_range(ring_submit_and_wait(&ring, 2, LIMIT_MS), 0, 1);
	assert_int_equal(io_uring_cq_ready(&ring), 1);
	assert_int_equal(io_uring_sq_ready(&ring), 0);
	io_uring_cq_advance(&ring, 1);
	io_uring_prep_nop(ring_sqe(&ring, RING_CANCEL, 0));
	assert_int_equal(ring_submit_and_wait(&ring, 1, 0), 1);
	ring_close(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tick_before_the_wait),
		cmocka_unit_test(test_no_completion_at_all),
		cmocka_unit_test(test_submits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
