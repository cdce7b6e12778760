/* SPDX-License-Identifier: MIT */
#include "gateway/disk/partition_table.h"

#include <stddef.h>
#include <string.h>

#define SECTOR_BYTES_MIN 512u
#define SECTOR_BYTES_MAX 4096u
#define GPT_SIGNATURE	 "EFI PART"
#define MBR_BYTES	 512u
#define MBR_ENTRIES	 446u
#define MBR_ENTRY_BYTES	 16u
#define MBR_ENTRY_COUNT	 4u
#define MBR_PROTECTIVE	 0xee /* there is a GPT */

static uint32_t little_endian_32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static const uint8_t *mbr_entry(const uint8_t *bytes, uint32_t index)
{
	return bytes + MBR_ENTRIES + (size_t)index * MBR_ENTRY_BYTES;
}

/* A boot sector of a filesystem has the same signature; the first byte of an entry is 0 or 0x80. */
static bool is_mbr(const uint8_t *bytes)
{
	for (uint32_t i = 0; i < MBR_ENTRY_COUNT; i++)
		if (mbr_entry(bytes, i)[0] & 0x7f)
			return false;
	return bytes[510] == 0x55 && bytes[511] == 0xaa;
}

static bool has_gpt(const uint8_t *bytes, uint32_t count, uint32_t sector_bytes)
{
	return sector_bytes + strlen(GPT_SIGNATURE) <= count &&
	       !memcmp(bytes + sector_bytes, GPT_SIGNATURE, strlen(GPT_SIGNATURE));
}

/* The first sector behind the last partition; *protective: one entry stands for a GPT. */
static uint64_t mbr_end(const uint8_t *bytes, bool *protective)
{
	uint64_t end = 0;

	*protective = false;
	for (uint32_t i = 0; i < MBR_ENTRY_COUNT; i++) {
		const uint8_t *entry = mbr_entry(bytes, i);
		uint64_t sectors = little_endian_32(entry + 12);

		if (!entry[4] || !sectors)
			continue;
		*protective |= entry[4] == MBR_PROTECTIVE;
		if (little_endian_32(entry + 8) + sectors > end)
			end = little_endian_32(entry + 8) + sectors;
	}
	return end;
}

uint32_t partition_table_other_sector(const uint8_t *bytes, uint32_t count, uint32_t block_bytes,
				      uint64_t size_bytes, bool *more)
{
	uint64_t end;
	bool protective;

	*more = false;
	if (count < MBR_BYTES || has_gpt(bytes, count, block_bytes) || !is_mbr(bytes))
		return 0;
	end = mbr_end(bytes, &protective);
	if (protective) {
		*more = count < PARTITION_TABLE_BYTES_MAX && count < size_bytes;
		/* The disk's own comes first: another may be left of an earlier table. */
		if (*more && count <= block_bytes)
			return 0;
		for (uint32_t sector = SECTOR_BYTES_MIN; sector <= SECTOR_BYTES_MAX; sector *= 2)
			if (has_gpt(bytes, count, sector)) {
				*more = false;
				return sector;
			}
		return 0;
	}
	if (block_bytes > SECTOR_BYTES_MIN && end > size_bytes / block_bytes &&
	    end <= size_bytes / SECTOR_BYTES_MIN)
		return SECTOR_BYTES_MIN;
	return 0;
}
