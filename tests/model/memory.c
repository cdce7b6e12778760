/* SPDX-License-Identifier: MIT */
/* What the driver refuses now and then, by the plan's odds, is what a request of it can fail by. */
#include "tests/model/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/failure.h"
#include "tests/model/tally.h"

#define PATTERN 0xe1

static struct memory *of(const struct payload *payload)
{
	return (struct memory *)payload; /* its first member */
}

uint8_t *memory_of(const struct memory *memory, uint16_t tag)
{
	return memory->bytes + (size_t)tag * memory->plan->max_io_bytes;
}

static bool refuses(struct memory *memory)
{
	if (!chance_one_in(&memory->dice, memory->plan->odds.payload_fault))
		return false;
	tally_add(payload_faults, 1);
	return true;
}

static struct payload_place place(const struct payload *payload, uint16_t tag,
				  uint32_t offset_bytes)
{
	return (struct payload_place){ memory_of(of(payload), tag) + offset_bytes };
}

static int load(struct payload *payload, uint16_t tag, uint32_t offset_bytes, void *to,
		uint32_t length_bytes)
{
	if (refuses(of(payload)))
		return -EFAULT;
	memcpy(to, memory_of(of(payload), tag) + offset_bytes, length_bytes);
	return 0;
}

static int store(struct payload *payload, uint16_t tag, uint32_t offset_bytes, const void *from,
		 uint32_t length_bytes)
{
	if (refuses(of(payload)))
		return -EFAULT;
	memcpy(memory_of(of(payload), tag) + offset_bytes, from, length_bytes);
	return 0;
}

static int zero(struct payload *payload, uint16_t tag, uint32_t offset_bytes, uint32_t length_bytes)
{
	memset(memory_of(of(payload), tag) + offset_bytes, 0, length_bytes);
	return 0;
}

static const struct payload_ops in_place_ops = {
	.name = "in place",
	.in_place = true,
	.place = place,
	.load = load,
	.store = store,
	.zero = zero,
};

static const struct payload_ops copied_ops = {
	.name = "copied",
	.load = load,
	.store = store,
	.zero = zero,
};

void memory_open(struct memory *memory, const struct plan *plan)
{
	size_t bytes = (size_t)plan->depth * plan->max_io_bytes;

	memory->base.ops = plan->in_place ? &in_place_ops : &copied_ops;
	memory->plan = plan;
	chance_seed(&memory->dice, plan->seed, CHANCE_PAYLOAD);
	memory->bytes = malloc(bytes);
	memory->used = calloc(plan->depth, sizeof(*memory->used));
	if (!memory->bytes || !memory->used)
		abort();
	memset(memory->bytes, PATTERN, bytes);
}

void memory_close(struct memory *memory)
{
	for (uint16_t tag = 0; tag < memory->plan->depth; tag++)
		memory_begin(memory, tag);
	free(memory->bytes);
	free(memory->used);
}

/* All bytes are alike where each is like the one before it. Those of the last request are looked at. */
void memory_begin(struct memory *memory, uint16_t tag)
{
	const uint8_t *bytes = memory_of(memory, tag);
	uint32_t used = memory->used[tag];

	if (used > 0 && (bytes[0] != PATTERN || memcmp(bytes, bytes + 1, used - 1) != 0))
		failure_report("the memory of tag %u was written to after its request was done",
			       tag);
}

void memory_end(struct memory *memory, uint16_t tag, uint32_t length_bytes)
{
	memset(memory_of(memory, tag), PATTERN, length_bytes);
	memory->used[tag] = length_bytes;
}
