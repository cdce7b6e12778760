// SPDX-License-Identifier: GPL-2.0
/* disk.c - the block layer's side. */
#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "cancel.h"
#include "command.h"
#include "compat.h"
#include "disk.h"
#include "params.h"

/* Of a millisecond or two each. */
#define OPEN_LOCK_TRIES 100

static struct workqueue_struct *ublk_disk_scans;

static blk_status_t ublk_disk_queue(struct blk_mq_hw_ctx *context,
				    const struct blk_mq_queue_data *data)
{
	return ublk_command_queue(context->driver_data, data->rq);
}

/* Requests that were sent together, all of this disk. */
COMPAT_QUEUE_LIST(ublk_disk_queue_list, ublk_command_queue_list)

static int ublk_disk_init_context(struct blk_mq_hw_ctx *context, void *device, unsigned int index)
{
	context->driver_data = ((struct ublk_device *)device)->queues[index];
	return 0;
}

/*
 * A request may take as long as the daemon wants, who has deadlines of its own. One that is not
 * trusted must not hold up the system: it is killed, and what it had fails.
 */
static enum blk_eh_timer_return ublk_disk_timeout(struct request *request)
{
	struct ublk_queue *queue = request->mq_hctx->driver_data;
	struct ublk_device *device = queue->device;

	if (ublk_device_has(device, UBLK_F_UNPRIVILEGED_DEV)) {
		spin_lock(&device->daemon_lock);
		if (device->daemon)
			kill_pid(device->daemon, SIGKILL, 1);
		spin_unlock(&device->daemon_lock);
	}
	return BLK_EH_RESET_TIMER;
}

static const struct blk_mq_ops ublk_disk_mq_operations = {
	.queue_rq = ublk_disk_queue,
	.queue_rqs = ublk_disk_queue_list,
	.init_hctx = ublk_disk_init_context,
	.timeout = ublk_disk_timeout,
};

/* Who is not trusted may only trouble himself, and root, who knows what he opens. */
static int ublk_disk_open(COMPAT_OPENED *opened, COMPAT_OPEN_MODE mode)
{
	struct gendisk *disk = compat_opened_disk(opened);
	struct ublk_device *device = disk->private_data;

	if (test_bit(UBLK_DEVICE_CLOSED, &device->flags))
		return -ENXIO;
	if (!ublk_device_has(device, UBLK_F_UNPRIVILEGED_DEV) ||
	    (uid_eq(current_euid(), make_kuid(&init_user_ns, device->info.owner_uid)) &&
	     gid_eq(current_egid(), make_kgid(&init_user_ns, device->info.owner_gid))))
		return 0;
	return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static void ublk_disk_free(struct gendisk *disk)
{
	ublk_device_put(disk->private_data);
}

static const struct block_device_operations ublk_disk_operations = {
	.owner = THIS_MODULE,
	.open = ublk_disk_open,
	.free_disk = ublk_disk_free,
};

int ublk_disk_tags_init(struct ublk_device *device)
{
	device->tags.ops = &ublk_disk_mq_operations;
	device->tags.nr_hw_queues = device->info.nr_hw_queues;
	device->tags.queue_depth = device->info.queue_depth;
	device->tags.numa_node = NUMA_NO_NODE;
	/*
	 * The order is the daemon's business; a scheduler in front costs a quarter of a small
	 * request.
	 */
	device->tags.flags = COMPAT_TAG_SET_FLAGS | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	device->tags.driver_data = device;
	return blk_mq_alloc_tag_set(&device->tags);
}

/*
 * Reads the partition table through the daemon, so not in START_DEV, which the daemon may wait for.
 */
static void ublk_disk_scan(struct work_struct *work)
{
	struct ublk_device *device = container_of(work, struct ublk_device, scan);
	struct gendisk *disk = device->disk;

	/* Whoever has the disk for himself, a RAID say, wants no partitions of it. */
	if (compat_claim(disk->part0, device))
		return;
	mutex_lock(&disk->open_mutex);
	if (disk_live(disk) && !test_bit(UBLK_DEVICE_STOPPING, &device->flags) &&
	    !test_bit(GD_SUPPRESS_PART_SCAN, &disk->state))
		bdev_disk_changed(disk, false);
	/*
	 * The first opener is to read anew what may have changed by then, in blocks of his own
	 * size.
	 */
	if (!disk_openers(disk))
		invalidate_bdev(disk->part0);
	mutex_unlock(&disk->open_mutex);
	bd_abort_claiming(disk->part0, device);
}

static void ublk_disk_removal(struct work_struct *work)
{
	struct ublk_device *device = container_of(work, struct ublk_device, removal);

	mutex_lock(&device->mutex);
	if (test_bit(UBLK_DEVICE_STOPPING, &device->flags))
		ublk_disk_stop(device);
	mutex_unlock(&device->mutex);
	ublk_device_put(device);
}

void ublk_disk_init(struct ublk_device *device)
{
	INIT_WORK(&device->scan, ublk_disk_scan);
	INIT_WORK(&device->removal, ublk_disk_removal);
}

static void ublk_disk_set_modes(struct ublk_device *device, enum ublk_queue_mode mode)
{
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++)
		ublk_queue_set_mode(device->queues[id], mode);
}

static struct gendisk *ublk_disk_alloc(struct ublk_device *device)
{
	struct compat_disk_features features;
	struct queue_limits limits;
	struct gendisk *disk;

	ublk_params_limits(&device->params, &limits, &features);
	disk = compat_disk_alloc(&device->tags, &limits, &features, NULL);
	if (IS_ERR(disk))
		return disk;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "ublkb%u", device->info.dev_id);
	disk->fops = &ublk_disk_operations;
	get_device(&device->dev);
	disk->private_data = device;
	set_capacity(disk, device->params.basic.dev_sectors);
	set_disk_ro(disk, device->params.basic.attrs & UBLK_ATTR_READ_ONLY);
	set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	return disk;
}

void ublk_disk_trust(struct ublk_device *device)
{
	if (ublk_device_has(device, UBLK_F_UNPRIVILEGED_DEV) ||
	    test_bit(UBLK_DEVICE_UNTRUSTED, &device->flags))
		set_bit(GD_SUPPRESS_PART_SCAN, &device->disk->state);
	else
		clear_bit(GD_SUPPRESS_PART_SCAN, &device->disk->state);
}

int ublk_disk_start(struct ublk_device *device)
{
	struct gendisk *disk = ublk_disk_alloc(device);
	int result;

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	clear_bit(UBLK_DEVICE_CLOSED, &device->flags);
	device->disk = disk;
	WRITE_ONCE(device->info.state, UBLK_S_DEV_LIVE);
	ublk_disk_set_modes(device, UBLK_QUEUE_SERVE);
	result = add_disk(disk);
	if (result) {
		ublk_disk_set_modes(device, UBLK_QUEUE_FAIL);
		WRITE_ONCE(device->info.state, UBLK_S_DEV_DEAD);
		device->disk = NULL;
		put_disk(disk);
		/* free_disk is only called for a disk that was added. */
		ublk_device_put(device);
		return result;
	}
	ublk_disk_trust(device);
	if (!ublk_device_has(device, UBLK_F_NO_AUTO_PART_SCAN) &&
	    !test_bit(GD_SUPPRESS_PART_SCAN, &disk->state))
		queue_work(ublk_disk_scans, &device->scan);
	return 0;
}

void ublk_disk_stop(struct ublk_device *device)
{
	struct gendisk *disk = device->disk;

	if (!disk)
		return;
	set_bit(UBLK_DEVICE_STOPPING, &device->flags);
	ublk_cancel_waiting(device);
	cancel_work_sync(&device->scan);
	del_gendisk(disk);
	ublk_disk_set_modes(device, UBLK_QUEUE_FAIL);
	device->disk = NULL;
	WRITE_ONCE(device->info.state, UBLK_S_DEV_DEAD);
	device->info.ublksrv_pid = -1;
	clear_bit(UBLK_DEVICE_STOPPING, &device->flags);
	put_disk(disk);
}

/*
 * Whoever holds open_mutex may read a partition table, and wait for requests that only another
 * control command lets go, which waits for our mutex: never wait for it without end. An open or a
 * close is over soon, and does not make the disk one that is in use.
 */
static bool ublk_disk_try_lock(struct gendisk *disk)
{
	int tries;

	for (tries = 0; tries < OPEN_LOCK_TRIES; tries++) {
		if (mutex_trylock(&disk->open_mutex))
			return true;
		usleep_range(1000, 2000);
	}
	return false;
}

int ublk_disk_close_unused(struct ublk_device *device)
{
	struct gendisk *disk = device->disk;
	int result = 0;

	if (!ublk_disk_try_lock(disk))
		return -EBUSY;
	if (disk_openers(disk))
		result = -EBUSY;
	else
		set_bit(UBLK_DEVICE_CLOSED, &device->flags);
	mutex_unlock(&disk->open_mutex);
	return result;
}

void ublk_disk_remove_later(struct ublk_device *device)
{
	get_device(&device->dev);
	if (!queue_work(ublk_endings, &device->removal))
		put_device(&device->dev);
}

int ublk_disks_init(void)
{
	ublk_disk_scans = alloc_workqueue("ublk_scans", WQ_UNBOUND, 0);
	return ublk_disk_scans ? 0 : -ENOMEM;
}

void ublk_disks_exit(void)
{
	destroy_workqueue(ublk_disk_scans);
}
