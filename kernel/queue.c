// SPDX-License-Identifier: GPL-2.0
/* queue.c - memory and rounds of a queue; what its slots do is in command.c and cancel.c. */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "queue.h"

size_t ublk_queue_descs_bytes(u16 depth)
{
	return PAGE_ALIGN((size_t)depth * sizeof(struct ublksrv_io_desc));
}

struct ublk_queue *ublk_queue_alloc(struct ublk_device *device, u16 id, u16 depth)
{
	struct ublk_queue *queue = kvzalloc(struct_size(queue, slots, depth), GFP_KERNEL_ACCOUNT);

	if (!queue)
		return NULL;
	queue->descs = alloc_pages_exact(ublk_queue_descs_bytes(depth),
					 GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
	if (!queue->descs) {
		kvfree(queue);
		return NULL;
	}
	spin_lock_init(&queue->lock);
	queue->mode = UBLK_QUEUE_FAIL;
	queue->id = id;
	queue->depth = depth;
	queue->device = device;
	return queue;
}

void ublk_queue_free(struct ublk_queue *queue)
{
	if (!queue)
		return;
	free_pages_exact(queue->descs, ublk_queue_descs_bytes(queue->depth));
	kvfree(queue);
}

void ublk_queue_end_round(struct ublk_queue *queue)
{
	struct task_struct *task;
	u16 tag;

	for (tag = 0; tag < queue->depth; tag++) {
		spin_lock(&queue->lock);
		task = queue->slots[tag].task;
		WRITE_ONCE(queue->slots[tag].task, NULL);
		queue->slots[tag].buffer = 0;
		spin_unlock(&queue->lock);
		if (task)
			put_task_struct(task);
	}
	spin_lock(&queue->lock);
	WRITE_ONCE(queue->round, queue->round + 1);
	spin_unlock(&queue->lock);
}

void ublk_queue_set_mode(struct ublk_queue *queue, enum ublk_queue_mode mode)
{
	spin_lock(&queue->lock);
	queue->mode = mode;
	spin_unlock(&queue->lock);
}
