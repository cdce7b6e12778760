/* SPDX-License-Identifier: MIT */
/*
 * Goal: the disk's geometry and the driver's parameters follow what was negotiated, and nothing is
 * assumed. Method: one export, varied a field at a time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/common/params.h"
#include "proto/wire.h"

static struct nbd_export export;
static struct disk_config config;
static struct disk_geometry geometry;
static struct ublk_params params;
static char sentence[512];

static int reset(void **state)
{
	(void)state;
	memset(&export, 0, sizeof(export));
	export.size_bytes = 1 << 30;
	export.flags = NBD_FLAG_HAS_FLAGS;
	export.block_minimum_bytes = 1;
	export.block_preferred_bytes = 4096;
	export.payload_max_bytes = 32 << 20;
	disk_config_init(&config);
	return 0;
}

static int derive(void)
{
	int ret = params_derive(&geometry, &export, &config, 8, sentence, sizeof(sentence));

	if (ret == 0)
		params_fill(&params, &geometry, &export);
	return ret;
}

static void blocks_follow_the_server(void **state)
{
	static const struct {
		uint32_t minimum, preferred, wanted, logical, physical;
	} cases[] = {
		{ 1, 4096, 0, 512, 4096 },	   { 512, 4096, 0, 512, 4096 },
		{ 1024, 4096, 0, 1024, 4096 },	   { 4096, 4096, 0, 4096, 4096 },
		{ 1, 512, 0, 512, 512 },	   { 1, 65536, 0, 512, 4096 },
		{ 1, 4096, 4096, 4096, 4096 },	   { 512, 512, 2048, 2048, 2048 },
		{ 4096, 65536, 4096, 4096, 4096 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		export.block_minimum_bytes = cases[i].minimum;
		export.block_preferred_bytes = cases[i].preferred;
		config.block_size_bytes = cases[i].wanted;
		assert_int_equal(derive(), 0);
		assert_int_equal(geometry.logical_block_bytes, cases[i].logical);
		assert_int_equal(geometry.physical_block_bytes, cases[i].physical);
		assert_int_equal(1u << params.basic.logical_bs_shift, cases[i].logical);
		assert_int_equal(1u << params.basic.physical_bs_shift, cases[i].physical);
	}
}

static void blocks_that_cannot_be_are_refused(void **state)
{
	(void)state;
	export.block_minimum_bytes = 65536;
	export.block_preferred_bytes = 65536;
	assert_int_equal(derive(), -EINVAL);
	assert_non_null(strstr(sentence, "65536"));
	assert_non_null(strstr(sentence, "4096"));
	export.block_minimum_bytes = 4096;
	config.block_size_bytes = 512;
	assert_int_equal(derive(), -EINVAL);
	assert_non_null(strstr(sentence, "--block-size 512"));
}

static void an_odd_size_is_rounded_down(void **state)
{
	(void)state;
	export.size_bytes = 1000001;
	assert_int_equal(derive(), 0);
	assert_int_equal(geometry.size_bytes, 999936);
	assert_int_equal(geometry.tail_bytes, 65);
	assert_int_equal(params.basic.dev_sectors, 1953);
	export.size_bytes = 511;
	assert_int_equal(derive(), -EINVAL);
	export.size_bytes = 0;
	assert_int_equal(derive(), -EINVAL);
}

static void requests_fit_the_servers_payload(void **state)
{
	static const struct {
		uint32_t payload, wanted, max_io;
		uint16_t parts;
	} cases[] = {
		{ 32 << 20, 1 << 20, 1 << 20, 1 },
		{ UINT32_MAX, 1 << 20, 1 << 20, 1 },
		{ 1 << 20, 1 << 20, 1 << 20, 1 },
		{ 65536, 1 << 20, 1 << 20, 16 },
		{ 65537, 1 << 20, 1 << 20, 16 },
		{ 8192, 1 << 20, 512 << 10, SLOT_PARTS_MAX },
		{ 512, 1 << 20, 32 << 10, SLOT_PARTS_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		export.payload_max_bytes = cases[i].payload;
		config.max_io_bytes = cases[i].wanted;
		assert_int_equal(derive(), 0);
		assert_int_equal(geometry.max_io_bytes, cases[i].max_io);
		assert_int_equal(geometry.parts_max, cases[i].parts);
		assert_int_equal(params.basic.max_sectors, cases[i].max_io / 512);
	}
	export.payload_max_bytes = 256;
	assert_int_equal(derive(), -EINVAL);
}

static void attributes_follow_the_flags(void **state)
{
	static const struct {
		uint16_t flags;
		uint32_t attrs;
		bool fua_always;
	} cases[] = {
		{ 0, 0, false },
		{ NBD_FLAG_READ_ONLY, UBLK_ATTR_READ_ONLY, false },
		{ NBD_FLAG_ROTATIONAL, UBLK_ATTR_ROTATIONAL, false },
		{ NBD_FLAG_SEND_FLUSH, UBLK_ATTR_VOLATILE_CACHE, false },
		{ NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA, UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA,
		  false },
		{ NBD_FLAG_SEND_FUA, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		export.flags = NBD_FLAG_HAS_FLAGS | cases[i].flags;
		assert_int_equal(derive(), 0);
		assert_int_equal(params.basic.attrs, cases[i].attrs);
		assert_int_equal(geometry.fua_always, cases[i].fua_always);
	}
	export.flags = NBD_FLAG_HAS_FLAGS;
	config.read_only = true;
	assert_int_equal(derive(), 0);
	assert_int_equal(params.basic.attrs, UBLK_ATTR_READ_ONLY);
}

static void discard_is_what_was_advertised(void **state)
{
	(void)state;
	assert_int_equal(derive(), 0);
	assert_int_equal(params.types, UBLK_PARAM_TYPE_BASIC);

	export.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_WRITE_ZEROES;
	assert_int_equal(derive(), 0);
	assert_int_equal(params.types, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD);
	assert_int_equal(params.discard.max_discard_sectors, 0);
	assert_int_not_equal(params.discard.max_write_zeroes_sectors, 0);
	assert_int_not_equal(params.discard.discard_granularity, 0);

	export.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_TRIM;
	export.block_minimum_bytes = 4096;
	assert_int_equal(derive(), 0);
	assert_int_equal(params.discard.max_write_zeroes_sectors, 0);
	assert_int_equal(params.discard.discard_granularity, 4096);
	/* Below 2^32 bytes, and whole blocks. */
	assert_true((uint64_t)params.discard.max_discard_sectors * 512 < UINT64_C(1) << 32);
	assert_int_equal(params.discard.max_discard_sectors % 8, 0);

	export.flags |= NBD_FLAG_READ_ONLY;
	assert_int_equal(derive(), 0);
	assert_int_equal(params.types, UBLK_PARAM_TYPE_BASIC);
}

static void several_connections_only_where_they_may_be_mixed(void **state)
{
	(void)state;
	config.connections = 4;
	assert_int_equal(derive(), 0);
	assert_int_equal(geometry.connections, 1);
	export.flags |= NBD_FLAG_CAN_MULTI_CONN;
	assert_int_equal(derive(), 0);
	assert_int_equal(geometry.connections, 4);
	config.connections = 0;
	assert_int_equal(derive(), 0);
	assert_int_equal(geometry.connections, 4); /* min(4, 8 CPUs) */
	assert_int_equal(params_derive(&geometry, &export, &config, 2, sentence, sizeof(sentence)),
			 0);
	assert_int_equal(geometry.connections, 2);
}

/* A server that comes back: more than the disk uses is welcome, less is refused, with the reason. */
static void a_server_that_comes_back_may_not_lack_anything(void **state)
{
	static const struct nbd_export built_on = {
		.size_bytes = 1 << 20,
		.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
			 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_CAN_MULTI_CONN,
		.block_minimum_bytes = 512,
		.payload_max_bytes = 1 << 20,
		.framing = NBD_FRAMING_STRUCTURED,
	};
	static const struct {
		uint16_t without, with;
		uint32_t minimum_bytes, payload_bytes;
		enum nbd_framing framing;
		bool several;
		const char *why; /* NULL: it may come */
	} cases[] = {
		{ 0, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true, NULL },
		{ 0, NBD_FLAG_SEND_CACHE, 1, 2 << 20, NBD_FRAMING_STRUCTURED, true, NULL },
		{ NBD_FLAG_CAN_MULTI_CONN, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, false, NULL },
		{ NBD_FLAG_CAN_MULTI_CONN, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true,
		  "CAN_MULTI_CONN" },
		{ NBD_FLAG_SEND_FLUSH, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true, "FLUSH" },
		{ NBD_FLAG_SEND_FUA, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true, "FUA" },
		{ NBD_FLAG_SEND_TRIM, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true, "TRIM" },
		{ NBD_FLAG_SEND_WRITE_ZEROES, 0, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true,
		  "WRITE_ZEROES" },
		{ 0, NBD_FLAG_READ_ONLY, 512, 1 << 20, NBD_FRAMING_STRUCTURED, true, "read-only" },
		{ 0, 0, 8192, 1 << 20, NBD_FRAMING_STRUCTURED, true, "8192" },
		{ 0, 0, 512, 4096, NBD_FRAMING_STRUCTURED, true, "4096" },
		{ 0, 0, 512, 1 << 20, NBD_FRAMING_SIMPLE, true, "framed" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nbd_export granted = built_on;
		char why[200] = "";
		int ret;

		granted.flags = (uint16_t)((granted.flags & ~cases[i].without) | cases[i].with);
		granted.block_minimum_bytes = cases[i].minimum_bytes;
		granted.payload_max_bytes = cases[i].payload_bytes;
		granted.framing = cases[i].framing;
		ret = params_check_terms(&built_on, &granted, cases[i].several, why, sizeof(why));
		assert_int_equal(ret, cases[i].why ? -EINVAL : 0);
		if (cases[i].why && !strstr(why, cases[i].why))
			fail_msg("'%s' says nothing of %s", why, cases[i].why);
	}
}

static void terms_are_the_same_but_for_size_and_what_is_shown(void **state)
{
	struct nbd_export other = export;

	(void)state;
	other.size_bytes *= 2;
	other.block_preferred_bytes *= 2;
	strcpy(other.description, "another day");
	assert_true(params_same_terms(&export, &other));
	other.flags ^= NBD_FLAG_SEND_FUA;
	assert_false(params_same_terms(&export, &other));
	other = export;
	other.framing++;
	assert_false(params_same_terms(&export, &other));
	other = export;
	other.block_minimum_bytes *= 2;
	assert_false(params_same_terms(&export, &other));
	other = export;
	other.payload_max_bytes /= 2;
	assert_false(params_same_terms(&export, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(blocks_follow_the_server, reset),
		cmocka_unit_test_setup(blocks_that_cannot_be_are_refused, reset),
		cmocka_unit_test_setup(an_odd_size_is_rounded_down, reset),
		cmocka_unit_test_setup(requests_fit_the_servers_payload, reset),
		cmocka_unit_test_setup(attributes_follow_the_flags, reset),
		cmocka_unit_test_setup(discard_is_what_was_advertised, reset),
		cmocka_unit_test_setup(several_connections_only_where_they_may_be_mixed, reset),
		cmocka_unit_test(a_server_that_comes_back_may_not_lack_anything),
		cmocka_unit_test_setup(terms_are_the_same_but_for_size_and_what_is_shown, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
