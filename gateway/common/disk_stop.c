/* SPDX-License-Identifier: MIT */
#include "gateway/common/disk_stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/common/block_number.h"
#include "gateway/common/holders.h"
#include "gateway/common/ublk_control.h"
#include "tls/clock.h"

/* A day: what this waits for is ended by being made to fail, or abandoned, not by a clock of its own. */
#define COMMAND_MS (24u * 3600 * 1000)
/* Somebody who only looks (blkid, which udev starts when a writer closes) is gone in a moment. */
#define IN_USE_MS	2000
#define IN_USE_PAUSE_MS 50

/* --- the block device ------------------------------------------------------------------------------------ */

/* Its node may have been removed, or another's stand in its place: then by one that is ours for a moment. */
static int block_open(uint32_t number, int flags)
{
	char path[64];
	struct stat st;
	dev_t dev;
	int fd, error;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u", number);
	if (!block_number_read(path, &dev))
		return -ENODEV;
	snprintf(path, sizeof(path), "/dev/ublkb%u", number);
	if (!stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev) {
		fd = open(path, flags);
		return fd < 0 ? -errno : fd;
	}
	snprintf(path, sizeof(path), "/dev/.ublk-nbd-%d-%u", (int)getpid(), number);
	unlink(path);
	if (mknod(path, S_IFBLK | 0600, dev) < 0)
		return -errno;
	fd = open(path, flags);
	error = errno;
	unlink(path);
	return fd < 0 ? -error : fd;
}

/* Documentation/block/stat.rst: writes are the 5th number, what is in flight the 9th, discards the 12th. */
bool disk_stop_is_unwritten(uint32_t number)
{
	char path[64], writes[24], in_flight[24], discards[24];
	FILE *file;
	int fields;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/stat", number);
	file = fopen(path, "re");
	if (!file)
		return false;
	fields = fscanf(file, "%*s %*s %*s %*s %23s %*s %*s %*s %23s %*s %*s %23s", writes,
			in_flight, discards);
	fclose(file);
	return fields == 3 && !strcmp(writes, "0") && !strcmp(in_flight, "0") &&
	       !strcmp(discards, "0");
}

static bool is_gone(int error)
{
	return error == -ENODEV || error == -ENXIO || error == -ENOMEDIUM;
}

/*
 * Opens it, exclusively unless forced, and has it written out. 0; *held_fd keeps others from mounting the
 * disk while it is being stopped, -1 where that is not needed. What cannot be opened cannot be flushed;
 * whether it is in use TRY_STOP_DEV can still tell.
 */
static int flush(const struct disk_stop_request *request, struct disk_stop_answer *answer,
		 int *held_fd)
{
	int fd = block_open(request->number, O_RDONLY | O_CLOEXEC | (request->force ? 0 : O_EXCL));

	if (fd < 0 && (is_gone(fd) || request->force || (request->ask_in_use && fd != -EBUSY)))
		return 0;
	if (fd < 0) {
		if (fd != -EBUSY)
			snprintf(answer->sentence, sizeof(answer->sentence),
				 "whether /dev/ublkb%u is in use cannot be told: opening it: %s: "
				 "--force stops it all the same",
				 request->number, strerror(-fd));
		return fd;
	}
	if (request->flush) {
		answer->flush_errno = fsync(fd) < 0 ? errno : 0;
		answer->flushed = !answer->flush_errno;
	}
	/* TRY_STOP_DEV would take us for a user; where it is not, this is all that keeps others out. */
	if (request->force || request->ask_in_use)
		close(fd);
	else
		*held_fd = fd;
	return 0;
}

/* --- the stop -------------------------------------------------------------------------------------------- */

static int try_stop(const struct disk_stop_request *request, struct ublk_control *control)
{
	int ret;

	for (uint32_t waited_ms = 0;; waited_ms += IN_USE_PAUSE_MS) {
		ret = ublk_control_try_stop(control, request->number, COMMAND_MS);
		if (ret != -EBUSY || waited_ms >= IN_USE_MS)
			return ret;
		clock_pause_ms(IN_USE_PAUSE_MS);
	}
}

/* For a driver that cannot tell who has the disk open. */
static int look_and_stop(const struct disk_stop_request *request, struct ublk_control *control,
			 struct disk_stop_answer *answer)
{
	struct holders holders;

	for (uint32_t waited_ms = 0;; waited_ms += IN_USE_PAUSE_MS) {
		holders_find(request->number, &holders);
		answer->others = holders.others || holders.closed;
		if (!holders.text[0])
			break;
		if (holders.lasting || waited_ms >= IN_USE_MS)
			return -EBUSY;
		clock_pause_ms(IN_USE_PAUSE_MS);
	}
	return ublk_control_stop(control, request->number, COMMAND_MS);
}

void disk_stop_run(const struct disk_stop_request *request, struct disk_stop_answer *answer)
{
	struct ublk_control *control = NULL;
	int held_fd = -1;

	answer->result = flush(request, answer, &held_fd);
	answer->unwritten = disk_stop_is_unwritten(request->number);
	if (answer->result == 0)
		answer->result =
			ublk_control_open(&control, answer->sentence, sizeof(answer->sentence));
	if (answer->result == 0) {
		if (request->force)
			answer->result = ublk_control_stop(control, request->number, COMMAND_MS);
		else if (request->ask_in_use)
			answer->result = try_stop(request, control);
		else
			answer->result = look_and_stop(request, control, answer);
		ublk_control_close(control);
	}
	if (held_fd >= 0)
		close(held_fd);
}
