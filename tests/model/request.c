/* SPDX-License-Identifier: MIT */
/* Most are small and close together, so that they meet. */
#include "tests/model/request.h"

#include <string.h>

#include "proto/wire.h"
#include "tests/model/stamp.h"

#define SMALL_UNITS	  8
#define HOT_ONE_IN	  8 /* is not to the hot blocks */
#define WHOLE_DISK_ONE_IN 100
#define WIDE_UNITS_MAX	  16

static enum block_op choose_op(const struct plan *plan, struct dice *dice)
{
	uint16_t flags = plan->export.flags;
	uint32_t percent = dice_below(dice, 100);

	if (percent < 6 && flags & NBD_FLAG_SEND_FLUSH)
		return BLOCK_FLUSH;
	if (percent >= 6 && percent < 12 && flags & NBD_FLAG_SEND_TRIM)
		return BLOCK_TRIM;
	if (percent >= 12 && percent < 20 && flags & NBD_FLAG_SEND_WRITE_ZEROES)
		return BLOCK_WRITE_ZEROES;
	return percent < 56 ? BLOCK_WRITE : BLOCK_READ;
}

/* In units of what the disk aligns requests to. */
static uint32_t choose_units(const struct block_request *request, const struct plan *plan,
			     struct dice *dice)
{
	uint32_t disk = plan->blocks / plan->align_blocks;
	uint32_t most = plan->max_io_bytes / (plan->align_blocks * BLOCK_BYTES);

	if (request->op == BLOCK_TRIM || request->op == BLOCK_WRITE_ZEROES)
		most = chance_one_in(dice, WHOLE_DISK_ONE_IN) ? disk : WIDE_UNITS_MAX;
	else if (most > SMALL_UNITS && !chance_one_in(dice, 8))
		most = SMALL_UNITS;
	return chance_between(dice, 1, most < disk ? most : disk);
}

static void choose_range(struct block_request *request, const struct plan *plan, struct dice *dice)
{
	uint32_t unit_bytes = plan->align_blocks * BLOCK_BYTES;
	uint32_t disk = plan->blocks / plan->align_blocks;
	uint32_t units = choose_units(request, plan, dice);
	uint32_t most = disk - units;

	if (most >= plan->hot_blocks && !chance_one_in(dice, HOT_ONE_IN))
		most = plan->hot_blocks - 1;
	request->offset_bytes = (uint64_t)chance_between(dice, 0, most) * unit_bytes;
	request->length_bytes = units * unit_bytes;
}

void request_choose(struct block_request *request, const struct plan *plan, struct dice *dice)
{
	memset(request, 0, sizeof(*request));
	request->op = choose_op(plan, dice);
	if (request->op == BLOCK_FLUSH)
		return;
	choose_range(request, plan, dice);
	if (request->op != BLOCK_READ && plan->export.flags & NBD_FLAG_SEND_FUA)
		request->fua = chance_one_in(dice, 4);
	if (request->op == BLOCK_WRITE_ZEROES)
		request->no_hole = chance_one_in(dice, 2);
}
