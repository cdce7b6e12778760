/* SPDX-License-Identifier: MIT */
/*
 * stamp.h - what a block of the model's disk holds: zeroes, or the stamp of the write that put it there, which
 * fills it in units that name their place. A unit of another write, or of another place, is found out.
 */
#ifndef TESTS_MODEL_STAMP_H
#define TESTS_MODEL_STAMP_H

#include <stdint.h>

#define BLOCK_BYTES 512u

/* What stamp_read() returns beside the number of a write (from 1 on). */
#define STAMP_ZEROES  0u
#define STAMP_INVALID UINT32_MAX

void stamp_fill(uint8_t *bytes, uint32_t block, uint32_t write);
/* The write whose stamp this is; STAMP_INVALID: of none, or of several. */
uint32_t stamp_read(const uint8_t *bytes, uint32_t block);

#endif
