/* SPDX-License-Identifier: MIT */
/*
 * arena.h - memory that commands may point at: whatever the driver does with an address from here, the
 * program's own memory stays whole. One for each process.
 */
#ifndef TESTS_GUEST_UBLK_ARENA_H
#define TESTS_GUEST_UBLK_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "tests/guest/ublk/dice.h"

#define ARENA_BYTES  (4u << 20)
#define ARENA_SLACK  (1u << 20) /* as much follows any address of arena_good() */

#define ARENA_KERNEL 0xffff888000000000ULL /* where x86-64's kernel has memory mapped */

struct arena {
	char *memory;	 /* ARENA_BYTES to read and write, then a page that nobody may touch */
	char *read_only; /* a page */
	char *beyond;	 /* a page mapped behind its file's end */
};

/* 0 or -errno. It lives as long as the process. */
int arena_make(struct arena *arena);

/* A buffer that is all right, page-aligned. */
void *arena_good(const struct arena *arena, struct dice *dice);

/* Any address: good, crooked, not writable, not there, the kernel's, none. */
uint64_t arena_any(const struct arena *arena, struct dice *dice);

#endif
