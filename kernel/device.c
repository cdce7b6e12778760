// SPDX-License-Identifier: GPL-2.0
/* device.c - making, finding, ending devices; their rounds. */
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "cancel.h"
#include "char.h"
#include "compat.h"
#include "device.h"
#include "disk.h"

static unsigned int ublks_max = 64;
module_param(ublks_max, uint, 0644);
MODULE_PARM_DESC(ublks_max, "most devices of unprivileged users at a time (default 64)");

/*
 * In the table: a device that is not there yet (NULL, which only the table knows from a free id),
 * is there, or is being freed (its serial, as a value).
 */
static DEFINE_IDR(ublk_device_table);
static DEFINE_SPINLOCK(ublk_device_table_lock); /* the table, the count, the serials */
static unsigned int ublk_device_unprivileged_count;
static unsigned long ublk_device_next_serial;
static DECLARE_WAIT_QUEUE_HEAD(ublk_device_gone_queue);
static struct class *ublk_device_char_class;
static dev_t ublk_device_char_numbers;
struct workqueue_struct *ublk_watches, *ublk_endings;

static void ublk_device_closing(struct work_struct *work);

static void ublk_device_free(struct ublk_device *device)
{
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++)
		ublk_queue_free(device->queues[id]);
	kfree(device);
}

/* Frees the id, which is what the module's end waits for: nothing is done after it. */
static void ublk_device_forget(u32 id, bool counted)
{
	spin_lock(&ublk_device_table_lock);
	idr_remove(&ublk_device_table, id);
	if (counted)
		ublk_device_unprivileged_count--;
	wake_up_all(&ublk_device_gone_queue);
	spin_unlock(&ublk_device_table_lock);
}

/* The last put. */
static void ublk_device_release(struct device *dev)
{
	struct ublk_device *device = container_of(dev, struct ublk_device, dev);
	bool counted = device->counted;
	u32 id = device->info.dev_id;

	/* Nobody finds it any more, but its id is taken. */
	spin_lock(&ublk_device_table_lock);
	idr_replace(&ublk_device_table, xa_mk_value(device->serial), id);
	spin_unlock(&ublk_device_table_lock);
	blk_mq_free_tag_set(&device->tags);
	ublk_device_free(device);
	ublk_device_forget(id, counted);
}

static struct ublk_device *ublk_device_alloc(const struct ublksrv_ctrl_dev_info *info)
{
	struct ublk_device *device =
		kzalloc(struct_size(device, queues, info->nr_hw_queues), GFP_KERNEL_ACCOUNT);
	u16 id;

	if (!device)
		return NULL;
	device->info = *info;
	mutex_init(&device->mutex);
	spin_lock_init(&device->daemon_lock);
	init_completion(&device->ready);
	atomic_set(&device->unfetched, info->nr_hw_queues * info->queue_depth);
	ublk_cancel_init(device);
	ublk_disk_init(device);
	INIT_WORK(&device->closing, ublk_device_closing);
	for (id = 0; id < info->nr_hw_queues; id++) {
		device->queues[id] = ublk_queue_alloc(device, id, info->queue_depth);
		if (!device->queues[id]) {
			ublk_device_free(device);
			return NULL;
		}
	}
	return device;
}

/* Its place in the table, where nobody finds it before ublk_device_publish(). */
static int ublk_device_reserve_id(struct ublk_device *device, int id)
{
	bool counted = ublk_device_has(device, UBLK_F_UNPRIVILEGED_DEV);
	int result;

	idr_preload(GFP_KERNEL);
	spin_lock(&ublk_device_table_lock);
	device->serial = ublk_device_next_serial++;
	if (counted && ublk_device_unprivileged_count >= ublks_max)
		result = -EACCES;
	else if (id >= 0)
		result = idr_alloc(&ublk_device_table, NULL, id, id + 1, GFP_NOWAIT);
	else
		result = idr_alloc(&ublk_device_table, NULL, 0, UBLK_MINORS, GFP_NOWAIT);
	if (result >= 0 && counted) {
		device->counted = true;
		ublk_device_unprivileged_count++;
	}
	spin_unlock(&ublk_device_table_lock);
	idr_preload_end();
	if (id >= 0 && result == -ENOSPC)
		result = -EEXIST;
	return result;
}

static int ublk_device_publish(struct ublk_device *device)
{
	int result;

	device->dev.class = ublk_device_char_class;
	device->dev.devt = MKDEV(MAJOR(ublk_device_char_numbers), device->info.dev_id);
	device->dev.release = ublk_device_release;
	device_initialize(&device->dev);
	/* From here on the last put frees everything. */
	result = dev_set_name(&device->dev, "ublkc%u", device->info.dev_id);
	if (!result) {
		cdev_init(&device->cdev, &ublk_char_operations);
		device->cdev.owner = THIS_MODULE;
		result = cdev_device_add(&device->cdev, &device->dev);
	}
	if (result) {
		put_device(&device->dev);
		return result;
	}
	/* For the caller: once it can be found, it can be deleted. */
	get_device(&device->dev);
	spin_lock(&ublk_device_table_lock);
	idr_replace(&ublk_device_table, device, device->info.dev_id);
	spin_unlock(&ublk_device_table_lock);
	return 0;
}

struct ublk_device *ublk_device_add(const struct ublksrv_ctrl_dev_info *info, int id)
{
	struct ublk_device *device = ublk_device_alloc(info);
	int result;

	if (!device)
		return ERR_PTR(-ENOMEM);
	result = ublk_device_reserve_id(device, id);
	if (result < 0) {
		ublk_device_free(device);
		return ERR_PTR(result);
	}
	device->info.dev_id = result;
	result = ublk_disk_tags_init(device);
	if (result) {
		ublk_device_forget(device->info.dev_id, device->counted);
		ublk_device_free(device);
		return ERR_PTR(result);
	}
	result = ublk_device_publish(device);
	return result ? ERR_PTR(result) : device;
}

/* Whether what the table says is there, and then the caller's, too. The lock is held. */
static bool ublk_device_hold(struct ublk_device *device)
{
	return !xa_is_value(device) && kobject_get_unless_zero(&device->dev.kobj);
}

struct ublk_device *ublk_device_get(u32 id)
{
	struct ublk_device *device = NULL;

	spin_lock(&ublk_device_table_lock);
	if (id < UBLK_MINORS)
		device = idr_find(&ublk_device_table, id);
	if (device && !ublk_device_hold(device))
		device = NULL;
	spin_unlock(&ublk_device_table_lock);
	return device;
}

void ublk_device_put(struct ublk_device *device)
{
	put_device(&device->dev);
}

void ublk_device_delete(struct ublk_device *device)
{
	mutex_lock(&device->mutex);
	ublk_disk_stop(device);
	if (test_and_set_bit(UBLK_DEVICE_DELETED, &device->flags)) {
		mutex_unlock(&device->mutex);
		return;
	}
	ublk_device_tell_daemon(device);
	/* Who waits for FETCHes holds the device, and waits no more. */
	complete_all(&device->ready);
	mutex_unlock(&device->mutex);
	ublk_cancel_lost(device);
	cdev_device_del(&device->cdev, &device->dev);
	put_device(&device->dev);
}

static bool ublk_device_gone(u32 id, unsigned long serial)
{
	struct ublk_device *device;
	bool gone;

	spin_lock(&ublk_device_table_lock);
	device = idr_find(&ublk_device_table, id);
	if (xa_is_value(device))
		gone = xa_to_value(device) != serial;
	else
		gone = !device || device->serial != serial;
	spin_unlock(&ublk_device_table_lock);
	return gone;
}

int ublk_device_wait_gone(u32 id, unsigned long serial)
{
	return wait_event_interruptible(ublk_device_gone_queue, ublk_device_gone(id, serial))
		       ? -EINTR
		       : 0;
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

/*
 * LIVE without a daemon cannot stay. The mutex is held. The queues' modes, too: a control command
 * may have let them serve after the daemon's commands were cancelled.
 */
static void ublk_device_lose_daemon(struct ublk_device *device)
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

void ublk_device_tell_daemon(struct ublk_device *device)
{
	if (!test_bit(UBLK_DEVICE_OPEN, &device->flags))
		return;
	set_bit(UBLK_DEVICE_TOLD, &device->flags);
	set_bit(UBLK_DEVICE_LOST, &device->flags);
}

int ublk_device_begin_round(struct ublk_device *device, struct file *file)
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

bool ublk_device_round(struct ublk_device *device, u32 *round)
{
	bool there;

	spin_lock(&device->daemon_lock);
	there = device->file;
	*round = ublk_cancel_this_round(device);
	spin_unlock(&device->daemon_lock);
	return there;
}

/* Nobody has the round's file: no command can come, and there is none, since each has the file. */
static bool ublk_device_round_closed(const struct ublk_device *device)
{
	return device->file && !file_count(device->file);
}

/* No more commands, and the round's number, if it is to be ended. */
static bool ublk_device_close_round(struct ublk_device *device, u32 *round)
{
	bool closed;

	spin_lock(&device->daemon_lock);
	closed = ublk_device_round_closed(device);
	if (closed) {
		set_bit(UBLK_DEVICE_LOST, &device->flags);
		*round = ublk_cancel_this_round(device);
	}
	spin_unlock(&device->daemon_lock);
	return closed;
}

/* The file's release and the work may both come here; the second finds the round ended. */
static void ublk_device_end_this_round(struct ublk_device *device, u32 round)
{
	struct pid *daemon;
	int id;

	mutex_lock(&device->mutex);
	if (ublk_cancel_this_round(device) != round) {
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
	ublk_device_lose_daemon(device);
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

static void ublk_device_end_closed_round(struct ublk_device *device)
{
	u32 round;

	if (!ublk_device_close_round(device, &round))
		return;
	ublk_cancel_say(device);
	ublk_cancel_round(device, round);
	ublk_device_end_this_round(device, round);
}

/* Who waits for the file's release may open the device next: the round is over by then. */
void ublk_device_release_round(struct ublk_device *device, const struct file *file)
{
	bool ending;

	ublk_device_end_closed_round(device);
	spin_lock(&device->daemon_lock);
	ending = device->ending == file;
	spin_unlock(&device->daemon_lock);
	/* A work does it, and has the mutex. Nobody waits for another file's round here. */
	if (ending) {
		mutex_lock(&device->mutex);
		mutex_unlock(&device->mutex);
	}
}

static void ublk_device_closing(struct work_struct *work)
{
	struct ublk_device *device = container_of(work, struct ublk_device, closing);

	ublk_device_end_closed_round(device);
	ublk_device_put(device);
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

int ublk_devices_init(void)
{
	int result = -ENOMEM;

	/* On 6.1 this alone ends a dead daemon's I/O, which reclaim may be waiting for. */
	ublk_watches = alloc_workqueue("ublk_watches", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!ublk_watches)
		return result;
	ublk_endings = alloc_workqueue("ublk_endings", WQ_UNBOUND, 0);
	if (!ublk_endings)
		goto no_endings;
	result = alloc_chrdev_region(&ublk_device_char_numbers, 0, UBLK_MINORS, "ublk-char");
	if (result)
		goto no_numbers;
	ublk_device_char_class = compat_class_create("ublk-char");
	if (!IS_ERR(ublk_device_char_class))
		return 0;
	result = PTR_ERR(ublk_device_char_class);
	unregister_chrdev_region(ublk_device_char_numbers, UBLK_MINORS);
no_numbers:
	destroy_workqueue(ublk_endings);
no_endings:
	destroy_workqueue(ublk_watches);
	return result;
}

static bool ublk_device_none_left(void)
{
	bool none;

	spin_lock(&ublk_device_table_lock);
	none = idr_is_empty(&ublk_device_table);
	spin_unlock(&ublk_device_table_lock);
	return none;
}

/* The first device from this id on, which is the caller's, too; NULL: none. */
static struct ublk_device *ublk_device_next(int *id)
{
	struct ublk_device *device;

	spin_lock(&ublk_device_table_lock);
	for (;; ++*id) {
		device = idr_get_next(&ublk_device_table, id);
		if (!device || ublk_device_hold(device))
			break;
	}
	spin_unlock(&ublk_device_table_lock);
	return device;
}

/* Nobody has a device open, or the module could not be removed. */
void ublk_devices_exit(void)
{
	struct ublk_device *device;
	int id = 0;

	for (device = ublk_device_next(&id); device; device = ublk_device_next(&id)) {
		ublk_device_delete(device);
		ublk_device_put(device);
		id++;
	}
	wait_event(ublk_device_gone_queue, ublk_device_none_left());
	/*
	 * Who freed the last id has yet to leave this module's code: the closer of a disk pins no
	 * module.
	 */
	synchronize_rcu_tasks();
	idr_destroy(&ublk_device_table);
	class_destroy(ublk_device_char_class);
	unregister_chrdev_region(ublk_device_char_numbers, UBLK_MINORS);
	destroy_workqueue(ublk_endings);
	destroy_workqueue(ublk_watches);
}
