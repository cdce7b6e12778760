/* SPDX-License-Identifier: MIT */
/*
 * memory.h - the driver's payload memory (gateway/block/payload.h), in both kinds: in place, or to be copied.
 * Between two requests of a tag it holds a pattern: who touches it then is found out.
 */
#ifndef TESTS_MODEL_MEMORY_H
#define TESTS_MODEL_MEMORY_H

#include <stdint.h>

#include "gateway/block/payload.h"
#include "tests/model/chance.h"
#include "tests/model/plan.h"

struct memory {
	struct payload base;
	const struct plan *plan;
	struct dice dice;
	uint8_t *bytes; /* max_io_bytes for each tag */
	uint32_t *used; /* how many of them its last request had */
};

void memory_open(struct memory *memory, const struct plan *plan);
void memory_close(struct memory *memory);
uint8_t *memory_of(const struct memory *memory, uint16_t tag);
/* A request of this tag begins: checks that nobody touched it since the last one ended. */
void memory_begin(struct memory *memory, uint16_t tag);
/* One of so many bytes has ended, and what it returned was looked at. */
void memory_end(struct memory *memory, uint16_t tag, uint32_t length_bytes);

#endif
