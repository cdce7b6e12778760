// SPDX-License-Identifier: MIT
/*
 * Goal: what `info` foretells is the disk that connect's defaults would make, or why there can be
 * none, and what its flushes would mean. Method: exports made up here; the sums themselves are
 * test_params.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/cli/forecast.h"
#include "proto/wire.h"

static struct nbd_export export;
static struct forecast forecast;

static int reset(void **state)
{
	(void)state;
	memset(&export, 0, sizeof(export));
	export.size_bytes = (1 << 20) + 100;
	export.flags = NBD_FLAG_HAS_FLAGS;
	export.block_minimum_bytes = 1;
	export.block_preferred_bytes = 4096;
	export.payload_max_bytes = 256 << 10;
	return 0;
}

static void the_defaults_disk(void **state)
{
	(void)state;
	forecast_make(&forecast, &export, 2);
	assert_true(forecast.possible);
	assert_int_equal(forecast.disk.size_bytes, 1 << 20);
	assert_int_equal(forecast.disk.tail_bytes, 100);
	assert_int_equal(forecast.disk.logical_block_bytes, 512);
	assert_int_equal(forecast.disk.max_io_bytes, DISK_MAX_IO_BYTES);
	assert_int_equal(forecast.disk.parts_max, DISK_MAX_IO_BYTES >> 18);
	assert_int_equal(forecast.disk.connections, 1);
	assert_false(forecast.disk.read_only);
	export.flags |= NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_READ_ONLY;
	forecast_make(&forecast, &export, 2);
	assert_int_equal(forecast.disk.connections, 2);
	assert_true(forecast.disk.read_only);
	forecast_make(&forecast, &export, 16);
	assert_int_equal(forecast.disk.connections, 4);
}

static void no_disk_has_a_reason(void **state)
{
	(void)state;
	export.block_minimum_bytes = 65536;
	export.block_preferred_bytes = 65536;
	forecast_make(&forecast, &export, 1);
	assert_false(forecast.possible);
	assert_non_null(strstr(forecast.why_not, "65536"));
	reset(NULL);
	export.size_bytes = 511;
	forecast_make(&forecast, &export, 1);
	assert_false(forecast.possible);
	assert_non_null(strstr(forecast.why_not, "511"));
}

static void the_cache_in_words(void **state)
{
	static const struct {
		uint16_t flags;
		const char *word;
	} cases[] = {
		{ 0, "not known" },
		{ NBD_FLAG_SEND_FLUSH, "flushed on demand" },
		{ NBD_FLAG_SEND_FUA, "every write is forced" },
		{ NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA, "single writes can be forced" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		export.flags = NBD_FLAG_HAS_FLAGS | cases[i].flags;
		forecast_make(&forecast, &export, 1);
		assert_non_null(strstr(forecast.cache, cases[i].word));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_defaults_disk, reset),
		cmocka_unit_test_setup(no_disk_has_a_reason, reset),
		cmocka_unit_test_setup(the_cache_in_words, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
