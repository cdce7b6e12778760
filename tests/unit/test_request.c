/* SPDX-License-Identifier: MIT */
/*
 * Goal: a request's bytes are exactly the protocol's, and nothing the server did not advertise, or
 * that lies outside the export, passes the check.
 * Method: encodings compared byte by byte with bytes written here by hand; tables of requests
 * against exports.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/request.h"

static const enum nbd_framing framings[] = { NBD_FRAMING_SIMPLE, NBD_FRAMING_STRUCTURED,
					     NBD_FRAMING_EXTENDED };

static void check_encoding(const struct nbd_request *request, enum nbd_framing framing,
			   const char *expected, uint32_t expected_bytes)
{
	uint8_t out[NBD_EXTENDED_REQUEST_BYTES + 4];

	memset(out, 0x5a, sizeof(out));
	assert_int_equal(nbd_request_encode(request, framing, out), expected_bytes);
	assert_int_equal(nbd_request_header_bytes(framing), expected_bytes);
	assert_memory_equal(out, expected, expected_bytes);
	for (size_t i = expected_bytes; i < sizeof(out); i++)
		assert_int_equal(out[i], 0x5a);
}

static void compact_write(void **state)
{
	static const struct nbd_request request = { .cookie = 0x0123456789abcdef,
						    .offset_bytes = 0x1122334455667788,
						    .length_bytes = 0x00200000,
						    .command = NBD_CMD_WRITE,
						    .flags = NBD_CMD_FLAG_FUA };
	static const char bytes[] = "\x25\x60\x95\x13\x00\x01\x00\x01"
				    "\x01\x23\x45\x67\x89\xab\xcd\xef"
				    "\x11\x22\x33\x44\x55\x66\x77\x88"
				    "\x00\x20\x00\x00";

	(void)state;
	check_encoding(&request, NBD_FRAMING_SIMPLE, bytes, 28);
	check_encoding(&request, NBD_FRAMING_STRUCTURED, bytes, 28);
}

static void extended_write_carries_payload_len(void **state)
{
	static const struct nbd_request request = { .cookie = 7,
						    .offset_bytes = 512,
						    .length_bytes = 4096,
						    .command = NBD_CMD_WRITE,
						    .flags = NBD_CMD_FLAG_FUA };

	(void)state;
	check_encoding(&request, NBD_FRAMING_EXTENDED,
		       "\x21\xe4\x1c\x71\x00\x21\x00\x01"
		       "\x00\x00\x00\x00\x00\x00\x00\x07"
		       "\x00\x00\x00\x00\x00\x00\x02\x00"
		       "\x00\x00\x00\x00\x00\x00\x10\x00",
		       32);
}

static void extended_others_carry_no_payload_len(void **state)
{
	static const uint16_t commands[] = { NBD_CMD_READ, NBD_CMD_DISC,  NBD_CMD_FLUSH,
					     NBD_CMD_TRIM, NBD_CMD_CACHE, NBD_CMD_WRITE_ZEROES };
	uint8_t out[NBD_EXTENDED_REQUEST_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct nbd_request request = { .command = commands[i], .length_bytes = 1 };

		nbd_request_encode(&request, NBD_FRAMING_EXTENDED, out);
		assert_int_equal(wire_get16(out + 4), 0);
		assert_int_equal(wire_get16(out + 6), commands[i]);
	}
}

static void flush_and_disc_have_no_range(void **state)
{
	static const uint16_t commands[] = { NBD_CMD_FLUSH, NBD_CMD_DISC };
	static const uint8_t zeroes[16];
	uint8_t out[NBD_EXTENDED_REQUEST_BYTES];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (size_t f = 0; f < 3; f++) {
			struct nbd_request request = { .command = commands[i],
						       .offset_bytes = 4096,
						       .length_bytes = 512 };
			uint32_t n = nbd_request_encode(&request, framings[f], out);

			assert_memory_equal(out + 16, zeroes, n - 16);
		}
}

static void expect_forgets_the_former_reply(void **state)
{
	struct nbd_request request = { .rx = NBD_RX_IDLE, .error = 5, .chunks = 3 };

	(void)state;
	nbd_coverage_reset(&request.coverage);
	assert_int_equal(nbd_coverage_add(&request.coverage, 0, 10), 0);
	nbd_request_expect(&request);
	assert_int_equal(request.rx, NBD_RX_WAITING);
	assert_int_equal(request.error, 0);
	assert_int_equal(request.chunks, 0);
	assert_int_equal(request.coverage.count, 0);
}

#define ALL_FLAGS                                                                                  \
	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |       \
	 NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_DF | NBD_FLAG_SEND_CACHE |                     \
	 NBD_FLAG_SEND_FAST_ZERO)

static const struct nbd_export generous = {
	.size_bytes = 1 << 20,
	.flags = ALL_FLAGS,
	.framing = NBD_FRAMING_STRUCTURED,
	.block_minimum_bytes = 1,
	.block_preferred_bytes = 4096,
	.payload_max_bytes = 1 << 16,
};

static int check(uint16_t command, uint16_t flags, uint64_t offset_bytes, uint32_t length_bytes,
		 const struct nbd_export *export)
{
	struct nbd_request request = { .command = command,
				       .flags = flags,
				       .offset_bytes = offset_bytes,
				       .length_bytes = length_bytes };

	return nbd_request_check(&request, export);
}

static void everything_advertised_is_allowed(void **state)
{
	(void)state;
	for (uint16_t command = NBD_CMD_READ; command <= NBD_CMD_WRITE_ZEROES; command++)
		assert_int_equal(check(command, 0, 0, 4096, &generous), 0);
}

static void command_not_advertised_is_never_sent(void **state)
{
	static const struct {
		uint16_t command, export_flag;
	} cases[] = {
		{ NBD_CMD_FLUSH, NBD_FLAG_SEND_FLUSH },
		{ NBD_CMD_TRIM, NBD_FLAG_SEND_TRIM },
		{ NBD_CMD_CACHE, NBD_FLAG_SEND_CACHE },
		{ NBD_CMD_WRITE_ZEROES, NBD_FLAG_SEND_WRITE_ZEROES },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nbd_export export = generous;

		export.flags &= (uint16_t)~cases[i].export_flag;
		for (uint16_t command = NBD_CMD_READ; command <= NBD_CMD_WRITE_ZEROES; command++)
			assert_int_equal(check(command, 0, 0, 4096, &export),
					 command == cases[i].command ? -EOPNOTSUPP : 0);
	}
	assert_int_equal(check(7, 0, 0, 4096, &generous), -EOPNOTSUPP);
	assert_int_equal(check(UINT16_MAX, 0, 0, 4096, &generous), -EOPNOTSUPP);
}

static void read_only_export_is_not_written(void **state)
{
	struct nbd_export export = generous;

	(void)state;
	export.flags |= NBD_FLAG_READ_ONLY;
	assert_int_equal(check(NBD_CMD_READ, 0, 0, 512, &export), 0);
	assert_int_equal(check(NBD_CMD_FLUSH, 0, 0, 0, &export), 0);
	assert_int_equal(check(NBD_CMD_WRITE, 0, 0, 512, &export), -EROFS);
	assert_int_equal(check(NBD_CMD_TRIM, 0, 0, 512, &export), -EROFS);
	assert_int_equal(check(NBD_CMD_WRITE_ZEROES, 0, 0, 512, &export), -EROFS);
	assert_int_equal(check(NBD_CMD_CACHE, 0, 0, 512, &export), 0);
	assert_int_equal(check(NBD_CMD_DISC, 0, 0, 0, &export), 0);
}

static void export_without_flags_is_read_and_written(void **state)
{
	struct nbd_export export = generous;

	(void)state;
	export.flags = 0;
	assert_int_equal(check(NBD_CMD_READ, 0, 0, 512, &export), 0);
	assert_int_equal(check(NBD_CMD_WRITE, 0, 0, 512, &export), 0);
	assert_int_equal(check(NBD_CMD_DISC, 0, 0, 0, &export), 0);
	assert_int_equal(check(NBD_CMD_FLUSH, 0, 0, 0, &export), -EOPNOTSUPP);
}

static void command_flags_are_gated(void **state)
{
	enum { FUA = NBD_CMD_FLAG_FUA, DF = NBD_CMD_FLAG_DF, NO_HOLE = NBD_CMD_FLAG_NO_HOLE };
	static const struct {
		uint16_t command, flags;
		int rc;
		uint16_t export_flag; /* without it: -EOPNOTSUPP */
	} cases[] = {
		{ NBD_CMD_WRITE, FUA, 0, NBD_FLAG_SEND_FUA },
		{ NBD_CMD_TRIM, FUA, 0, NBD_FLAG_SEND_FUA },
		{ NBD_CMD_WRITE_ZEROES, FUA | NO_HOLE, 0, NBD_FLAG_SEND_FUA },
		{ NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 0, NBD_FLAG_SEND_FAST_ZERO },
		{ NBD_CMD_READ, DF, 0, NBD_FLAG_SEND_DF },
		{ NBD_CMD_READ, FUA, -EINVAL, 0 },
		{ NBD_CMD_FLUSH, FUA, -EINVAL, 0 },
		{ NBD_CMD_DISC, FUA, -EINVAL, 0 },
		{ NBD_CMD_CACHE, FUA, -EINVAL, 0 },
		{ NBD_CMD_WRITE, DF, -EINVAL, 0 },
		{ NBD_CMD_WRITE, NO_HOLE, -EINVAL, 0 },
		{ NBD_CMD_TRIM, NO_HOLE, -EINVAL, 0 },
		{ NBD_CMD_WRITE, NBD_CMD_FLAG_FAST_ZERO, -EINVAL, 0 },
		{ NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN, -EINVAL, 0 },
		{ NBD_CMD_READ, NBD_CMD_FLAG_REQ_ONE, -EINVAL, 0 },
		{ NBD_CMD_WRITE_ZEROES, 0x8000, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nbd_export export = generous;

		assert_int_equal(check(cases[i].command, cases[i].flags, 0, 512, &export),
				 cases[i].rc);
		if (!cases[i].export_flag)
			continue;
		export.flags &= (uint16_t)~cases[i].export_flag;
		assert_int_equal(check(cases[i].command, cases[i].flags, 0, 512, &export),
				 -EOPNOTSUPP);
	}
}

static void df_needs_structured_replies(void **state)
{
	struct nbd_export export = generous;

	(void)state;
	export.framing = NBD_FRAMING_SIMPLE;
	assert_int_equal(check(NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 512, &export), -EOPNOTSUPP);
	export.framing = NBD_FRAMING_EXTENDED;
	assert_int_equal(check(NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 512, &export), 0);
}

static void range_stays_inside_the_export(void **state)
{
	static const struct {
		uint64_t size, offset;
		uint32_t length;
		int rc;
	} cases[] = {
		{ 1000, 0, 1000, 0 },
		{ 1000, 999, 1, 0 },
		{ 1000, 0, 0, -EINVAL },
		{ 1000, 0, 1001, -EINVAL },
		{ 1000, 999, 2, -EINVAL },
		{ 1000, 1000, 1, -EINVAL },
		{ 1000, UINT64_MAX, 1, -EINVAL },
		{ 1000, UINT64_MAX - 10, 11, -EINVAL },
		{ 0, 0, 1, -EINVAL },
		{ INT64_MAX, INT64_MAX - 1, 1, 0 },
		{ INT64_MAX, INT64_MAX - 1, 2, -EINVAL },
		{ INT64_MAX, INT64_MAX - 1, UINT32_MAX, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nbd_export export = generous;

		export.size_bytes = cases[i].size;
		assert_int_equal(check(NBD_CMD_TRIM, 0, cases[i].offset, cases[i].length, &export),
				 cases[i].rc);
		assert_int_equal(check(NBD_CMD_READ, 0, cases[i].offset, cases[i].length, &export),
				 cases[i].rc);
	}
}

static void blocks_are_whole_but_for_the_tail(void **state)
{
	struct nbd_export export = generous;

	(void)state;
	export.block_minimum_bytes = 4096;
	export.size_bytes = 3 * 4096 + 512;
	assert_int_equal(check(NBD_CMD_READ, 0, 4096, 8192, &export), 0);
	assert_int_equal(check(NBD_CMD_READ, 0, 512, 4096, &export), -EINVAL);
	assert_int_equal(check(NBD_CMD_READ, 0, 4096, 512, &export), -EINVAL);
	assert_int_equal(check(NBD_CMD_READ, 0, 3 * 4096, 512, &export), 0);
	assert_int_equal(check(NBD_CMD_WRITE, 0, 2 * 4096, 4096 + 512, &export), 0);
	assert_int_equal(check(NBD_CMD_READ, 0, 3 * 4096, 511, &export), -EINVAL);
	assert_int_equal(check(NBD_CMD_READ, 0, 3 * 4096 + 1, 511, &export), -EINVAL);
}

static void payload_is_limited_and_effect_is_not(void **state)
{
	struct nbd_export export = generous;

	(void)state;
	assert_int_equal(check(NBD_CMD_READ, 0, 0, 65536, &export), 0);
	assert_int_equal(check(NBD_CMD_READ, 0, 0, 65537, &export), -E2BIG);
	assert_int_equal(check(NBD_CMD_WRITE, 0, 0, 65537, &export), -E2BIG);
	assert_int_equal(check(NBD_CMD_TRIM, 0, 0, 1 << 20, &export), 0);
	assert_int_equal(check(NBD_CMD_WRITE_ZEROES, 0, 0, 1 << 20, &export), 0);
	assert_int_equal(check(NBD_CMD_CACHE, 0, 0, 1 << 20, &export), 0);
	export.payload_max_bytes = UINT32_MAX;
	export.size_bytes = INT64_MAX;
	assert_int_equal(check(NBD_CMD_WRITE, 0, 0, UINT32_MAX, &export), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compact_write),
		cmocka_unit_test(extended_write_carries_payload_len),
		cmocka_unit_test(extended_others_carry_no_payload_len),
		cmocka_unit_test(flush_and_disc_have_no_range),
		cmocka_unit_test(expect_forgets_the_former_reply),
		cmocka_unit_test(everything_advertised_is_allowed),
		cmocka_unit_test(command_not_advertised_is_never_sent),
		cmocka_unit_test(read_only_export_is_not_written),
		cmocka_unit_test(export_without_flags_is_read_and_written),
		cmocka_unit_test(command_flags_are_gated),
		cmocka_unit_test(df_needs_structured_replies),
		cmocka_unit_test(range_stays_inside_the_export),
		cmocka_unit_test(blocks_are_whole_but_for_the_tail),
		cmocka_unit_test(payload_is_limited_and_effect_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
