/* SPDX-License-Identifier: MIT */
/*
 * disk_stop.h - the kernel's half of a disk's end: is it in use? fsync of the block device, STOP_DEV. For
 * the daemon's attendant, and for a command that finds nobody to talk to.
 *
 * In use is what an exclusive open of the block device shows (a mount in any mount namespace, swap, LVM,
 * RAID), and who else has it open: TRY_STOP_DEV knows, where the driver has it (UBLK_F_SAFE_STOP_DEV);
 * elsewhere the processes and the kernel's own servers are looked at (holders.h) while the exclusive open
 * keeps mounts out. There, somebody who opens the disk between that look and STOP_DEV is not noticed.
 */
#ifndef GATEWAY_COMMON_DISK_STOP_H
#define GATEWAY_COMMON_DISK_STOP_H

#include <stdbool.h>
#include <stdint.h>

struct disk_stop_request {
	uint32_t number;
	bool force;	 /* also one in use */
	bool ask_in_use; /* TRY_STOP_DEV was granted */
	bool flush;	 /* the disk can be written */
};

struct disk_stop_answer {
	int result; /* 0, or negative errno; -EBUSY: in use, and nothing was done but the fsync */
	int flush_errno; /* positive errno of the fsync; 0 */
	bool flushed;	 /* the fsync succeeded */
	bool unwritten;	 /* nothing was ever written to the disk, not by the fsync either */
	bool others; /* processes that cannot be seen from here may use it, and nobody asked them */
	char sentence[300]; /* why result, where errno does not say it; or "" */
};

/* Whether the block layer has counted neither a write nor a discard, and nothing is in flight. false: also where
 * the kernel took the disk away, and its counts. */
bool disk_stop_is_unwritten(uint32_t number);

/* Waits uninterruptibly for the block device's daemon, perhaps for ever: only in a process or thread that
 * can be abandoned. The fields of *answer are filled in as they become known. */
void disk_stop_run(const struct disk_stop_request *request, struct disk_stop_answer *answer);

#endif
