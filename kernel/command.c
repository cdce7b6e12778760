// SPDX-License-Identifier: GPL-2.0
/* command.c - one function per command, and the delivery in between. */
#include <linux/capability.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "cancel.h"
#include "command.h"
#include "compat.h"
#include "copy.h"
#include "device.h"
#include "request.h"

/* A command's private area while a slot holds it: where it is. */
struct ublk_command_place {
	struct ublk_queue *queue;
	u16 tag;
};

static struct ublk_command_place *ublk_command_place(struct io_uring_cmd *command)
{
	BUILD_BUG_ON(sizeof(struct ublk_command_place) > sizeof(command->pdu));
	return (struct ublk_command_place *)command->pdu;
}

/* The SQE is shared with userspace: each field is read once, here. */
struct ublk_operands {
	struct ublk_queue *queue;
	struct ublk_slot *slot;
	u16 tag;
	s32 result;
	u64 buffer;
};

/* --- from the block layer to the daemon ------------------------------------------------------- */

/* This is the daemon's own task, and it will go on: its memory may be copied from and to. */
static bool ublk_command_in_daemon(const struct ublk_slot *slot)
{
	return current == slot->task && !(current->flags & PF_EXITING) && current->mm;
}

/*
 * The daemon does not get the request, and its command goes on waiting: it was killed, or its
 * buffer is no memory that can be written.
 */
#define UBLK_NOT_DELIVERED (-EINTR)
#define UBLK_UNWRITABLE	   (-EFAULT)

/*
 * What a killed task was at is broken off: a copy ends early, a system call is interrupted. That
 * says something about the task, and nothing about the request, which has the fate of a lost
 * daemon's. The group is marked before its tasks have the signal, and after they took it from the
 * list.
 */
static bool ublk_command_broken_off(void)
{
	return fatal_signal_pending(current) || ublk_cancel_dying(current);
}

/*
 * Copies a WRITE's data with the slot pinned; the lock is held, released, and held again. A buffer
 * that cannot be written now will not be later, so trying again would never end: the request fails,
 * unless the copy was broken off. *failed is to be failed once the lock is released.
 */
static int ublk_command_deliver_data(struct ublk_queue *queue, struct ublk_slot *slot,
				     struct request **failed) __must_hold(&queue->lock)
{
	struct request *request = ublk_slot_pin(slot);
	struct ublk_remains remains;
	u64 buffer = slot->buffer;
	bool whole;

	spin_unlock(&queue->lock);
	whole = ublk_copy_to_user(request, buffer, blk_rq_bytes(request)) == blk_rq_bytes(request);
	spin_lock(&queue->lock);
	remains = ublk_cancel_unpin(queue, slot);
	*failed = remains.request;
	if (remains.command)
		return UBLK_IO_RES_ABORT;
	if (whole)
		return UBLK_IO_RES_OK;
	if (ublk_command_broken_off()) {
		*failed = ublk_cancel_take(queue, slot, UBLK_SLOT_PARKED);
		return UBLK_NOT_DELIVERED;
	}
	*failed = ublk_slot_release(slot, UBLK_SLOT_PARKED);
	return UBLK_UNWRITABLE;
}

/* No lock is held. */
static void ublk_command_say(const struct ublk_queue *queue, const char *what)
{
	dev_warn_ratelimited(&queue->device->dev, "%s\n", what);
}

static bool ublk_command_needs_copy(const struct ublk_queue *queue, const struct request *request)
{
	return req_op(request) == REQ_OP_WRITE && ublk_device_copies(queue->device);
}

/* In another task than the daemon: nobody will serve this slot. The lock is held. */
static int ublk_command_deliver_to_nobody(struct ublk_queue *queue, struct ublk_slot *slot,
					  struct request **failed)
{
	slot->command = NULL;
	if (slot->state == UBLK_SLOT_SENDING)
		*failed = ublk_cancel_take(queue, slot, UBLK_SLOT_EMPTY);
	else
		ublk_slot_move(slot, UBLK_SLOT_EMPTY);
	ublk_cancel_suspect(queue->device, true);
	return UBLK_IO_RES_ABORT;
}

/* The lock is held. */
static int ublk_command_deliver_to_daemon(struct ublk_queue *queue, struct ublk_slot *slot,
					  struct request **failed)
{
	int result = UBLK_IO_RES_OK;

	if (ublk_command_needs_copy(queue, slot->request)) {
		if (ublk_device_has(queue->device, UBLK_F_NEED_GET_DATA))
			result = UBLK_IO_RES_NEED_GET_DATA;
		else
			result = ublk_command_deliver_data(queue, slot, failed);
	}
	if (unlikely(result < 0))
		return result;
	slot->command = NULL;
	ublk_slot_move(slot, result == UBLK_IO_RES_OK ? UBLK_SLOT_OWNED : UBLK_SLOT_ASKED);
	return result;
}

/* The lock is held, and released. */
static void ublk_command_deliver_slot(struct ublk_queue *queue, struct ublk_slot *slot,
				      unsigned int issue_flags) __releases(&queue->lock)
{
	struct io_uring_cmd *command = slot->command;
	struct request *failed = NULL;
	int result;

	if (likely(slot->state == UBLK_SLOT_SENDING && ublk_command_in_daemon(slot)))
		result = ublk_command_deliver_to_daemon(queue, slot, &failed);
	else
		result = ublk_command_deliver_to_nobody(queue, slot, &failed);
	spin_unlock(&queue->lock);
	if (unlikely(result == UBLK_UNWRITABLE))
		ublk_command_say(queue, "a WRITE fails: the daemon's buffer cannot be written");
	else if (likely(result != UBLK_NOT_DELIVERED))
		compat_command_done(command, result, issue_flags);
	if (unlikely(failed))
		ublk_request_fail(failed);
}

/*
 * The batch is closed before its first slot is at hand, so nobody joins any more. A slot behind has
 * its command until its turn comes, which holds the device; behind the last nothing does.
 */
static void ublk_command_deliver(struct io_uring_cmd *command, unsigned int issue_flags)
{
	struct ublk_queue *queue = ublk_command_place(command)->queue;
	struct ublk_slot *slot = ublk_queue_slot(queue, ublk_command_place(command)->tag);
	struct ublk_slot *next;

	spin_lock(&queue->lock);
	if (queue->batch.first == slot)
		queue->batch = (struct ublk_batch){};
	for (;;) {
		next = slot->next;
		ublk_command_deliver_slot(queue, slot, issue_flags);
		if (!next)
			return;
		slot = next;
		cond_resched();
		spin_lock(&queue->lock);
	}
}

COMPAT_TASK_WORK(ublk_command_deliver_work, ublk_command_deliver)

/*
 * Under the lock: a cancelled command would be gone once it is released. Task work of a task that
 * exits may lie in its ring until more is sent there: nobody joins it.
 */
static void ublk_command_send(struct ublk_queue *queue, struct ublk_slot *slot)
{
	struct ublk_slot *last = queue->batch.last;

	slot->next = NULL;
	ublk_slot_move(slot, UBLK_SLOT_SENDING);
	queue->batch.last = slot;
	if (last && last->task == slot->task && !(READ_ONCE(slot->task->flags) & PF_EXITING) &&
	    compat_command_ring(last->command) == compat_command_ring(slot->command)) {
		last->next = slot;
		return;
	}
	queue->batch.first = slot;
	io_uring_cmd_complete_in_task(slot->command, ublk_command_deliver_work);
}

/* Nobody serves the tag just now: no answer for the block layer, but one for who called. */
#define UBLK_NO_DAEMON BLK_STS_RESOURCE

/*
 * With the lock held: starts the request and sends it to the daemon. Where it does not, nothing was
 * done.
 */
static blk_status_t ublk_command_queue_to_daemon(struct ublk_queue *queue, struct request *request)
{
	struct ublk_slot *slot = ublk_queue_slot(queue, request->tag);

	if (unlikely(queue->mode != UBLK_QUEUE_SERVE || slot->state != UBLK_SLOT_PARKED))
		return UBLK_NO_DAEMON;
	if (unlikely(ublk_request_describe(request, slot->buffer, &queue->descs[request->tag])))
		return BLK_STS_IOERR;
	compat_request_start(request);
	slot->request = request;
	ublk_command_send(queue, slot);
	return BLK_STS_OK;
}

/* With the lock held. */
static blk_status_t ublk_command_queue_without_daemon(struct ublk_queue *queue,
						      struct request *request)
{
	compat_request_start(request);
	return ublk_cancel_keep(queue, request) ? BLK_STS_IOERR : BLK_STS_OK;
}

blk_status_t ublk_command_queue(struct ublk_queue *queue, struct request *request)
{
	blk_status_t status;

	spin_lock(&queue->lock);
	status = ublk_command_queue_to_daemon(queue, request);
	if (unlikely(status == UBLK_NO_DAEMON))
		status = ublk_command_queue_without_daemon(queue, request);
	spin_unlock(&queue->lock);
	return status;
}

/* Sends those of one queue, `request` first; returns the next, which is another's, or NULL. */
static struct request *ublk_command_queue_list_of_one(struct request *request,
						      struct rq_list *requests,
						      struct rq_list *left)
{
	struct ublk_queue *queue = request->mq_hctx->driver_data;

	spin_lock(&queue->lock);
	do {
		if (unlikely(ublk_command_queue_to_daemon(queue, request) != BLK_STS_OK))
			compat_list_add(left, request);
		request = compat_list_pop(requests);
	} while (request && request->mq_hctx->driver_data == queue);
	spin_unlock(&queue->lock);
	return request;
}

void ublk_command_queue_list(struct rq_list *requests)
{
	struct request *request = compat_list_pop(requests);
	struct rq_list left = {};

	while (request)
		request = ublk_command_queue_list_of_one(request, requests, &left);
	*requests = left;
}

/*
 * --- from the daemon ----------------------------------------------------------------------------
 */

/* Which buffers a command may name: one per tag, none with USER_COPY. */
static bool ublk_command_buffer_allowed(const struct ublk_device *device, u64 buffer)
{
	if (!ublk_device_copies(device))
		return !buffer;
	return buffer || ublk_device_has(device, UBLK_F_NEED_GET_DATA);
}

/*
 * Puts the command into the slot; the lock is held. From now on anybody may complete it. Returns
 * the request that the slot had, or NULL.
 */
static struct request *ublk_command_park(struct ublk_slot *slot, struct io_uring_cmd *command,
					 u64 buffer)
{
	slot->command = command;
	slot->buffer = buffer;
	return ublk_slot_release(slot, UBLK_SLOT_PARKED);
}

/* A tag's first FETCH decides about its task. */
static int ublk_command_fetch_check(const struct ublk_queue *queue, const struct ublk_slot *slot)
{
	const struct ublk_device *device = queue->device;
	u16 state = READ_ONCE(device->info.state);

	if (test_bit(UBLK_DEVICE_LOST, &device->flags))
		return -ENODEV;
	if (state == UBLK_S_DEV_LIVE || slot->state != UBLK_SLOT_EMPTY || slot->task)
		return -EBUSY;
	return 0;
}

/* All tags of a device are fetched by one process, which is then its daemon. */
static int ublk_command_fetch_claim_process(struct ublk_device *device)
{
	int result = 0;

	spin_lock(&device->daemon_lock);
	if (!device->daemon)
		device->daemon = get_pid(task_tgid(current));
	else if (device->daemon != task_tgid(current))
		result = -EINVAL;
	spin_unlock(&device->daemon_lock);
	return result;
}

static int ublk_command_fetch(const struct ublk_operands *operands, struct io_uring_cmd *command,
			      unsigned int issue_flags)
{
	struct ublk_queue *queue = operands->queue;
	struct ublk_slot *slot = operands->slot;
	struct ublk_device *device = queue->device;
	int result;

	if (!ublk_command_buffer_allowed(device, operands->buffer))
		return -EINVAL;
	result = ublk_command_fetch_claim_process(device);
	if (result)
		return result;
	spin_lock(&queue->lock);
	result = ublk_command_fetch_check(queue, slot);
	if (result) {
		spin_unlock(&queue->lock);
		return result;
	}
	WRITE_ONCE(slot->task, get_task_struct(current));
	spin_unlock(&queue->lock);

	if (!capable(CAP_SYS_ADMIN))
		set_bit(UBLK_DEVICE_UNTRUSTED, &device->flags);

	compat_command_cancelable(command, issue_flags);
	/* Once parked and unlocked the command may end, and with it the last hold on the device. */
	spin_lock(&queue->lock);
	ublk_command_park(slot, command, operands->buffer);
	if (atomic_dec_and_test(&device->unfetched))
		complete_all(&device->ready);
	spin_unlock(&queue->lock);
	return -EIOCBQUEUED;
}

/*
 * A READ's data, from the buffer that the COMMIT names; returns the new result. The slot stays
 * pinned for its caller, who takes the lock anyway; not where it was cancelled already. -EBUSY when
 * somebody else has it pinned.
 */
static int ublk_command_commit_data(struct ublk_queue *queue, struct ublk_slot *slot, u64 buffer,
				    int result, bool *pinned)
{
	struct request *request;
	int want_bytes;

	spin_lock(&queue->lock);
	if (!ublk_slot_committable(slot) || slot->pins) {
		if (slot->pins)
			result = -EBUSY;
		spin_unlock(&queue->lock);
		return result;
	}
	request = ublk_slot_pin(slot);
	spin_unlock(&queue->lock);
	*pinned = true;
	want_bytes = min_t(unsigned int, result, blk_rq_bytes(request));
	result = ublk_copy_from_user(request, buffer, want_bytes);
	if (unlikely(result < want_bytes && !ublk_command_broken_off()))
		ublk_command_say(queue,
				 "a READ's data ends early: the daemon's buffer cannot be read");
	return result;
}

/*
 * A COMMIT that came too late, while somebody else copies, or broken off. The lock is held, and
 * released.
 */
static int ublk_command_commit_refuse(struct ublk_queue *queue, const struct ublk_slot *slot,
				      struct io_uring_cmd *command, unsigned int issue_flags,
				      struct request *failed) __releases(&queue->lock)
{
	int result = ublk_slot_committable(slot) ? -EBUSY : UBLK_IO_RES_ABORT;

	spin_unlock(&queue->lock);
	/* First, as in ublk_cancel_round(). */
	if (failed)
		ublk_request_fail(failed);
	compat_command_done(command, result, issue_flags);
	return -EIOCBQUEUED;
}

/*
 * The task was checked, so no other COMMIT runs; but a cancel may take the slot until the lock is
 * held. By then the ring may know of the command, so it is completed, not refused.
 */
static int ublk_command_commit(const struct ublk_operands *operands, struct io_uring_cmd *command,
			       unsigned int issue_flags)
{
	struct ublk_queue *queue = operands->queue;
	struct ublk_slot *slot = operands->slot;
	struct ublk_remains remains = {};
	struct request *request;
	int result = operands->result;
	bool brings_data, pinned = false;

	if (!ublk_slot_committable(slot) ||
	    !ublk_command_buffer_allowed(queue->device, operands->buffer))
		return -EINVAL;
	if (READ_ONCE(slot->pins))
		return -EBUSY;
	brings_data = ublk_device_copies(queue->device) &&
		      (queue->descs[operands->tag].op_flags & 0xff) == UBLK_IO_OP_READ;
	if (brings_data && !operands->buffer)
		return -EINVAL;
	if (brings_data && result > 0) {
		result = ublk_command_commit_data(queue, slot, operands->buffer, result, &pinned);
		if (result < 0)
			return result;
	}
	compat_command_cancelable(command, issue_flags);

	spin_lock(&queue->lock);
	if (pinned)
		remains = ublk_cancel_unpin(queue, slot);
	if (unlikely(!ublk_slot_committable(slot) || slot->pins ||
		     (ublk_request_fails(slot->request, result) && ublk_command_broken_off())))
		return ublk_command_commit_refuse(queue, slot, command, issue_flags,
						  remains.request);
	request = ublk_command_park(slot, command, operands->buffer);
	spin_unlock(&queue->lock);
	ublk_request_end(request, result);
	return -EIOCBQUEUED;
}

static int ublk_command_get_data(const struct ublk_operands *operands)
{
	struct ublk_queue *queue = operands->queue;
	struct ublk_slot *slot = operands->slot;
	struct ublk_remains remains;
	struct request *request;
	bool whole;

	if (!ublk_device_has(queue->device, UBLK_F_NEED_GET_DATA) || !operands->buffer)
		return -EINVAL;
	spin_lock(&queue->lock);
	if (slot->state != UBLK_SLOT_ASKED || slot->pins) {
		spin_unlock(&queue->lock);
		return -EINVAL;
	}
	request = ublk_slot_pin(slot);
	spin_unlock(&queue->lock);
	whole = ublk_copy_to_user(request, operands->buffer, blk_rq_bytes(request)) ==
		blk_rq_bytes(request);
	spin_lock(&queue->lock);
	remains = ublk_cancel_unpin(queue, slot);
	if (slot->state == UBLK_SLOT_ASKED && whole) {
		slot->buffer = operands->buffer;
		queue->descs[operands->tag].addr = operands->buffer;
		ublk_slot_move(slot, UBLK_SLOT_OWNED);
	}
	spin_unlock(&queue->lock);
	if (remains.request)
		ublk_request_fail(remains.request);
	return whole ? UBLK_IO_RES_OK : -EFAULT;
}

/* Bounds first, before anything is indexed. Without a slot: there is none of this number. */
static struct ublk_operands ublk_command_read_operands(const struct ublk_device *device,
						       struct io_uring_cmd *command)
{
	const struct ublksrv_io_cmd *payload = compat_command_payload(command);
	u16 queue_id = READ_ONCE(payload->q_id);
	u16 tag = READ_ONCE(payload->tag);
	struct ublk_queue *queue;

	if (queue_id >= device->info.nr_hw_queues || tag >= device->info.queue_depth)
		return (struct ublk_operands){};
	queue_id = array_index_nospec(queue_id, device->info.nr_hw_queues);
	tag = array_index_nospec(tag, device->info.queue_depth);
	queue = device->queues[queue_id];
	return (struct ublk_operands){
		.queue = queue,
		.slot = ublk_queue_slot(queue, tag),
		.tag = tag,
		.result = READ_ONCE(payload->result),
		.buffer = READ_ONCE(payload->addr),
	};
}

/* The same command as an ioctl code, or as the bare number. */
static int ublk_command_read_opcode(struct io_uring_cmd *command)
{
	u32 code = READ_ONCE(command->cmd_op);

	switch (code) {
	case UBLK_U_IO_FETCH_REQ:
	case UBLK_U_IO_COMMIT_AND_FETCH_REQ:
	case UBLK_U_IO_NEED_GET_DATA:
	case _IOC_NR(UBLK_U_IO_FETCH_REQ):
	case _IOC_NR(UBLK_U_IO_COMMIT_AND_FETCH_REQ):
	case _IOC_NR(UBLK_U_IO_NEED_GET_DATA):
		return _IOC_NR(code);
	}
	return -EOPNOTSUPP;
}

static int ublk_command_issue_here(struct io_uring_cmd *command, unsigned int issue_flags)
{
	struct ublk_device *device = command->file->private_data;
	struct ublk_operands operands;
	int opcode;

	opcode = ublk_command_read_opcode(command);
	if (unlikely(opcode < 0))
		return opcode;
	operands = ublk_command_read_operands(device, command);
	if (unlikely(!operands.slot))
		return -EINVAL;
	*ublk_command_place(command) = (struct ublk_command_place){ operands.queue, operands.tag };
	if (opcode == _IOC_NR(UBLK_U_IO_FETCH_REQ))
		return ublk_command_fetch(&operands, command, issue_flags);
	/* The copy would happen in the wrong memory. */
	if (unlikely(READ_ONCE(operands.slot->task) != current))
		return -EINVAL;
	if (opcode == _IOC_NR(UBLK_U_IO_NEED_GET_DATA))
		return ublk_command_get_data(&operands);
	return ublk_command_commit(&operands, command, issue_flags);
}

/* The ring tells that it goes, in a dying task or in a kworker: the daemon is gone. */
static int ublk_command_cancel_notice(struct io_uring_cmd *command, unsigned int issue_flags)
{
	struct ublk_queue *queue = ublk_command_place(command)->queue;
	struct ublk_slot *slot = ublk_queue_slot(queue, ublk_command_place(command)->tag);
	bool parked;

	ublk_cancel_suspect(queue->device, true);
	spin_lock(&queue->lock);
	parked = slot->state == UBLK_SLOT_PARKED && slot->command == command;
	if (parked) {
		slot->command = NULL;
		ublk_slot_move(slot, UBLK_SLOT_EMPTY);
	}
	spin_unlock(&queue->lock);
	/* One whose request has started is completed by the task work that delivers that. */
	if (parked)
		compat_command_done(command, UBLK_IO_RES_ABORT, issue_flags);
	return 0;
}

static void ublk_command_issue_in_task(struct io_uring_cmd *command, unsigned int issue_flags)
{
	int result;

	if (current->flags & (PF_EXITING | PF_KTHREAD))
		result = UBLK_IO_RES_ABORT;
	else
		result = ublk_command_issue_here(command, issue_flags);
	if (result != -EIOCBQUEUED)
		compat_command_done(command, result, issue_flags);
}

COMPAT_TASK_WORK(ublk_command_issue_work, ublk_command_issue_in_task)

int ublk_command_issue(struct io_uring_cmd *command, unsigned int issue_flags)
{
	if (COMPAT_CANCEL_FLAG && unlikely(issue_flags & COMPAT_CANCEL_FLAG))
		return ublk_command_cancel_notice(command, issue_flags);
	/* In a worker of the ring, not in the task that sent it. */
	if (unlikely(issue_flags & IO_URING_F_UNLOCKED)) {
		io_uring_cmd_complete_in_task(command, ublk_command_issue_work);
		return -EIOCBQUEUED;
	}
	return ublk_command_issue_here(command, issue_flags);
}
