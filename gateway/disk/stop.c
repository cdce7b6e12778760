/* SPDX-License-Identifier: MIT */
/*
 * stop.c - from a live disk to nothing left. What may block (opening the disk, its fsync, the
 * kernel's STOP_DEV) is the attendant's: the queues must serve while it waits. The main thread keeps
 * the deadline and makes the queues fail what waits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/disk.h"

#define STOP_MS	     30000
#define QUEUE_END_MS 10000
#define DELETE_MS    3000

int stopper_start(struct disk *disk, bool force, bool *hurried)
{
	struct attendant *attendant = &disk->attendant;
	struct attendant_request request = {
		.verb = ATTENDANT_STOP,
		.dev_id = disk->info.dev_id,
		.force = force,
		.ask_in_use = disk->info.flags & UBLK_F_SAFE_STOP_DEV,
	};
	int ret;

	disk->stop_troubles = trouble_count(&disk->shared.trouble);
	memcpy(request.device_path, disk->device_path, sizeof(request.device_path));
	*hurried = attendant->pid == 0;
	/* What was written by those who have closed the disk is with the server; the queues flush it. */
	request.flush = !disk->geometry.read_only && !*hurried;
	ret = attendant->fd < 0 ? -EPIPE : attendant_ask(attendant, &request);
	if (ret == -EPIPE || ret == -ECONNRESET) { /* it has ended */
		*hurried = true;
		request.flush = false;
		ret = attendant_stand_in(attendant);
		if (ret == 0)
			ret = attendant_ask(attendant, &request);
	}
	if (ret < 0)
		return ret;
	disk->stopper_running = true;
	disk->state = DISK_STOPPING;
	return 0;
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

/* A flush failed. The kernel's fsync may tell of a write that failed before the stop. */
static void note_flush_failure(struct disk *disk, int error)
{
	struct trouble_note note;
	bool is_older;

	disk->flush_errno = error;
	is_older = !trouble_since(&disk->shared.trouble, disk->stop_troubles, &note);
	if (is_older && !trouble_since(&disk->shared.trouble, 0, &note))
		snprintf(disk->flush_why, sizeof(disk->flush_why), "%s", strerror(error));
	else
		snprintf(disk->flush_why, sizeof(disk->flush_why), "%s%.400s",
			 is_older ? "before the stop began: " : "", note.text);
}

int stopper_finish(struct disk *disk, struct attendant_answer *answer)
{
	attendant_take(&disk->attendant, answer);
	disk->stopper_running = false;
	if (answer->flush_errno && was_written_to(disk))
		note_flush_failure(disk, answer->flush_errno);
	if (answer->result == 0)
		disk->stopped = true;
	else
		disk->state = DISK_LIVE;
	return answer->result;
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
	bool released = true;

	if (!disk->stopped)
		request_all(disk, QUEUE_REQUEST_GIVE_UP);
	for (uint32_t i = 0; i < disk->queues_count; i++) {
		struct queue *queue = &disk->queues[i];
		int error;

		/* Its FLUSH and DISC are over, or their connections condemned. */
		if (!queue_join(queue, QUEUE_END_MS)) {
			log_error("queue %u does not end: leaving the kernel to tidy up", i);
			_exit(EXIT_CODE_FAILURE);
		}
		error = atomic_load(&disk->clients[i].flush_error);
		if (error && !disk->flush_errno)
			note_flush_failure(disk, error);
		released &= queue_close(queue);
		nbd_client_close(&disk->clients[i]);
	}
	if (released) {
		free(disk->queues);
		free(disk->clients);
	} else {
		disk->queues_held = disk->queues;
		disk->clients_held = disk->clients;
	}
	disk->queues = NULL;
	disk->clients = NULL;
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

	attendant_cut(&disk->attendant);
	stop_unfinished(disk);
	end_queues(disk);
	for (uint32_t i = 0; i < DISK_CONNECTIONS_MAX; i++)
		transport_close(disk->transports[i]);
	if (disk->char_fd >= 0)
		close(disk->char_fd); /* before DEL_DEV, which waits for it */
	disk->char_fd = -1;
	if (disk->state >= DISK_ADDED) {
		/* Once the number is free, another disk may have it, and its files. */
		if (!disk_remove_files(disk))
			activation_leave_files(&disk->activation);
		ret = ublk_control_delete(disk->control, disk->info.dev_id, DELETE_MS);
		if (ret < 0 && ret != -ENODEV)
			delete_failed(disk, -ret);
		else if (ret > 0)
			log_info("gone, but its number is free only once its last user closes it");
	}
	ublk_control_close(disk->control);
	disk->control = NULL;
	attendant_close(&disk->attendant);
	if (disk->activation.pid > 0)
		activation_stop(&disk->activation);
	free(disk->export);
	disk->export = NULL;
	disk->state = DISK_GONE;
}
