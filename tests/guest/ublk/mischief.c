/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/mischief.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/ublk_cmd.h"
#include "tests/guest/ublk/control.h"

#define PAGE_BYTES 4096u

void mischief_copy(const struct volley_aim *aim, uint16_t queue, uint16_t tag, struct dice *dice)
{
	off_t at = (off_t)(UBLKSRV_IO_BUF_OFFSET + ((uint64_t)queue << UBLK_QID_OFF) +
			   ((uint64_t)tag << UBLK_TAG_OFF));
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	void *buffer = (void *)(uintptr_t)arena_any(&aim->arena, dice);
	size_t bytes = PAGE_BYTES << dice_below(dice, 6);
	ssize_t moved;

	if (dice_percent(dice, 30))
		at += (off_t)(dice_below(dice, 64) * 512u);
	if (dice_percent(dice, 10))
		bytes = dice_below(dice, PAGE_BYTES);
	moved = dice_percent(dice, 50) ? pread(aim->char_fd, buffer, bytes, at)
				       : pwrite(aim->char_fd, buffer, bytes, at);
	if (moved > 0)
		atomic_fetch_add_explicit(&aim->tally->copies, 1, memory_order_relaxed);
}

static size_t descs_bytes(uint32_t depth)
{
	return (depth * sizeof(struct ublksrv_io_desc) + PAGE_BYTES - 1) &
	       ~(size_t)(PAGE_BYTES - 1);
}

/* As the daemon has to, or with one thing wrong. A map that is there becomes writable if it can. */
static void map(struct mischief *mischief, const struct volley_aim *aim, struct dice *dice)
{
	uint32_t i = dice_below(dice, MISCHIEF_MAPS);
	size_t bytes = descs_bytes(aim->depth);
	off_t at = (off_t)(dice_below(dice, aim->queues + 1u) * descs_bytes(UBLK_MAX_QUEUE_DEPTH));
	int protection = PROT_READ;
	void *place;

	if (mischief->maps[i]) {
		if (!mprotect(mischief->maps[i], mischief->map_bytes[i], PROT_READ | PROT_WRITE))
			abort(); /* the descriptors must never be writable */
		munmap(mischief->maps[i], mischief->map_bytes[i]);
		mischief->maps[i] = NULL;
		return;
	}
	if (dice_percent(dice, 20))
		protection |= PROT_WRITE;
	if (dice_percent(dice, 20))
		bytes += PAGE_BYTES;
	if (dice_percent(dice, 20))
		at = (off_t)(dice_next(dice) & ~(uint64_t)(PAGE_BYTES - 1) & INT64_MAX);
	place = mmap(NULL, bytes, protection, MAP_SHARED, aim->char_fd, at);
	if (place == MAP_FAILED)
		return;
	atomic_fetch_add_explicit(&aim->tally->maps, 1, memory_order_relaxed);
	mischief->maps[i] = place;
	mischief->map_bytes[i] = bytes;
}

/* Closes what it inherited while it dies: the driver sees a flush. */
static void fork_shortly(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	if (child > 0)
		waitpid(child, NULL, 0);
}

void mischief_do(struct mischief *mischief, const struct volley_aim *aim, struct dice *dice)
{
	char path[CONTROL_PATH_BYTES];
	int file = -1;

	switch (dice_below(dice, 16)) {
	case 0:
		fork_shortly();
		break;
	case 1:
		file = dup(aim->char_fd);
		break;
	case 2:
		snprintf(path, sizeof(path), "/dev/ublkc%u", dice_below(dice, VOLLEY_IDS));
		file = open(path, O_RDWR | O_CLOEXEC);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		map(mischief, aim, dice);
		break;
	default:
		mischief_copy(aim, (uint16_t)dice_below(dice, aim->queues + 1u),
			      (uint16_t)dice_below(dice, aim->depth + 1u), dice);
	}
	if (file >= 0)
		close(file);
}
