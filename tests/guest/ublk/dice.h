/* SPDX-License-Identifier: MIT */
/* dice.h - random numbers that a printed seed brings back. A dice belongs to one thread. */
#ifndef TESTS_GUEST_UBLK_DICE_H
#define TESTS_GUEST_UBLK_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
	uint64_t state; /* any value is a seed */
};

/* The SplitMix64 generator. */
static inline uint64_t dice_next(struct dice *dice)
{
	uint64_t mixed = dice->state += 0x9e3779b97f4a7c15;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

/* 0 to limit - 1; limit is not 0. */
static inline uint32_t dice_below(struct dice *dice, uint32_t limit)
{
	return (uint32_t)(dice_next(dice) % limit);
}

static inline bool dice_percent(struct dice *dice, uint32_t percent)
{
	return dice_below(dice, 100) < percent;
}

#endif
