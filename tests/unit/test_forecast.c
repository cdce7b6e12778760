// SPDX-License-Identifier: MIT
/*
 * Goal: what `info` says connect would make of an export is what the daemon makes of it.
 * Method: both are asked about every mix of flags, blocks, payloads and sizes of a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/cli/forecast.h"
#include "gateway/disk/params.h"
#include "proto/wire.h"

static const uint16_t flags[] = {
	NBD_FLAG_HAS_FLAGS,
	NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY,
	NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_CAN_MULTI_CONN,
};
static const uint32_t minimums[] = { 1, 512, 4096, 8192, 65536 };
static const uint32_t preferreds[] = { 512, 4096, 1u << 20 };
static const uint32_t payloads[] = { 512, 4096, 65536, 1000000, 32u << 20, UINT32_MAX };
static const uint64_t sizes[] = { 0, 1, 511, 512, 4095, 4096, 1000001, UINT64_C(1) << 40 };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static unsigned int possible, impossible;

static void compare(const struct nbd_export *export, const struct disk_config *config,
		    uint32_t cpus)
{
	struct disk_geometry geometry;
	struct forecast forecast;
	char error[400];
	int result = params_derive(&geometry, export, config, cpus, error, sizeof(error));

	forecast_make(&forecast, export, cpus);
	if (forecast.possible != (result == 0))
		fail_msg("size %llu, minimum %u, payload %u: forecast '%s', daemon '%s'",
			 (unsigned long long)export->size_bytes, export->block_minimum_bytes,
			 export->payload_max_bytes, forecast.why_not, result ? error : "");
	if (!forecast.possible) {
		impossible++;
		assert_true(forecast.why_not[0]);
		return;
	}
	possible++;
	assert_int_equal(forecast.size_bytes, geometry.size_bytes);
	assert_int_equal(forecast.tail_bytes, geometry.tail_bytes);
	assert_int_equal(forecast.logical_block_bytes, geometry.logical_block_bytes);
	assert_int_equal(forecast.physical_block_bytes, geometry.physical_block_bytes);
	assert_int_equal(forecast.max_io_bytes, geometry.max_io_bytes);
	assert_int_equal(forecast.requests_per_io, geometry.parts_max);
	assert_int_equal(forecast.connections, geometry.connections);
	assert_int_equal(forecast.read_only, geometry.read_only);
}

static void compare_sizes(struct nbd_export *export, const struct disk_config *config)
{
	for (size_t payload = 0; payload < COUNT(payloads); payload++) {
		for (size_t size = 0; size < COUNT(sizes); size++) {
			export->payload_max_bytes = payloads[payload];
			export->size_bytes = sizes[size];
			compare(export, config, 1);
			compare(export, config, 16);
		}
	}
}

static void test_same(void **state)
{
	static struct nbd_export export;
	static struct disk_config config;

	(void)state;
	disk_config_init(&config);
	for (size_t flag = 0; flag < COUNT(flags); flag++) {
		for (size_t minimum = 0; minimum < COUNT(minimums); minimum++) {
			for (size_t preferred = 0; preferred < COUNT(preferreds); preferred++) {
				export.flags = flags[flag];
				export.block_minimum_bytes = minimums[minimum];
				export.block_preferred_bytes = preferreds[preferred];
				compare_sizes(&export, &config);
			}
		}
	}
	disk_config_clear(&config);
	assert_true(possible > 500 && impossible > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
