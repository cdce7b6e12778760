/* SPDX-License-Identifier: GPL-2.0 */
/* disk.h - /dev/ublkbN: the block device, from START_DEV to its removal. */
#ifndef UBLK_DISK_H
#define UBLK_DISK_H

#include "device.h"

/* The tags exist from ADD_DEV on, so that GET_QUEUE_AFFINITY has an answer. 0 or -errno. */
int ublk_disk_tags_init(struct ublk_device *device);
void ublk_disk_init(struct ublk_device *device);

/* With the mutex held: makes the disk of the parameters; it serves at once. 0 or -errno. */
int ublk_disk_start(struct ublk_device *device);

/*
 * With the mutex held: removes the disk if there is one. Requests end first: served by the daemon,
 * or failed where it is gone, which cancel.c finds out meanwhile.
 */
void ublk_disk_stop(struct ublk_device *device);

/*
 * With the mutex held, of a device that has a disk: what a daemon says that nobody trusts, or one
 * of its tasks, is no partition table for the kernel to read, whoever asks for that.
 */
void ublk_disk_trust(struct ublk_device *device);

/*
 * With the mutex held, of a device that has a disk: no more openers, if there is none now. 0, or
 * -EBUSY: there is one, or partitions are being read.
 */
int ublk_disk_close_unused(struct ublk_device *device);

/* Removes the disk of a daemon that is gone, from a work. */
void ublk_disk_remove_later(struct ublk_device *device);

/* Before the first device, and after the last. 0 or -ENOMEM. */
int ublk_disks_init(void);
void ublk_disks_exit(void);

#endif
