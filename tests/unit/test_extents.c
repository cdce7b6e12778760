// SPDX-License-Identifier: MIT
/*
 * Goal: a map's list and picture are right at every size.
 * Method: tables of cases; the picture is compared with one made byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/map/extents.h"

#define COLUMNS 16

static void test_coalesce(void **state)
{
	struct extents extents = { 0 };
	json_t *array;

	(void)state;
	assert_int_equal(extents_add(&extents, 100, EXTENT_DATA), 0);
	assert_int_equal(extents_add(&extents, 0, EXTENT_ZERO), 0);
	assert_int_equal(extents_add(&extents, 50, EXTENT_DATA), 0);
	assert_int_equal(extents_add(&extents, 7, EXTENT_HOLE_ZERO), 0);
	assert_int_equal(extents_add(&extents, 3, EXTENT_HOLE_ZERO | 0x40), 0);
	assert_int_equal(extents.count, 2);
	assert_int_equal(extents.end_bytes, 160);
	assert_int_equal(extents.totals[EXTENT_DATA], 150);
	assert_int_equal(extents.totals[EXTENT_HOLE_ZERO], 10);
	assert_int_equal(extents.list[1].offset_bytes, 150);
	array = extents_to_json(&extents);
	assert_int_equal(json_array_size(array), 2);
	assert_true(json_is_true(json_object_get(json_array_get(array, 1), "hole")));
	assert_string_equal(json_string_value(json_object_get(json_array_get(array, 1), "type")),
			    "hole");
	json_decref(array);
	extents_clear(&extents);
}

static void test_bounded(void **state)
{
	struct extents extents = { 0 };
	int error = 0;
	uint32_t added = 0;

	(void)state;
	for (; !error && added <= EXTENTS_MAX; added++)
		error = extents_add(&extents, 1, added % 2 ? EXTENT_DATA : EXTENT_ZERO);
	assert_int_equal(error, -E2BIG);
	assert_int_equal(extents.count, EXTENTS_MAX);
	extents_clear(&extents);
}

static const struct {
	uint64_t lengths[4];
	enum extent_kind kinds[4];
	uint64_t size_bytes;
	const char *drawn;
} pictures[] = {
	{ { 1600 }, { EXTENT_DATA }, 1600, "################" },
	{ { 1600 }, { EXTENT_HOLE_ZERO }, 1600, "................" },
	{ { 100, 1500 }, { EXTENT_DATA, EXTENT_ZERO }, 1600, "#---------------" },
	{ { 150, 1450 }, { EXTENT_DATA, EXTENT_HOLE }, 1600, "#+.............." },
	{ { 160, 1430, 10 },
	  { EXTENT_ZERO, EXTENT_HOLE_ZERO, EXTENT_DATA },
	  1600,
	  "--.............+" },
	{ { 800 }, { EXTENT_DATA }, 1600, "########????????" },
	{ { 0 }, { EXTENT_DATA }, 1600, "????????????????" },
	{ { 1, 1 }, { EXTENT_DATA, EXTENT_ZERO }, 2, "########--------" },
	/* Half of 2^63 - 1 is not whole: the ninth column has one byte of data. */
	{ { UINT64_C(1) << 62, (UINT64_C(1) << 62) - 1 },
	  { EXTENT_DATA, EXTENT_ZERO },
	  INT64_MAX,
	  "########+-------" },
};

static void test_pictures(void **state)
{
	char drawn[COLUMNS + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++) {
		struct extents extents = { 0 };

		for (int part = 0; part < 4; part++)
			assert_int_equal(extents_add(&extents, pictures[i].lengths[part],
						     pictures[i].kinds[part]),
					 0);
		extents_draw(&extents, pictures[i].size_bytes, drawn, COLUMNS);
		assert_string_equal(drawn, pictures[i].drawn);
		extents_clear(&extents);
	}
}

/* The same rule, byte by byte. */
static char expected_symbol(const uint8_t *kinds, size_t from, size_t to, size_t known)
{
	size_t data = 0, zero = 0;
	bool unknown = false;

	for (size_t at = from; at < to; at++) {
		unknown |= at >= known;
		data += at < known && kinds[at] == EXTENT_DATA;
		zero += at < known && kinds[at] == EXTENT_ZERO;
	}
	if (data)
		return data == to - from ? '#' : '+';
	if (unknown)
		return '?';
	return zero > (to - from) / 2 ? '-' : '.';
}

static void test_random_pictures(void **state)
{
	const char *wanted = getenv("TEST_SEED");
	unsigned int seed = wanted ? (unsigned int)strtoul(wanted, NULL, 10) : 20261122;
	uint8_t kinds[512];
	char drawn[COLUMNS + 1];

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 500; round++) {
		struct extents extents = { 0 };
		size_t size = 1 + (size_t)rand_r(&seed) % sizeof(kinds), known = 0;

		while (known < size && rand_r(&seed) % 64) {
			size_t len = 1 + (size_t)rand_r(&seed) % 40;
			uint8_t kind = (uint8_t)(rand_r(&seed) % EXTENT_KINDS);

			if (len > size - known)
				len = size - known;
			memset(kinds + known, kind, len);
			assert_int_equal(extents_add(&extents, len, kind), 0);
			known += len;
		}
		extents_draw(&extents, size, drawn, COLUMNS);
		for (size_t column = 0; column < COLUMNS; column++) {
			size_t from = size * column / COLUMNS, to = size * (column + 1) / COLUMNS;

			assert_int_equal(
				drawn[column],
				expected_symbol(kinds, from, to > from ? to : from + 1, known));
		}
		extents_clear(&extents);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coalesce),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_pictures),
		cmocka_unit_test(test_random_pictures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
