// SPDX-License-Identifier: GPL-2.0
/* devices.c - making, finding, ending devices. */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "cancel.h"
#include "char.h"
#include "compat.h"
#include "devices.h"
#include "disk.h"
#include "round.h"

static unsigned int ublks_max = 64;
module_param(ublks_max, uint, 0644);
MODULE_PARM_DESC(ublks_max, "most devices of unprivileged users at a time (default 64)");

/*
 * In the table: a device that is not there yet (NULL, which only the table knows from a free id),
 * is there, or is being freed (its serial, as a value).
 */
static DEFINE_IDR(ublk_devices_table);
static DEFINE_SPINLOCK(ublk_devices_table_lock); /* the table, the count, the serials */
static unsigned int ublk_devices_unprivileged_count;
static unsigned long ublk_devices_next_serial;
static DECLARE_WAIT_QUEUE_HEAD(ublk_devices_gone_queue);
static struct class *ublk_devices_char_class;
static dev_t ublk_devices_char_numbers;

static void ublk_devices_free(struct ublk_device *device)
{
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++)
		ublk_queue_free(device->queues[id]);
	kfree(device);
}

/* Frees the id, which is what the module's end waits for: nothing is done after it. */
static void ublk_devices_forget(u32 id, bool counted)
{
	spin_lock(&ublk_devices_table_lock);
	idr_remove(&ublk_devices_table, id);
	if (counted)
		ublk_devices_unprivileged_count--;
	wake_up_all(&ublk_devices_gone_queue);
	spin_unlock(&ublk_devices_table_lock);
}

/* The last put. */
static void ublk_devices_release(struct device *dev)
{
	struct ublk_device *device = container_of(dev, struct ublk_device, dev);
	bool counted = device->counted;
	u32 id = device->info.dev_id;

	/* Nobody finds it any more, but its id is taken. */
	spin_lock(&ublk_devices_table_lock);
	idr_replace(&ublk_devices_table, xa_mk_value(device->serial), id);
	spin_unlock(&ublk_devices_table_lock);
	blk_mq_free_tag_set(&device->tags);
	ublk_devices_free(device);
	ublk_devices_forget(id, counted);
}

static struct ublk_device *ublk_devices_alloc(const struct ublksrv_ctrl_dev_info *info)
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
	ublk_round_init(device);
	for (id = 0; id < info->nr_hw_queues; id++) {
		device->queues[id] = ublk_queue_alloc(device, id, info->queue_depth);
		if (!device->queues[id]) {
			ublk_devices_free(device);
			return NULL;
		}
	}
	return device;
}

/* Its place in the table, where nobody finds it before ublk_devices_publish(). */
static int ublk_devices_reserve_id(struct ublk_device *device, int id)
{
	bool counted = ublk_device_has(device, UBLK_F_UNPRIVILEGED_DEV);
	int result;

	idr_preload(GFP_KERNEL);
	spin_lock(&ublk_devices_table_lock);
	device->serial = ublk_devices_next_serial++;
	if (counted && ublk_devices_unprivileged_count >= ublks_max)
		result = -EACCES;
	else if (id >= 0)
		result = idr_alloc(&ublk_devices_table, NULL, id, id + 1, GFP_NOWAIT);
	else
		result = idr_alloc(&ublk_devices_table, NULL, 0, UBLK_MINORS, GFP_NOWAIT);
	if (result >= 0 && counted) {
		device->counted = true;
		ublk_devices_unprivileged_count++;
	}
	spin_unlock(&ublk_devices_table_lock);
	idr_preload_end();
	if (id >= 0 && result == -ENOSPC)
		result = -EEXIST;
	return result;
}

static int ublk_devices_publish(struct ublk_device *device)
{
	int result;

	device->dev.class = ublk_devices_char_class;
	device->dev.devt = MKDEV(MAJOR(ublk_devices_char_numbers), device->info.dev_id);
	device->dev.release = ublk_devices_release;
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
	spin_lock(&ublk_devices_table_lock);
	idr_replace(&ublk_devices_table, device, device->info.dev_id);
	spin_unlock(&ublk_devices_table_lock);
	return 0;
}

struct ublk_device *ublk_devices_add(const struct ublksrv_ctrl_dev_info *info, int id)
{
	struct ublk_device *device = ublk_devices_alloc(info);
	int result;

	if (!device)
		return ERR_PTR(-ENOMEM);
	result = ublk_devices_reserve_id(device, id);
	if (result < 0) {
		ublk_devices_free(device);
		return ERR_PTR(result);
	}
	device->info.dev_id = result;
	result = ublk_disk_tags_init(device);
	if (result) {
		ublk_devices_forget(device->info.dev_id, device->counted);
		ublk_devices_free(device);
		return ERR_PTR(result);
	}
	result = ublk_devices_publish(device);
	return result ? ERR_PTR(result) : device;
}

/* Whether what the table says is there, and then the caller's, too. The lock is held. */
static bool ublk_devices_hold(struct ublk_device *device)
{
	return !xa_is_value(device) && kobject_get_unless_zero(&device->dev.kobj);
}

struct ublk_device *ublk_devices_get(u32 id)
{
	struct ublk_device *device = NULL;

	spin_lock(&ublk_devices_table_lock);
	if (id < UBLK_MINORS)
		device = idr_find(&ublk_devices_table, id);
	if (device && !ublk_devices_hold(device))
		device = NULL;
	spin_unlock(&ublk_devices_table_lock);
	return device;
}

void ublk_devices_delete(struct ublk_device *device)
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

static bool ublk_devices_gone(u32 id, unsigned long serial)
{
	struct ublk_device *device;
	bool gone;

	spin_lock(&ublk_devices_table_lock);
	device = idr_find(&ublk_devices_table, id);
	if (xa_is_value(device))
		gone = xa_to_value(device) != serial;
	else
		gone = !device || device->serial != serial;
	spin_unlock(&ublk_devices_table_lock);
	return gone;
}

int ublk_devices_wait_gone(u32 id, unsigned long serial)
{
	return wait_event_interruptible(ublk_devices_gone_queue, ublk_devices_gone(id, serial))
		       ? -EINTR
		       : 0;
}

int ublk_devices_init(void)
{
	int result = ublk_device_works_init();

	if (result)
		return result;
	result = alloc_chrdev_region(&ublk_devices_char_numbers, 0, UBLK_MINORS, "ublk-char");
	if (result)
		goto no_numbers;
	ublk_devices_char_class = compat_class_create("ublk-char");
	if (!IS_ERR(ublk_devices_char_class))
		return 0;
	result = PTR_ERR(ublk_devices_char_class);
	unregister_chrdev_region(ublk_devices_char_numbers, UBLK_MINORS);
no_numbers:
	ublk_device_works_exit();
	return result;
}

static bool ublk_devices_none_left(void)
{
	bool none;

	spin_lock(&ublk_devices_table_lock);
	none = idr_is_empty(&ublk_devices_table);
	spin_unlock(&ublk_devices_table_lock);
	return none;
}

/* The first device from this id on, which is the caller's, too; NULL: none. */
static struct ublk_device *ublk_devices_next(int *id)
{
	struct ublk_device *device;

	spin_lock(&ublk_devices_table_lock);
	for (;; ++*id) {
		device = idr_get_next(&ublk_devices_table, id);
		if (!device || ublk_devices_hold(device))
			break;
	}
	spin_unlock(&ublk_devices_table_lock);
	return device;
}

/* Nobody has a device open, or the module could not be removed. */
void ublk_devices_exit(void)
{
	struct ublk_device *device;
	int id = 0;

	for (device = ublk_devices_next(&id); device; device = ublk_devices_next(&id)) {
		ublk_devices_delete(device);
		ublk_device_put(device);
		id++;
	}
	wait_event(ublk_devices_gone_queue, ublk_devices_none_left());
	/*
	 * Who freed the last id has yet to leave this module's code: the closer of a disk pins no
	 * module.
	 */
	synchronize_rcu_tasks();
	idr_destroy(&ublk_devices_table);
	class_destroy(ublk_devices_char_class);
	unregister_chrdev_region(ublk_devices_char_numbers, UBLK_MINORS);
	ublk_device_works_exit();
}
