/* SPDX-License-Identifier: MIT */
/*
 * Goal: a place that a lost connection's write may still reach is held until that loss's quiet time is over, and
 * no other place is; the time begins with the server's first answer.
 * Method: directed cases, and random ranges beside a map of the bytes; seed printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/nbd/holds.h"

#define MAP_BYTES 4096u
#define QUIET_MS  5000u

static struct holds holds;

static int setup(void **state)
{
	(void)state;
	holds_init(&holds);
	return 0;
}

static enum hold_answer meet(uint64_t offset_bytes, uint64_t length_bytes, int64_t now_ms)
{
	return holds_meet(&holds, offset_bytes, length_bytes, now_ms);
}

static void nothing_at_first(void **state)
{
	(void)state;
	assert_true(holds_are_empty(&holds));
	assert_int_equal(meet(0, UINT64_MAX, 0), HOLD_NONE);
	assert_int_equal(holds_summarize(&holds, 0).ranges, 0);
}

static void edges(void **state)
{
	(void)state;
	holds_add(&holds, holds_begin_loss(&holds, QUIET_MS), 4096, 4096);
	assert_int_equal(meet(0, 4096, 0), HOLD_NONE);
	assert_int_equal(meet(0, 4097, 0), HOLD_WAIT);
	assert_int_equal(meet(4096, 1, 0), HOLD_WAIT);
	assert_int_equal(meet(8191, 1, 0), HOLD_WAIT);
	assert_int_equal(meet(0, 65536, 0), HOLD_WAIT);
	assert_int_equal(meet(8192, 4096, 0), HOLD_NONE);
}

/* The server may be paused meanwhile: that uses nothing up. */
static void the_time_begins_with_an_answer(void **state)
{
	(void)state;
	holds_add(&holds, holds_begin_loss(&holds, QUIET_MS), 0, 4096);
	assert_true(holds_await_life(&holds));
	assert_int_equal(meet(0, 4096, 1000 * QUIET_MS), HOLD_WAIT);
	holds_server_lives(&holds, 1000 * QUIET_MS);
	assert_false(holds_await_life(&holds));
	assert_int_equal(holds_summarize(&holds, 1000 * QUIET_MS).ends_ms, 1001 * QUIET_MS);
	holds_server_lives(&holds, 1000 * QUIET_MS + 1); /* no later answer moves it */
	assert_int_equal(meet(0, 4096, 1001 * QUIET_MS - 1), HOLD_WAIT);
	assert_int_equal(meet(0, 4096, 1001 * QUIET_MS), HOLD_NONE);
	assert_true(holds_are_empty(&holds));
}

static void each_loss_has_its_own_clock(void **state)
{
	(void)state;
	holds_add(&holds, holds_begin_loss(&holds, QUIET_MS), 0, 4096);
	holds_server_lives(&holds, 1000);
	holds_add(&holds, holds_begin_loss(&holds, 2 * QUIET_MS), 4096, 4096);
	assert_int_equal(meet(0, 4096, 1000 + QUIET_MS), HOLD_NONE);
	assert_int_equal(meet(4096, 4096, 1000 + QUIET_MS), HOLD_WAIT);
	holds_server_lives(&holds, 2000);
	assert_int_equal(meet(4096, 4096, 1999 + 2 * QUIET_MS), HOLD_WAIT);
	assert_int_equal(meet(4096, 4096, 2000 + 2 * QUIET_MS), HOLD_NONE);
}

/* The same bytes are of two losses: the longer one counts. */
static void the_longest_hold_counts(void **state)
{
	(void)state;
	holds_add(&holds, holds_begin_loss(&holds, QUIET_MS), 0, 4096);
	holds_add(&holds, holds_begin_loss(&holds, 3 * QUIET_MS), 0, 4096);
	holds_server_lives(&holds, 1);
	assert_int_equal(meet(0, 512, 1 + 2 * QUIET_MS), HOLD_WAIT);
	assert_int_equal(meet(0, 512, 1 + 3 * QUIET_MS), HOLD_NONE);
}

static void never_does_not_end(void **state)
{
	(void)state;
	holds_add(&holds, holds_begin_loss(&holds, HOLDS_NEVER), 0, 4096);
	assert_false(holds_await_life(&holds));
	holds_server_lives(&holds, 1);
	assert_int_equal(meet(0, 4096, INT64_MAX), HOLD_NEVER);
	assert_int_equal(holds_summarize(&holds, 1).ends_ms, -1);
}

static void without_a_quiet_time_nothing_is_held(void **state)
{
	(void)state;
	holds_add(&holds, holds_begin_loss(&holds, 0), 0, 4096);
	holds_server_lives(&holds, 7);
	assert_int_equal(meet(0, 4096, 7), HOLD_NONE);
}

static void random_against_a_map(void **state)
{
	static unsigned char map[MAP_BYTES];
	unsigned int seed = (unsigned int)time(NULL), random_state = seed;
	uint32_t loss = holds_begin_loss(&holds, QUIET_MS);

	(void)state;
	printf("# seed %u\n", seed);
	memset(map, 0, sizeof(map));
	for (int i = 0; i < 300; i++) {
		unsigned int start = (unsigned int)rand_r(&random_state) % MAP_BYTES;
		unsigned int length = 1 + (unsigned int)rand_r(&random_state) % 24;

		if (length > MAP_BYTES - start)
			length = MAP_BYTES - start;
		if (i % 3 == 0) {
			holds_add(&holds, loss, start, length);
			memset(map + start, 1, length);
		}
		start = (unsigned int)rand_r(&random_state) % MAP_BYTES;
		if (length > MAP_BYTES - start)
			length = MAP_BYTES - start;
		assert_int_equal(meet(start, length, 1) == HOLD_WAIT,
				 memchr(map + start, 1, length) != NULL);
	}
}

/* More separate places than can be kept: then all between them is held, never forgotten. */
static void too_many_ranges(void **state)
{
	uint32_t loss = holds_begin_loss(&holds, QUIET_MS);

	(void)state;
	for (uint64_t i = 0; i < HOLDS_RANGES_MAX; i++)
		holds_add(&holds, loss, i * 8192, 4096);
	holds_server_lives(&holds, 1);
	assert_int_equal(meet(4096, 4096, 1), HOLD_NONE);
	holds_add(&holds, loss, 0, 4096); /* one that is known adds nothing */
	assert_int_equal(meet(4096, 4096, 1), HOLD_NONE);
	holds_add(&holds, holds_begin_loss(&holds, 2 * QUIET_MS), UINT64_C(1) << 40, 4096);
	assert_int_equal(meet(4096, 4096, 1), HOLD_WAIT);
	assert_int_equal(meet(UINT64_C(1) << 39, 512, 1), HOLD_WAIT);
	assert_int_equal(meet(UINT64_C(1) << 50, 512, 1), HOLD_NONE);
	assert_true(holds_await_life(&holds)); /* and the time begins anew */
	holds_server_lives(&holds, 100);
	assert_int_equal(meet(4096, 4096, 99 + 2 * QUIET_MS), HOLD_WAIT);
	assert_int_equal(meet(4096, 4096, 100 + 2 * QUIET_MS), HOLD_NONE);
}

/* More losses than there are clocks for: the last one is shared, with the longest of their times. */
static void too_many_losses(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2 * HOLDS_LOSSES_MAX; i++)
		holds_add(&holds, holds_begin_loss(&holds, QUIET_MS + (uint32_t)i), i * 8192, 4096);
	holds_server_lives(&holds, 1);
	for (uint64_t i = 0; i < 2 * HOLDS_LOSSES_MAX; i++)
		assert_int_equal(meet(i * 8192, 4096, QUIET_MS + (int64_t)i), HOLD_WAIT);
	assert_int_equal(meet(0, UINT64_MAX, 1 + QUIET_MS + 2 * HOLDS_LOSSES_MAX), HOLD_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_at_first, setup),
		cmocka_unit_test_setup(edges, setup),
		cmocka_unit_test_setup(the_time_begins_with_an_answer, setup),
		cmocka_unit_test_setup(each_loss_has_its_own_clock, setup),
		cmocka_unit_test_setup(the_longest_hold_counts, setup),
		cmocka_unit_test_setup(never_does_not_end, setup),
		cmocka_unit_test_setup(without_a_quiet_time_nothing_is_held, setup),
		cmocka_unit_test_setup(random_against_a_map, setup),
		cmocka_unit_test_setup(too_many_ranges, setup),
		cmocka_unit_test_setup(too_many_losses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
