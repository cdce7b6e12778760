/* SPDX-License-Identifier: MIT */
/*
 * Goal: a place that a lost connection's write may still reach is found again, whatever was added
 * since, and no other place is.
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

#include "gateway/nbd/stale.h"

#define MAP_BYTES 4096u

static struct stale stale;

static void test_nothing_at_first(void **state)
{
	(void)state;
	stale_init(&stale);
	assert_false(stale_overlaps(&stale, 0, UINT64_MAX));
}

static void test_edges(void **state)
{
	(void)state;
	stale_init(&stale);
	stale_add(&stale, 4096, 4096);
	assert_false(stale_overlaps(&stale, 0, 4096));
	assert_true(stale_overlaps(&stale, 0, 4097));
	assert_true(stale_overlaps(&stale, 4096, 1));
	assert_true(stale_overlaps(&stale, 8191, 1));
	assert_true(stale_overlaps(&stale, 0, 65536));
	assert_false(stale_overlaps(&stale, 8192, 4096));
}

static void test_random_against_a_map(void **state)
{
	static unsigned char map[MAP_BYTES];
	unsigned int seed = (unsigned int)time(NULL), random_state = seed;

	(void)state;
	printf("# seed %u\n", seed);
	memset(map, 0, sizeof(map));
	stale_init(&stale);
	for (int i = 0; i < 300; i++) {
		unsigned int start = (unsigned int)rand_r(&random_state) % MAP_BYTES;
		unsigned int length = 1 + (unsigned int)rand_r(&random_state) % 24;

		if (length > MAP_BYTES - start)
			length = MAP_BYTES - start;
		if (i % 3 == 0) {
			stale_add(&stale, start, length);
			memset(map + start, 1, length);
		}
		start = (unsigned int)rand_r(&random_state) % MAP_BYTES;
		if (length > MAP_BYTES - start)
			length = MAP_BYTES - start;
		assert_int_equal(stale_overlaps(&stale, start, length),
				 memchr(map + start, 1, length) != NULL);
	}
}

/* More separate places than can be kept: then it is everywhere, never forgotten. */
static void test_too_many(void **state)
{
	(void)state;
	stale_init(&stale);
	for (uint64_t i = 0; i < STALE_RANGES_MAX; i++)
		stale_add(&stale, i * 8192, 4096);
	assert_false(stale_overlaps(&stale, 4096, 4096));
	stale_add(&stale, 0, 4096); /* one that is known adds nothing */
	assert_false(stale_overlaps(&stale, 4096, 4096));
	stale_add(&stale, UINT64_C(1) << 40, 4096);
	assert_true(stale_overlaps(&stale, 4096, 4096));
	assert_true(stale_overlaps(&stale, UINT64_C(1) << 50, 512));
	stale_add(&stale, 0, 512);
	assert_true(stale_overlaps(&stale, UINT64_C(1) << 50, 512));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_at_first),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_random_against_a_map),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
