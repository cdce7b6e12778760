// SPDX-License-Identifier: GPL-2.0
/* char.c - file operations of /dev/ublkcN. */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/uio.h>

#include "cancel.h"
#include "char.h"
#include "command.h"
#include "compat.h"
#include "copy.h"
#include "request.h"
#include "round.h"

static int ublk_char_open(struct inode *inode, struct file *file)
{
	struct ublk_device *device = container_of(inode->i_cdev, struct ublk_device, cdev);
	int result = ublk_round_begin(device, file);

	if (result)
		return result;
	get_device(&device->dev);
	file->private_data = device;
	ublk_cancel_watch(device);
	return 0;
}

/* Runs in the closing task, a dying one too: then it is the first to know. */
static int ublk_char_flush(struct file *file, fl_owner_t owner)
{
	if (current->flags & PF_EXITING)
		ublk_cancel_suspect(file->private_data, false);
	return 0;
}

/*
 * No command is left and no mapping; requests that the daemon had may be, unless a work ended the
 * round.
 */
static int ublk_char_release(struct inode *inode, struct file *file)
{
	struct ublk_device *device = file->private_data;

	ublk_round_release(device, file);
	ublk_device_put(device);
	return 0;
}

/* One process maps, each queue's area whole and for reading. */
static int ublk_char_mmap_check(struct ublk_device *device, struct vm_area_struct *area)
{
	int result = 0;

	if (area->vm_flags & VM_WRITE)
		return -EPERM;
	if (area->vm_end - area->vm_start != ublk_queue_descs_bytes(device->info.queue_depth))
		return -EINVAL;
	spin_lock(&device->daemon_lock);
	if (!device->mm)
		device->mm = current->mm;
	else if (device->mm != current->mm)
		result = -EINVAL;
	spin_unlock(&device->daemon_lock);
	return result;
}

static int ublk_char_mmap(struct file *file, struct vm_area_struct *area)
{
	struct ublk_device *device = file->private_data;
	const unsigned long stride_bytes = ublk_queue_descs_bytes(UBLK_MAX_QUEUE_DEPTH);
	unsigned long offset_bytes = area->vm_pgoff << PAGE_SHIFT;
	unsigned long id = offset_bytes / stride_bytes;
	unsigned long pfn;
	int result;

	if (area->vm_pgoff > ULONG_MAX >> PAGE_SHIFT || offset_bytes % stride_bytes ||
	    id >= device->info.nr_hw_queues)
		return -EINVAL;
	result = ublk_char_mmap_check(device, area);
	if (result)
		return result;
	id = array_index_nospec(id, device->info.nr_hw_queues);
	compat_vm_never_writable(area);
	pfn = virt_to_phys(device->queues[id]->descs) >> PAGE_SHIFT;
	return remap_pfn_range(area, area->vm_start, pfn, area->vm_end - area->vm_start,
			       area->vm_page_prot);
}

/* Which slot a USER_COPY position means, and where in its data. NULL: none. */
static struct ublk_slot *ublk_char_slot_at(struct ublk_device *device, loff_t position,
					   struct ublk_queue **queue, size_t *offset_bytes)
{
	u64 at = position - UBLKSRV_IO_BUF_OFFSET;
	u16 id = at >> UBLK_QID_OFF & (BIT(UBLK_QID_BITS) - 1);
	u16 tag = at >> UBLK_TAG_OFF & (BIT(UBLK_TAG_BITS) - 1);

	if (position < UBLKSRV_IO_BUF_OFFSET || at >> (UBLK_QID_OFF + UBLK_QID_BITS) ||
	    id >= device->info.nr_hw_queues || tag >= device->info.queue_depth)
		return NULL;
	id = array_index_nospec(id, device->info.nr_hw_queues);
	tag = array_index_nospec(tag, device->info.queue_depth);
	*queue = device->queues[id];
	*offset_bytes = at & (BIT(UBLK_IO_BUF_BITS) - 1);
	return &(*queue)->slots[tag];
}

/* A daemon reads the data of a WRITE and writes that of a READ. The lock is held. */
static bool ublk_char_copy_allowed(const struct ublk_slot *slot, size_t offset_bytes,
				   enum req_op operation)
{
	return slot->state == UBLK_SLOT_OWNED && slot->pins < U16_MAX &&
	       req_op(slot->request) == operation && offset_bytes <= blk_rq_bytes(slot->request);
}

static ssize_t ublk_char_copy(struct kiocb *kiocb, struct iov_iter *iter, enum req_op operation)
{
	struct ublk_device *device = kiocb->ki_filp->private_data;
	struct ublk_remains remains;
	struct request *request;
	struct ublk_queue *queue;
	struct ublk_slot *slot;
	size_t offset_bytes, done_bytes;

	if (ublk_device_copies(device))
		return -EACCES;
	slot = ublk_char_slot_at(device, kiocb->ki_pos, &queue, &offset_bytes);
	if (!slot)
		return -EINVAL;
	spin_lock(&queue->lock);
	if (!ublk_char_copy_allowed(slot, offset_bytes, operation)) {
		spin_unlock(&queue->lock);
		return -EINVAL;
	}
	request = ublk_slot_pin(slot);
	spin_unlock(&queue->lock);
	done_bytes = ublk_copy_iter(request, offset_bytes, iter);
	spin_lock(&queue->lock);
	remains = ublk_cancel_unpin(queue, slot);
	spin_unlock(&queue->lock);
	if (remains.request)
		ublk_request_fail(remains.request);
	if (!done_bytes && iov_iter_count(iter))
		return -EFAULT;
	kiocb->ki_pos += done_bytes;
	return done_bytes;
}

static ssize_t ublk_char_read_iter(struct kiocb *kiocb, struct iov_iter *iter)
{
	return ublk_char_copy(kiocb, iter, REQ_OP_WRITE);
}

static ssize_t ublk_char_write_iter(struct kiocb *kiocb, struct iov_iter *iter)
{
	return ublk_char_copy(kiocb, iter, REQ_OP_READ);
}

const struct file_operations ublk_char_operations = {
	.owner = THIS_MODULE,
	.open = ublk_char_open,
	.flush = ublk_char_flush,
	.release = ublk_char_release,
	.mmap = ublk_char_mmap,
	.read_iter = ublk_char_read_iter,
	.write_iter = ublk_char_write_iter,
	.uring_cmd = ublk_command_issue,
	.llseek = noop_llseek,
};
