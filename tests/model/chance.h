/* SPDX-License-Identifier: MIT */
/*
 * chance.h - what a run leaves to chance, on top of the dice that a seed brings back. Each thread has dice of
 * its own.
 */
#ifndef TESTS_MODEL_CHANCE_H
#define TESTS_MODEL_CHANCE_H

#include "tests/guest/ublk/dice.h"

enum chance_use { CHANCE_PLAN, CHANCE_DRIVER, CHANCE_PAYLOAD, CHANCE_ASKER, CHANCE_SERVER };

/* Dice of their own for each use of the same seed. */
static inline void chance_seed(struct dice *dice, uint64_t seed, enum chance_use use)
{
	dice->state = seed * 0x9e3779b97f4a7c15 + (uint64_t)use;
	dice->state = dice_next(dice);
}

/* least..most */
static inline uint32_t chance_between(struct dice *dice, uint32_t least, uint32_t most)
{
	return least + dice_below(dice, most - least + 1);
}

/* With odds of one in n; 0 is never. */
static inline bool chance_one_in(struct dice *dice, uint32_t n)
{
	return n > 0 && dice_below(dice, n) == 0;
}

#endif
