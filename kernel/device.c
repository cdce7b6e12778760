// SPDX-License-Identifier: GPL-2.0
/* device.c - what is asked and told of one device; the works of all. */
#include <linux/fs.h>

#include "device.h"

struct workqueue_struct *ublk_watches, *ublk_endings;

void ublk_device_put(struct ublk_device *device)
{
	put_device(&device->dev);
}

int ublk_device_wait_ready(struct ublk_device *device)
{
	return wait_for_completion_interruptible(&device->ready) ? -EINTR : 0;
}

bool ublk_device_ready(const struct ublk_device *device)
{
	return !atomic_read(&device->unfetched) && !test_bit(UBLK_DEVICE_LOST, &device->flags) &&
	       !test_bit(UBLK_DEVICE_DELETED, &device->flags);
}

void ublk_device_tell_daemon(struct ublk_device *device)
{
	if (!test_bit(UBLK_DEVICE_OPEN, &device->flags))
		return;
	set_bit(UBLK_DEVICE_TOLD, &device->flags);
	set_bit(UBLK_DEVICE_LOST, &device->flags);
}

u32 ublk_device_this_round(const struct ublk_device *device)
{
	/* The first queue's changes last, so an older round's number is never a newer one's. */
	return READ_ONCE(device->queues[0]->round);
}

bool ublk_device_round(struct ublk_device *device, u32 *round)
{
	bool there;

	spin_lock(&device->daemon_lock);
	there = device->file;
	*round = ublk_device_this_round(device);
	spin_unlock(&device->daemon_lock);
	return there;
}

/* Nobody has the round's file: no command can come, and there is none, since each has the file. */
bool ublk_device_round_closed(const struct ublk_device *device)
{
	return device->file && !file_count(device->file);
}

void ublk_device_end_round_later(struct ublk_device *device)
{
	bool closed;

	spin_lock(&device->daemon_lock);
	closed = ublk_device_round_closed(device);
	spin_unlock(&device->daemon_lock);
	if (!closed)
		return;
	get_device(&device->dev);
	if (!queue_work(ublk_endings, &device->closing))
		put_device(&device->dev);
}

int ublk_device_works_init(void)
{
	/* On 6.1 this alone ends a dead daemon's I/O, which reclaim may be waiting for. */
	ublk_watches = alloc_workqueue("ublk_watches", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!ublk_watches)
		return -ENOMEM;
	ublk_endings = alloc_workqueue("ublk_endings", WQ_UNBOUND, 0);
	if (ublk_endings)
		return 0;
	destroy_workqueue(ublk_watches);
	return -ENOMEM;
}

void ublk_device_works_exit(void)
{
	destroy_workqueue(ublk_endings);
	destroy_workqueue(ublk_watches);
}
