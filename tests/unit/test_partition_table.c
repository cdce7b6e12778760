// SPDX-License-Identifier: MIT
/*
 * Goal: a partition table for other sectors than the disk's is found, and none is found where there is none, or
 *       where it fits.
 * Method: tables of both kinds for each sector size, on disks of each block size; noise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/disk/partition_table.h"

#define SIZE_BYTES  (64ull << 20)
#define FIRST_BYTES 4096u

static uint8_t bytes[PARTITION_TABLE_BYTES_MAX];

static void put_32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void put_mbr(uint8_t type, uint32_t start, uint32_t count)
{
	memset(bytes, 0, sizeof(bytes));
	bytes[446 + 4] = type;
	put_32(bytes + 446 + 8, start);
	put_32(bytes + 446 + 12, count);
	bytes[510] = 0x55;
	bytes[511] = 0xaa;
}

static void put_gpt(uint32_t sector_bytes)
{
	put_mbr(0xee, 1, UINT32_MAX);
	memcpy(bytes + sector_bytes, "EFI PART", 8);
}

/* As the attendant does: the first 4 KiB, then the rest if that is asked for. */
static uint32_t other(uint32_t block_bytes)
{
	bool more;
	uint32_t sector =
		partition_table_other_sector(bytes, FIRST_BYTES, block_bytes, SIZE_BYTES, &more);

	if (!more)
		return sector;
	assert_int_equal(sector, 0);
	return partition_table_other_sector(bytes, sizeof(bytes), block_bytes, SIZE_BYTES, &more);
}

static void gpt_of_each_sector_on_each_block(void **state)
{
	(void)state;
	for (uint32_t sector = 512; sector <= 4096; sector *= 2) {
		for (uint32_t block = 512; block <= 4096; block *= 2) {
			put_gpt(sector);
			assert_int_equal(other(block), sector == block ? 0 : sector);
		}
	}
}

/* The disk's own table counts, whatever is left of an earlier one. */
static void gpt_of_both(void **state)
{
	(void)state;
	put_gpt(512);
	memcpy(bytes + 4096, "EFI PART", 8);
	assert_int_equal(other(512), 0);
	assert_int_equal(other(4096), 0);
	assert_int_equal(other(1024), 512);
}

static void mbr_of_512_ends_beyond_a_disk_of_larger_blocks(void **state)
{
	(void)state;
	put_mbr(0x83, 2048, 100000);
	assert_int_equal(other(4096), 512);
	assert_int_equal(other(2048), 512);
	assert_int_equal(other(512), 0);
	/* It fits either way. */
	put_mbr(0x83, 2048, 4096);
	assert_int_equal(other(4096), 0);
	/* It fits in neither: no table of this disk. */
	put_mbr(0x83, 2048, 200000);
	assert_int_equal(other(4096), 0);
	/* The end wraps 32 bits. */
	put_mbr(0x83, UINT32_MAX, UINT32_MAX);
	assert_int_equal(other(4096), 0);
}

static void what_is_no_table(void **state)
{
	uint32_t noise = 1;
	bool more;

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(other(4096), 0);
	put_gpt(512);
	bytes[511] = 0;
	assert_int_equal(other(4096), 0);
	/* A boot sector of FAT: code where entries would be. */
	put_mbr(0x83, 2048, 100000);
	bytes[446 + 16] = 0x33;
	assert_int_equal(other(4096), 0);
	put_mbr(0xee, 1, UINT32_MAX);
	assert_int_equal(other(512), 0);
	assert_int_equal(partition_table_other_sector(bytes, 511, 512, SIZE_BYTES, &more), 0);
	for (int round = 0; round < 2000; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
		bytes[510] = 0x55;
		bytes[511] = 0xaa;
		for (uint32_t count = 512; count <= sizeof(bytes); count += 512)
			partition_table_other_sector(bytes, count, 4096, SIZE_BYTES, &more);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gpt_of_each_sector_on_each_block),
		cmocka_unit_test(gpt_of_both),
		cmocka_unit_test(mbr_of_512_ends_beyond_a_disk_of_larger_blocks),
		cmocka_unit_test(what_is_no_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
