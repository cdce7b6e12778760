/* SPDX-License-Identifier: MIT */
/* actor_reader.c - uses the disks. Nothing it wrote is looked at again: daemons answer as they like. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/guest/ublk/actor.h"
#include "tests/guest/ublk/probe.h"

#define BATCH	      16u
#define BLOCK_BYTES   4096u
#define SECTOR_BYTES  512u
#define RETRY_US      20000
#define BATCH_WAIT_MS 300

static void count(struct actor *actor, int64_t result)
{
	/* Only what a disk itself says counts as a failure. */
	if (result > 0)
		atomic_fetch_add(&actor->aim.tally->io_done, 1);
	else if (result == -EIO)
		atomic_fetch_add(&actor->aim.tally->io_failed, 1);
}

static uint64_t random_offset(struct dice *dice, uint64_t bytes)
{
	return bytes < 2 * BLOCK_BYTES ? 0 : dice_next(dice) % (bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/* Many at a time. Those that are not done in time are left to the ring's end. */
static void batch(struct actor *actor, int disk, uint64_t bytes)
{
	struct __kernel_timespec limit = { .tv_nsec = BATCH_WAIT_MS * 1000000LL };
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (io_uring_queue_init(BATCH, &ring, 0) < 0)
		return;
	for (uint32_t i = 0; i < BATCH; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
		void *buffer = arena_good(&actor->aim.arena, &actor->dice);
		uint32_t length = BLOCK_BYTES << dice_below(&actor->dice, 5);
		uint64_t offset = random_offset(&actor->dice, bytes);

		if (dice_percent(&actor->dice, 10))
			io_uring_prep_fsync(sqe, disk, 0);
		else if (dice_percent(&actor->dice, 50))
			io_uring_prep_read(sqe, disk, buffer, length, offset);
		else
			io_uring_prep_write(sqe, disk, buffer, length, offset);
	}
	io_uring_submit(&ring);
	for (uint32_t i = 0; i < BATCH; i++) {
		if (io_uring_wait_cqe_timeout(&ring, &cqe, &limit))
			break;
		count(actor, cqe->res);
		io_uring_cqe_seen(&ring, cqe);
	}
	io_uring_queue_exit(&ring);
}

static void one(struct actor *actor, int disk, uint64_t bytes)
{
	uint64_t range[2] = { random_offset(&actor->dice, bytes), 16 * BLOCK_BYTES };
	void *buffer = arena_good(&actor->aim.arena, &actor->dice);
	int64_t result = 0;

	switch (dice_below(&actor->dice, 7)) {
	case 0:
		result = ioctl(disk, BLKDISCARD, range);
		break;
	case 1:
		result = ioctl(disk, BLKZEROOUT, range);
		break;
	case 2:
		result = ioctl(disk, BLKRRPART, 0);
		break;
	case 3:
		result = ioctl(disk, BLKFLSBUF, 0);
		break;
	case 4:
		result = fsync(disk);
		break;
	case 5:
		result = pwrite(disk, buffer, 4 * BLOCK_BYTES, (off_t)range[0]);
		break;
	default:
		result = pread(disk, buffer, 4 * BLOCK_BYTES, (off_t)range[0]);
	}
	count(actor, result < 0 ? -errno : result);
}

void actor_reader(struct actor *actor)
{
	while (probe_now_ms() < actor->end_ms) {
		int direct = dice_percent(&actor->dice, 80) ? O_DIRECT : 0;
		uint32_t turns = 1 + dice_below(&actor->dice, 20);
		uint64_t bytes = 0;
		char path[32];
		int disk;

		snprintf(path, sizeof(path), "/dev/ublkb%u", dice_below(&actor->dice, VOLLEY_IDS));
		disk = open(path, O_RDWR | O_CLOEXEC | direct);
		if (disk < 0) {
			usleep(RETRY_US);
			continue;
		}
		ioctl(disk, BLKGETSIZE64, &bytes);
		while (turns-- && probe_now_ms() < actor->end_ms) {
			if (dice_percent(&actor->dice, 60))
				batch(actor, disk, bytes);
			else
				one(actor, disk, bytes);
		}
		close(disk);
	}
}
