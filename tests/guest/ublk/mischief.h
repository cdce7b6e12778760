/* SPDX-License-Identifier: MIT */
/* mischief.h - what can be done to an open char device beside commands. */
#ifndef TESTS_GUEST_UBLK_MISCHIEF_H
#define TESTS_GUEST_UBLK_MISCHIEF_H

#include <stddef.h>

#include "tests/guest/ublk/volley.h"

#define MISCHIEF_MAPS 4u

/* What one thread has mapped. */
struct mischief {
	void *maps[MISCHIEF_MAPS];
	size_t map_bytes[MISCHIEF_MAPS];
};

/* One random thing: copies, maps, unmaps, opens, duplicates, forks. Never blocks for long. */
void mischief_do(struct mischief *mischief, const struct volley_aim *aim, struct dice *dice);

/* Data of a request, moved with pread or pwrite; counted where it was. */
void mischief_copy(const struct volley_aim *aim, uint16_t queue, uint16_t tag, struct dice *dice);

#endif
