// SPDX-License-Identifier: GPL-2.0
/* round.c - see round.h. */
#include <linux/fs.h>
#include <linux/pid.h>

#include "cancel.h"
#include "disk.h"
#include "round.h"

/*
 * LIVE without a daemon cannot stay. The mutex is held. The queues' modes, too: a control command
 * may have let them serve after the daemon's commands were cancelled.
 */
static void ublk_round_lose_daemon(struct ublk_device *device)
{
	u16 id;

	if (device->info.state != UBLK_S_DEV_LIVE)
		return;
	for (id = 0; id < device->info.nr_hw_queues; id++)
		ublk_queue_set_mode(device->queues[id], ublk_cancel_mode(device));
	if (!ublk_device_recovers(device)) {
		set_bit(UBLK_DEVICE_STOPPING, &device->flags);
		ublk_disk_remove_later(device);
	} else if (ublk_device_has(device, UBLK_F_USER_RECOVERY_FAIL_IO)) {
		WRITE_ONCE(device->info.state, UBLK_S_DEV_FAIL_IO);
		/* What waited while the daemon was asked to go: it fails now. */
		blk_mq_kick_requeue_list(device->disk->queue);
	} else {
		WRITE_ONCE(device->info.state, UBLK_S_DEV_QUIESCED);
	}
}

int ublk_round_begin(struct ublk_device *device, struct file *file)
{
	if (test_and_set_bit(UBLK_DEVICE_OPEN, &device->flags))
		return -EBUSY;
	/* After the bit: DEL_DEV sets the other and then looks at this one's holder no more. */
	if (test_bit(UBLK_DEVICE_DELETED, &device->flags)) {
		clear_bit_unlock(UBLK_DEVICE_OPEN, &device->flags);
		return -ENODEV;
	}
	spin_lock(&device->daemon_lock);
	device->file = file;
	spin_unlock(&device->daemon_lock);
	return 0;
}

/* No more commands, and the round's number, if it is to be ended. */
static bool ublk_round_close(struct ublk_device *device, u32 *round)
{
	bool closed;

	spin_lock(&device->daemon_lock);
	closed = ublk_device_round_closed(device);
	if (closed) {
		set_bit(UBLK_DEVICE_LOST, &device->flags);
		*round = ublk_device_this_round(device);
	}
	spin_unlock(&device->daemon_lock);
	return closed;
}

/* The file's release and the work may both come here; the second finds the round ended. */
static void ublk_round_end(struct ublk_device *device, u32 round)
{
	struct pid *daemon;
	int id;

	mutex_lock(&device->mutex);
	if (ublk_device_this_round(device) != round) {
		mutex_unlock(&device->mutex);
		return;
	}
	/*
	 * Before the round's number and LOST change: who finds the file there finds those of its
	 * round.
	 */
	spin_lock(&device->daemon_lock);
	device->ending = device->file;
	device->file = NULL;
	spin_unlock(&device->daemon_lock);
	ublk_round_lose_daemon(device);
	device->info.ublksrv_pid = -1;
	/* Backwards: the first queue's number is the round's, and changes last. */
	for (id = device->info.nr_hw_queues - 1; id >= 0; id--)
		ublk_queue_end_round(device->queues[id]);
	/*
	 * After the file is gone from sight: a look that finds it queues the next one. Before LOST,
	 * OPEN and the caller's reference go: a look may set the one, and needs the other.
	 */
	cancel_delayed_work_sync(&device->watch);
	spin_lock(&device->daemon_lock);
	daemon = device->daemon;
	device->daemon = NULL;
	device->mm = NULL;
	spin_unlock(&device->daemon_lock);
	put_pid(daemon);
	if (!test_bit(UBLK_DEVICE_DELETED, &device->flags))
		reinit_completion(&device->ready);
	atomic_set(&device->unfetched, device->info.nr_hw_queues * device->info.queue_depth);
	clear_bit(UBLK_DEVICE_LOST, &device->flags);
	clear_bit(UBLK_DEVICE_TOLD, &device->flags);
	clear_bit(UBLK_DEVICE_UNTRUSTED, &device->flags);
	clear_bit_unlock(UBLK_DEVICE_OPEN, &device->flags);
	spin_lock(&device->daemon_lock);
	device->ending = NULL;
	spin_unlock(&device->daemon_lock);
	mutex_unlock(&device->mutex);
}

static void ublk_round_end_closed(struct ublk_device *device)
{
	u32 round;

	if (!ublk_round_close(device, &round))
		return;
	ublk_cancel_say(device);
	ublk_cancel_round(device, round);
	ublk_round_end(device, round);
}

/* Who waits for the file's release may open the device next: the round is over by then. */
void ublk_round_release(struct ublk_device *device, const struct file *file)
{
	bool ending;

	ublk_round_end_closed(device);
	spin_lock(&device->daemon_lock);
	ending = device->ending == file;
	spin_unlock(&device->daemon_lock);
	/* A work does it, and has the mutex. Nobody waits for another file's round here. */
	if (ending) {
		mutex_lock(&device->mutex);
		mutex_unlock(&device->mutex);
	}
}

static void ublk_round_closing(struct work_struct *work)
{
	struct ublk_device *device = container_of(work, struct ublk_device, closing);

	ublk_round_end_closed(device);
	ublk_device_put(device);
}

void ublk_round_init(struct ublk_device *device)
{
	INIT_WORK(&device->closing, ublk_round_closing);
}
