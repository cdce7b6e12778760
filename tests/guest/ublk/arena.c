/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/arena.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define USER_END   0x7ffffffff000ULL

int arena_make(struct arena *arena)
{
	int file = memfd_create("beyond", MFD_CLOEXEC);

	if (file < 0)
		return -errno;
	arena->memory = mmap(NULL, ARENA_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	arena->read_only = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	arena->beyond = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (arena->memory == MAP_FAILED || arena->read_only == MAP_FAILED ||
	    arena->beyond == MAP_FAILED)
		return -ENOMEM;
	return mprotect(arena->memory + ARENA_BYTES, PAGE_BYTES, PROT_NONE) ? -errno : 0;
}

void *arena_good(const struct arena *arena, struct dice *dice)
{
	return arena->memory +
	       (size_t)dice_below(dice, (ARENA_BYTES - ARENA_SLACK) / PAGE_BYTES) * PAGE_BYTES;
}

uint64_t arena_any(const struct arena *arena, struct dice *dice)
{
	switch (dice_below(dice, 16)) {
	case 0:
		return 0;
	case 1:
		return (uintptr_t)arena->read_only + dice_below(dice, PAGE_BYTES);
	case 2: /* what is there ends in the middle */
		return (uintptr_t)arena->memory + ARENA_BYTES - dice_below(dice, 2 * PAGE_BYTES);
	case 3:
		return (uintptr_t)arena->beyond + dice_below(dice, PAGE_BYTES);
	case 4:
		return ARENA_KERNEL | dice_next(dice) >> 17;
	case 5:
		return 1ULL << 63 | dice_next(dice);
	case 6:
		return USER_END - dice_below(dice, 2 * PAGE_BYTES);
	case 7:
		return (uintptr_t)arena_good(arena, dice) + dice_below(dice, PAGE_BYTES);
	}
	return (uintptr_t)arena_good(arena, dice);
}
