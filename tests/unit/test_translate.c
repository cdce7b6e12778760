/* SPDX-License-Identifier: MIT */
/*
 * Goal: each block request becomes the NBD requests it must, and none that the export does not
 * allow. Method: tables of the driver's descriptors and what has to come out of both sides.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "gateway/common/params.h"
#include "gateway/nbd/client.h"
#include "gateway/ublk/tags.h"

#define ALL_FLAGS                                                                                  \
	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |       \
	 NBD_FLAG_SEND_WRITE_ZEROES)

static struct nbd_export export = {
	.size_bytes = 1 << 30,
	.flags = ALL_FLAGS,
	.block_minimum_bytes = 1,
	.block_preferred_bytes = 4096,
	.payload_max_bytes = 64 << 10,
};
static struct nbd_client_shared shared = { .export = &export, .parts_max = 16 };
static struct block_request request;
static struct wire_request parts[SLOT_PARTS_MAX];
static struct split split = { .request = &request, .parts = parts };

static int translate(uint32_t op_flags, uint64_t sector, uint32_t sectors)
{
	struct ublksrv_io_desc descriptor = { .op_flags = op_flags,
					      .start_sector = sector,
					      .nr_sectors = sectors };
	int ret = tags_read_descriptor(&descriptor, 1 << 30, 1 << 20, &request);

	return ret < 0 ? ret : nbd_client_split_request(&split, &shared);
}

static void each_operation_has_its_command(void **state)
{
	static const struct {
		uint32_t op_flags;
		uint16_t command, flags;
	} cases[] = {
		{ UBLK_IO_OP_READ, NBD_CMD_READ, 0 },
		{ UBLK_IO_OP_READ | UBLK_IO_F_FUA, NBD_CMD_READ, 0 },
		{ UBLK_IO_OP_WRITE, NBD_CMD_WRITE, 0 },
		{ UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA },
		{ UBLK_IO_OP_WRITE | UBLK_IO_F_META | UBLK_IO_F_SWAP, NBD_CMD_WRITE, 0 },
		{ UBLK_IO_OP_DISCARD, NBD_CMD_TRIM, 0 },
		{ UBLK_IO_OP_WRITE_ZEROES, NBD_CMD_WRITE_ZEROES, 0 },
		{ UBLK_IO_OP_WRITE_ZEROES | UBLK_IO_F_NOUNMAP, NBD_CMD_WRITE_ZEROES,
		  NBD_CMD_FLAG_NO_HOLE },
		{ UBLK_IO_OP_WRITE_ZEROES | UBLK_IO_F_NOUNMAP | UBLK_IO_F_FUA, NBD_CMD_WRITE_ZEROES,
		  NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FUA },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(translate(cases[i].op_flags, 8, 8), 0);
		assert_int_equal(split.parts_count, 1);
		assert_int_equal(parts[0].nbd.command, cases[i].command);
		assert_int_equal(parts[0].nbd.flags, cases[i].flags);
		assert_int_equal(parts[0].nbd.offset_bytes, 4096);
		assert_int_equal(parts[0].nbd.length_bytes, 4096);
		assert_int_equal(request.length_bytes, 4096);
	}
}

static void a_flush_has_neither_offset_nor_length(void **state)
{
	(void)state;
	assert_int_equal(translate(UBLK_IO_OP_FLUSH, 0, 0), 0);
	assert_int_equal(translate(UBLK_IO_OP_FLUSH, UINT64_MAX, UINT32_MAX), 0);
	assert_int_equal(split.parts_count, 1);
	assert_int_equal(parts[0].nbd.command, NBD_CMD_FLUSH);
	assert_int_equal(parts[0].nbd.offset_bytes, 0);
	assert_int_equal(parts[0].nbd.length_bytes, 0);
}

static void fua_is_sent_only_where_it_is_taken(void **state)
{
	(void)state;
	export.flags = ALL_FLAGS & ~NBD_FLAG_SEND_FUA;
	assert_int_equal(translate(UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, 0, 8), 0);
	assert_int_equal(parts[0].nbd.flags, 0);
	export.flags = ALL_FLAGS & ~NBD_FLAG_SEND_FLUSH;
	shared.fua_always = true;
	assert_int_equal(translate(UBLK_IO_OP_WRITE, 0, 8), 0);
	assert_int_equal(parts[0].nbd.flags, NBD_CMD_FLAG_FUA);
	assert_int_equal(translate(UBLK_IO_OP_READ, 0, 8), 0);
	assert_int_equal(parts[0].nbd.flags, 0);
	shared.fua_always = false;
	export.flags = ALL_FLAGS;
}

/* The parts touch, in order, each within the payload and a multiple of the minimum block. */
static void check_parts(uint64_t offset_bytes, uint32_t length_bytes)
{
	uint32_t done_bytes = 0;

	for (uint16_t i = 0; i < split.parts_count; i++) {
		assert_int_equal(parts[i].payload_offset_bytes, done_bytes);
		assert_int_equal(parts[i].nbd.offset_bytes, offset_bytes + done_bytes);
		assert_in_range(parts[i].nbd.length_bytes, 1, export.payload_max_bytes);
		assert_int_equal(parts[i].nbd.length_bytes % export.block_minimum_bytes, 0);
		assert_int_equal(parts[i].nbd.command, parts[0].nbd.command);
		assert_int_equal(parts[i].nbd.flags, parts[0].nbd.flags);
		done_bytes += parts[i].nbd.length_bytes;
	}
	assert_int_equal(done_bytes, length_bytes);
}

static void large_requests_are_split_at_the_servers_maximum(void **state)
{
	static const uint32_t sectors[] = { 1, 127, 128, 129, 255, 256, 257, 2047, 2048 };

	(void)state;
	for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		assert_int_equal(translate(UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, 16, sectors[i]), 0);
		assert_int_equal(split.parts_count, (sectors[i] + 127) / 128);
		check_parts(8192, sectors[i] * 512);
	}
	/* A maximum that is no multiple of the minimum is not used to its end. */
	export.block_minimum_bytes = 4096;
	export.payload_max_bytes = (64 << 10) + 512;
	assert_int_equal(translate(UBLK_IO_OP_READ, 0, 2048), 0);
	check_parts(0, 1 << 20);
	export.block_minimum_bytes = 1;
	export.payload_max_bytes = 64 << 10;
}

static void trim_and_zeroes_are_not_split(void **state)
{
	(void)state;
	assert_int_equal(translate(UBLK_IO_OP_DISCARD, 0, 1 << 20), 0);
	assert_int_equal(split.parts_count, 1);
	assert_int_equal(parts[0].nbd.length_bytes, 512u << 20);
	assert_int_equal(translate(UBLK_IO_OP_WRITE_ZEROES, 0, 1 << 21), 0);
	assert_int_equal(split.parts_count, 1);
}

static void what_lies_outside_is_refused(void **state)
{
	static const struct {
		uint32_t op;
		uint64_t sector;
		uint32_t sectors;
		int result;
	} cases[] = {
		{ UBLK_IO_OP_READ, (1 << 21) - 1, 1, 0 },
		{ UBLK_IO_OP_READ, 1 << 21, 1, -EIO },
		{ UBLK_IO_OP_READ, (1 << 21) - 1, 2, -EIO },
		{ UBLK_IO_OP_WRITE, UINT64_MAX, 8, -EIO },
		{ UBLK_IO_OP_WRITE, UINT64_MAX >> 9, 8, -EIO },
		{ UBLK_IO_OP_READ, 0, 0, -EIO },
		{ UBLK_IO_OP_READ, 0, 2049, -EIO },
		{ UBLK_IO_OP_DISCARD, 1, UINT32_MAX, -EIO },
		{ UBLK_IO_OP_WRITE_SAME, 0, 8, -EOPNOTSUPP },
		{ 15, 0, 8, -EOPNOTSUPP },
		{ 0xff, 0, 8, -EOPNOTSUPP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(translate(cases[i].op, cases[i].sector, cases[i].sectors),
				 cases[i].result);
}

static void no_more_parts_than_there_is_room_for(void **state)
{
	(void)state;
	shared.parts_max = 2;
	assert_int_equal(translate(UBLK_IO_OP_READ, 0, 256), 0);
	assert_int_equal(translate(UBLK_IO_OP_READ, 0, 257), -EIO);
	shared.parts_max = 16;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_operation_has_its_command),
		cmocka_unit_test(a_flush_has_neither_offset_nor_length),
		cmocka_unit_test(fua_is_sent_only_where_it_is_taken),
		cmocka_unit_test(large_requests_are_split_at_the_servers_maximum),
		cmocka_unit_test(trim_and_zeroes_are_not_split),
		cmocka_unit_test(what_lies_outside_is_refused),
		cmocka_unit_test(no_more_parts_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
