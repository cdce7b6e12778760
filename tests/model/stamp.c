/* SPDX-License-Identifier: MIT */
/* A unit of 16 bytes: write, block, number of the unit in its block, and a sum of these. */
#include "tests/model/stamp.h"

#include <string.h>

#define UNIT_WORDS 4
#define UNIT_BYTES (UNIT_WORDS * sizeof(uint32_t))
#define UNITS	   (BLOCK_BYTES / UNIT_BYTES)
#define SUM_SALT   0x6d6f6465u

static void make_unit(uint32_t *words, uint32_t write, uint32_t block, uint32_t unit)
{
	words[0] = write;
	words[1] = block;
	words[2] = unit;
	words[3] = write ^ block ^ unit ^ SUM_SALT;
}

void stamp_fill(uint8_t *bytes, uint32_t block, uint32_t write)
{
	uint32_t words[UNIT_WORDS];

	for (uint32_t unit = 0; unit < UNITS; unit++) {
		make_unit(words, write, block, unit);
		memcpy(bytes + unit * UNIT_BYTES, words, UNIT_BYTES);
	}
}

uint32_t stamp_read(const uint8_t *bytes, uint32_t block)
{
	uint8_t expected[BLOCK_BYTES] = { 0 };
	uint32_t write;

	memcpy(&write, bytes, sizeof(write));
	if (write != STAMP_ZEROES)
		stamp_fill(expected, block, write);
	return memcmp(bytes, expected, BLOCK_BYTES) == 0 ? write : STAMP_INVALID;
}
