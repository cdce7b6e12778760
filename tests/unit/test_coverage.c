/* SPDX-License-Identifier: MIT */
/*
 * Goal: the list of answered bytes tells exactly which came, refuses any byte twice, and stays
 * sorted and merged.
 * Method: tables of spans, then random spans against a plain map of bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/coverage.h"

static struct nbd_coverage coverage;

static int reset(void **state)
{
	(void)state;
	nbd_coverage_reset(&coverage);
	return 0;
}

static void add(uint32_t start, uint32_t end, int rc)
{
	assert_int_equal(nbd_coverage_add(&coverage, start, end), rc);
}

static void in_order_is_one_span(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < 1000; at += 10) {
		assert_false(nbd_coverage_complete(&coverage, 1000));
		add(at, at + 10, 0);
		assert_int_equal(coverage.count, 1);
	}
	assert_true(nbd_coverage_complete(&coverage, 1000));
	assert_false(nbd_coverage_complete(&coverage, 999));
	assert_false(nbd_coverage_complete(&coverage, 1001));
}

static void backwards_is_one_span(void **state)
{
	(void)state;
	for (uint32_t at = 1000; at > 0; at -= 10) {
		add(at - 10, at, 0);
		assert_int_equal(coverage.count, 1);
	}
	assert_true(nbd_coverage_complete(&coverage, 1000));
}

static void gaps_are_filled(void **state)
{
	(void)state;
	add(0, 10, 0);
	add(20, 30, 0);
	add(40, 50, 0);
	assert_int_equal(coverage.count, 3);
	add(10, 20, 0);
	assert_int_equal(coverage.count, 2);
	assert_false(nbd_coverage_complete(&coverage, 50));
	add(30, 40, 0);
	assert_true(nbd_coverage_complete(&coverage, 50));
}

static void overlap_is_refused_and_changes_nothing(void **state)
{
	static const uint32_t overlaps[][2] = { { 10, 20 }, { 9, 11 },	{ 19, 21 }, { 12, 15 },
						{ 0, 100 }, { 29, 31 }, { 39, 40 }, { 19, 31 } };
	struct nbd_coverage before;

	(void)state;
	add(10, 20, 0);
	add(30, 40, 0);
	before = coverage;
	for (size_t i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
		add(overlaps[i][0], overlaps[i][1], -EEXIST);
		assert_memory_equal(&coverage, &before, sizeof(coverage));
	}
}

static void ends_of_the_range(void **state)
{
	(void)state;
	add(UINT32_MAX - 1, UINT32_MAX, 0);
	add(0, 1, 0);
	add(1, UINT32_MAX - 1, 0);
	assert_true(nbd_coverage_complete(&coverage, UINT32_MAX));
}

static void nothing_covers_nothing(void **state)
{
	(void)state;
	assert_true(nbd_coverage_complete(&coverage, 0));
	assert_false(nbd_coverage_complete(&coverage, 1));
	add(1, 5, 0);
	assert_false(nbd_coverage_complete(&coverage, 5));
	assert_false(nbd_coverage_complete(&coverage, 4));
}

static void full_list_is_refused_but_can_still_merge(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NBD_COVERAGE_SPANS_MAX; i++)
		add(10 * i, 10 * i + 5, 0);
	add(10 * NBD_COVERAGE_SPANS_MAX, 10 * NBD_COVERAGE_SPANS_MAX + 5, -E2BIG);
	assert_int_equal(coverage.count, NBD_COVERAGE_SPANS_MAX);
	add(5, 10, 0);
	assert_int_equal(coverage.count, NBD_COVERAGE_SPANS_MAX - 1);
	add(10 * NBD_COVERAGE_SPANS_MAX, 10 * NBD_COVERAGE_SPANS_MAX + 5, 0);
}

static void check_against_map(const uint8_t *map, uint32_t bytes)
{
	uint32_t span = 0;
	bool full = true;

	for (uint32_t at = 0; at < bytes; at++) {
		bool covered;

		while (span < coverage.count && coverage.spans[span].end <= at)
			span++;
		covered = span < coverage.count && coverage.spans[span].start <= at;
		assert_int_equal(covered, map[at]);
		full = full && map[at];
	}
	for (uint32_t i = 1; i < coverage.count; i++)
		assert_true(coverage.spans[i - 1].end < coverage.spans[i].start);
	assert_int_equal(nbd_coverage_complete(&coverage, bytes), full);
}

static void random_spans_match_a_map(void **state)
{
	enum { BYTES = 96, ROUNDS = 300 };
	unsigned int seed = 20261122;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t map[BYTES] = { 0 };

		nbd_coverage_reset(&coverage);
		for (int i = 0; i < 120; i++) {
			uint32_t start = (uint32_t)rand_r(&seed) % BYTES;
			uint32_t len = 1 + (uint32_t)rand_r(&seed) % 7;
			uint32_t end = start + len < BYTES ? start + len : BYTES;
			bool overlap = memchr(map + start, 1, end - start) != NULL;

			add(start, end, overlap ? -EEXIST : 0);
			memset(map + start, 1, overlap ? 0 : end - start);
			check_against_map(map, BYTES);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_order_is_one_span, reset),
		cmocka_unit_test_setup(backwards_is_one_span, reset),
		cmocka_unit_test_setup(gaps_are_filled, reset),
		cmocka_unit_test_setup(overlap_is_refused_and_changes_nothing, reset),
		cmocka_unit_test_setup(ends_of_the_range, reset),
		cmocka_unit_test_setup(nothing_covers_nothing, reset),
		cmocka_unit_test_setup(full_list_is_refused_but_can_still_merge, reset),
		cmocka_unit_test_setup(random_spans_match_a_map, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
