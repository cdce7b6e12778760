/* SPDX-License-Identifier: MIT */
/*
 * usable.c - a disk is reported only when a user could go on at once: its node is there, it opens,
 * has its size, its first block was read through the server (attendant.c), and udev has done with
 * it and made its link.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/udev_rule.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/link.h"
#include "gateway/disk/ready.h"
#include "tls/clock.h"

#define UDEV_WAIT_MS 5000
#define PAUSE_MS     5

/* udevd keeps this file while it has events to handle; the system's other devices may keep it
 * busy, so there is an end to it. */
static void settle_udev(struct disk *disk)
{
	if (!udev_runs())
		return;
	for (uint32_t waited_ms = 0; waited_ms < UDEV_WAIT_MS; waited_ms += PAUSE_MS) {
		disk_read_signals(disk);
		if (disk->stop_requested || access("/run/udev/queue", F_OK) < 0)
			return;
		clock_pause_ms(PAUSE_MS);
	}
}

/* udevd may not even have heard of the event when we look, so its being idle says nothing yet: the
 * link does. */
void disk_wait_link(struct disk *disk)
{
	char link[400];

	if (!udev_runs() || !udev_has_rule())
		return;
	link_of(disk, link, sizeof(link));
	for (uint32_t waited_ms = 0; link[0] && waited_ms < UDEV_WAIT_MS; waited_ms += PAUSE_MS) {
		disk_read_signals(disk);
		if (disk->stop_requested || access(link, F_OK) == 0)
			break;
		clock_pause_ms(PAUSE_MS);
	}
	settle_udev(disk);
}

/* The kernel gave the attendant an errno; the queues know why, and a server of our own may have ended. */
static bool read_failed(struct disk *disk, const struct attendant_answer *answer)
{
	struct trouble_note note;
	char ended[300];

	if (!trouble_since(&disk->shared.trouble, 0, &note))
		return disk_fail(disk, EXIT_CODE_UNREACHABLE, "%s: %s", answer->sentence,
				 strerror(-answer->result));
	if (!note.server_said && disk_server_has_ended(disk, ended, sizeof(ended)))
		return disk_fail(disk, EXIT_CODE_UNREACHABLE, "%s: %s", answer->sentence, ended);
	return disk_fail(disk, note.server_said ? EXIT_CODE_REFUSED : EXIT_CODE_UNREACHABLE,
			 "%s: %s", answer->sentence, note.text);
}

static void warn_of_table(struct disk *disk, uint32_t sector_bytes)
{
	uint32_t minimum_bytes = disk->export->block_minimum_bytes;
	char remedy[200];

	if (sector_bytes >= minimum_bytes)
		snprintf(remedy, sizeof(remedy), "connect with --block-size %u", sector_bytes);
	else
		snprintf(remedy, sizeof(remedy),
			 "have the server take blocks of %u (its smallest is %u) and connect again",
			 sector_bytes, minimum_bytes);
	ready_warning(disk,
		      "the partition table of %s counts in sectors of %u bytes, but its blocks are "
		      "of %u: its partitions are missing, or in the wrong place, and must not be "
		      "written to: %s",
		      disk->device_path, sector_bytes, disk->geometry.logical_block_bytes, remedy);
}

bool disk_wait_usable(struct disk *disk)
{
	struct attendant_request request = {
		.verb = ATTENDANT_PROBE,
		.size_bytes = disk->geometry.size_bytes,
		.block_bytes = disk->geometry.logical_block_bytes,
	};
	struct attendant_answer answer = { 0 };

	if (!disk_attend(disk, &request, &answer, "the first read of the disk"))
		return false;
	if (answer.result < 0 && answer.reading)
		return read_failed(disk, &answer);
	if (answer.result < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "%s", answer.sentence);
	if (answer.table_sector_bytes)
		warn_of_table(disk, answer.table_sector_bytes);
	settle_udev(disk);
	return true;
}
