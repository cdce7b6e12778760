/* SPDX-License-Identifier: MIT */
/*
 * stop.c - from a live disk to nothing left. What may block (opening the disk, its fsync, the
 * kernel's STOP_DEV) runs on the stopper's thread, which is no queue's: the queues must serve
 * while they wait. The main thread keeps the deadline and makes the queues fail what waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/process.h"

/* A day: the stopper is ended by what it waits for being made to fail, not by a clock of its own. */
#define STOPPER_COMMAND_MS (24u * 3600 * 1000)
#define STOP_MS		   30000
#define TRY_STOP_MS	   2000
#define TRY_STOP_PAUSE_MS  50
#define QUEUE_END_MS	   10000
#define DELETE_MS	   10000

struct stopper {
	pthread_t thread;
	char device_path[32];
	uint32_t dev_id;
	bool force;
	bool ask_in_use; /* TRY_STOP_DEV was granted */
	bool flush;	 /* not read-only */
	int held_fd;	 /* keeps others from mounting the disk while it is being stopped; or -1 */
	int done_fd;
	int result;	 /* 0 or negative errno */
	int flush_errno; /* positive, or 0 */
};

/* Not forced: an exclusive open fails while the disk is mounted, or held by LVM, RAID or swap. */
static int flush_disk(struct stopper *stopper)
{
	int flags = O_RDONLY | O_CLOEXEC | (stopper->force ? 0 : O_EXCL);
	int fd = open(stopper->device_path, flags);

	if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV || errno == ENOMEDIUM))
		return 0; /* no node, no medium: nothing to flush */
	if (fd < 0)
		return stopper->force ? 0 : -errno;
	if (stopper->flush && fsync(fd) < 0)
		stopper->flush_errno = errno;
	/* TRY_STOP_DEV would take us for a user; where it is not, this is all that keeps others out. */
	if (!stopper->force && !stopper->ask_in_use)
		stopper->held_fd = fd;
	else
		close(fd);
	return 0;
}

/* Somebody who only looks (blkid, which udev starts when a writer closes) is gone in a moment. */
static int try_stop(const struct stopper *stopper, struct ublk_control *control)
{
	struct timespec nap = { .tv_nsec = TRY_STOP_PAUSE_MS * 1000000L };
	int ret;

	for (uint32_t waited_ms = 0;; waited_ms += TRY_STOP_PAUSE_MS) {
		ret = ublk_control_try_stop(control, stopper->dev_id, STOPPER_COMMAND_MS);
		if (ret != -EBUSY || waited_ms >= TRY_STOP_MS)
			return ret;
		nanosleep(&nap, NULL);
	}
}

static int stop_device(struct stopper *stopper)
{
	struct ublk_control *control;
	char sentence[512];
	int ret = ublk_control_open(&control, sentence, sizeof(sentence));

	if (ret < 0) {
		log_error("%s", sentence);
		return ret;
	}
	if (!stopper->force && stopper->ask_in_use)
		ret = try_stop(stopper, control);
	else
		ret = ublk_control_stop(control, stopper->dev_id, STOPPER_COMMAND_MS);
	ublk_control_close(control);
	return ret;
}

static void *stopper_main(void *argument)
{
	struct stopper *stopper = argument;
	const uint64_t one = 1;

	stopper->result = flush_disk(stopper);
	if (stopper->result == 0)
		stopper->result = stop_device(stopper);
	if (stopper->held_fd >= 0)
		close(stopper->held_fd);
	if (write(stopper->done_fd, &one, sizeof(one)) < 0)
		abort();
	return NULL;
}

int stopper_start(struct disk *disk, bool force)
{
	struct stopper *stopper = calloc(1, sizeof(*stopper));
	int ret;

	if (!stopper)
		return -ENOMEM;
	memcpy(stopper->device_path, disk->device_path, sizeof(stopper->device_path));
	stopper->dev_id = disk->info.dev_id;
	stopper->force = force;
	stopper->ask_in_use = disk->info.flags & UBLK_F_SAFE_STOP_DEV;
	stopper->flush = !disk->geometry.read_only;
	stopper->held_fd = -1;
	stopper->done_fd = eventfd(0, EFD_CLOEXEC);
	if (stopper->done_fd < 0) {
		ret = -errno;
		goto free_stopper;
	}
	ret = process_thread_start(&stopper->thread, stopper_main, stopper);
	if (ret < 0)
		goto close_fd;
	disk->stopper = stopper;
	disk->state = DISK_STOPPING;
	return 0;

close_fd:
	close(stopper->done_fd);
free_stopper:
	free(stopper);
	return ret;
}

int stopper_fd(const struct stopper *stopper)
{
	return stopper->done_fd;
}

/* The fsync of a disk that nobody ever wrote to fails too when the server is gone, but loses nothing:
 * what the kernel still had to write would have been tried, and counted, by that fsync itself. */
static bool was_written_to(const struct disk *disk)
{
	uint64_t changes = 0;

	for (uint32_t i = 0; i < disk->queues_count; i++) {
		const struct stats *stats = &disk->queues[i].stats;

		changes += stats_read(&stats->writes) + stats_read(&stats->trims) +
			   stats_read(&stats->zeroes);
	}
	return changes > 0;
}

int stopper_finish(struct disk *disk)
{
	struct stopper *stopper = disk->stopper;
	int ret;

	pthread_join(stopper->thread, NULL);
	ret = stopper->result;
	if (stopper->flush_errno && was_written_to(disk))
		disk->flush_errno = stopper->flush_errno;
	close(stopper->done_fd);
	free(stopper);
	disk->stopper = NULL;
	if (ret == 0)
		disk->stopped = true;
	else
		disk->state = DISK_LIVE;
	return ret;
}

/* --- removal ------------------------------------------------------------------------------------- */

static void request_all(struct disk *disk, uint32_t bits)
{
	for (uint32_t i = 0; i < disk->queues_count; i++)
		if (disk->queues[i].thread_started)
			queue_request(&disk->queues[i], bits);
}

/* A disk whose start was begun but that nobody stopped: what it waits for fails, then it stops. */
static void stop_unfinished(struct disk *disk)
{
	int ret;

	if (disk->stopped || disk->state < DISK_STARTING)
		return;
	request_all(disk, QUEUE_REQUEST_CONDEMN);
	ret = ublk_control_stop(disk->control, disk->info.dev_id, STOP_MS);
	if (ret < 0)
		log_error("the driver does not stop the device: %s", strerror(-ret));
	else
		disk->stopped = true;
}

static void end_queues(struct disk *disk)
{
	if (!disk->stopped)
		request_all(disk, QUEUE_REQUEST_GIVE_UP);
	for (uint32_t i = 0; i < disk->queues_count; i++) {
		struct queue *queue = &disk->queues[i];
		/* Its own FLUSH and DISC have deadlines of their own inside this one. */
		uint32_t wait_ms = QUEUE_END_MS + 8 * disk->config.timeout_ms;

		if (!queue_join(queue, wait_ms)) {
			log_error("queue %u does not end: leaving the kernel to tidy up", i);
			_exit(EXIT_CODE_FAILURE);
		}
		if (!disk->flush_errno)
			disk->flush_errno = atomic_load(&queue->flush_error);
		queue_close(queue);
	}
	free(disk->queues);
	disk->queues = NULL;
	disk->queues_count = 0;
}

static void delete_failed(struct disk *disk, int error)
{
	log_error("the driver does not delete the device: %s", strerror(error));
	if (disk->exit_code == EXIT_CODE_OK)
		disk_fail(
			disk, EXIT_CODE_SYSTEM,
			"%s is stopped, but the kernel keeps device %u: %s: \"ublk-nbd disconnect "
			"%u\" tries again",
			disk->device_path, disk->info.dev_id, strerror(error), disk->info.dev_id);
}

void disk_remove(struct disk *disk)
{
	int ret;

	stop_unfinished(disk);
	end_queues(disk);
	for (uint32_t i = 0; i < DISK_CONNECTIONS_MAX; i++)
		transport_close(disk->transports[i]);
	if (disk->char_fd >= 0)
		close(disk->char_fd); /* before DEL_DEV, which waits for it */
	disk->char_fd = -1;
	if (disk->state >= DISK_ADDED) {
		/* Once the number is free, another disk may have it, and its files. */
		disk_remove_files(disk);
		ret = ublk_control_delete(disk->control, disk->info.dev_id, DELETE_MS);
		if (ret < 0 && ret != -ENODEV)
			delete_failed(disk, -ret);
	}
	ublk_control_close(disk->control);
	disk->control = NULL;
	if (disk->activation.pid > 0)
		activation_stop(&disk->activation);
	free(disk->export);
	disk->export = NULL;
	disk->state = DISK_GONE;
}
