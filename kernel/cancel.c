// SPDX-License-Identifier: GPL-2.0
/* cancel.c - see cancel.h for the policy. */
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "cancel.h"
#include "compat.h"
#include "request.h"

enum ublk_fate ublk_cancel_fate(const struct ublk_queue *queue, bool seen)
{
	const struct ublk_device *device = queue->device;

	if (!ublk_device_recovers(device) || test_bit(UBLK_DEVICE_STOPPING, &device->flags) ||
	    ublk_device_has(device, UBLK_F_USER_RECOVERY_FAIL_IO))
		return UBLK_FATE_FAIL;
	if (seen && !ublk_device_has(device, UBLK_F_USER_RECOVERY_REISSUE))
		return UBLK_FATE_FAIL;
	return UBLK_FATE_REQUEUE;
}

/* Under the lock, so that who lets the queue serve again finds it in the list he kicks. */
static struct request *dispose(struct request *request, enum ublk_fate fate)
{
	if (fate == UBLK_FATE_FAIL)
		return request;
	ublk_request_requeue(request);
	return NULL;
}

struct ublk_remains ublk_cancel_doomed(struct ublk_queue *queue, struct ublk_slot *slot)
{
	struct ublk_remains remains = { .request = slot->request, .command = slot->command };

	/*
	 * The disk may have begun to go since: what is put back now, nobody fetches. STOPPING comes
	 * first, and the kick for what was put back after every queue's lock.
	 */
	if (queue->mode == UBLK_QUEUE_FAIL || test_bit(UBLK_DEVICE_STOPPING, &queue->device->flags))
		slot->fate = UBLK_FATE_FAIL;
	slot->request = NULL;
	slot->command = NULL;
	ublk_slot_move(slot, UBLK_SLOT_EMPTY);
	remains.request = dispose(remains.request, slot->fate);
	return remains;
}

/* A request that somebody copies to or from stays until he is done; any other is taken. */
static struct request *take_request(struct ublk_queue *queue, struct ublk_slot *slot,
				    enum ublk_slot_state to, bool seen)
{
	enum ublk_fate fate = ublk_cancel_fate(queue, seen);
	struct request *request = slot->request;

	if (slot->pins) {
		slot->fate = fate;
		ublk_slot_move(slot, UBLK_SLOT_DOOMED);
		return NULL;
	}
	slot->request = NULL;
	ublk_slot_move(slot, to);
	return dispose(request, fate);
}

static void cancel_request(struct ublk_queue *queue, struct ublk_slot *slot, u32 round)
{
	struct request *failed = NULL;

	spin_lock(&queue->lock);
	if (queue->round != round) {
		spin_unlock(&queue->lock);
		return;
	}
	switch (slot->state) {
	case UBLK_SLOT_SENDING:
		failed = take_request(queue, slot, UBLK_SLOT_ORPHANED, false);
		break;
	case UBLK_SLOT_ASKED:
		failed = take_request(queue, slot, UBLK_SLOT_EMPTY, false);
		break;
	case UBLK_SLOT_OWNED:
		failed = take_request(queue, slot, UBLK_SLOT_EMPTY, true);
		break;
	}
	spin_unlock(&queue->lock);
	if (failed)
		ublk_request_fail(failed);
}

static void cancel_command(struct ublk_queue *queue, struct ublk_slot *slot, u32 round)
{
	struct io_uring_cmd *command = NULL;

	spin_lock(&queue->lock);
	if (queue->round == round && slot->state == UBLK_SLOT_PARKED) {
		command = slot->command;
		slot->command = NULL;
		ublk_slot_move(slot, UBLK_SLOT_EMPTY);
	}
	spin_unlock(&queue->lock);
	if (command)
		compat_command_done(command, UBLK_IO_RES_ABORT, IO_URING_F_UNLOCKED);
}

static void cancel_requests(struct ublk_queue *queue, u32 round)
{
	u16 tag;

	spin_lock(&queue->lock);
	if (queue->round == round && queue->mode != UBLK_QUEUE_FAIL)
		queue->mode = ublk_cancel_fate(queue, false) == UBLK_FATE_REQUEUE ? UBLK_QUEUE_HOLD
										  : UBLK_QUEUE_FAIL;
	spin_unlock(&queue->lock);
	for (tag = 0; tag < queue->depth; tag++)
		cancel_request(queue, &queue->slots[tag], round);
}

static void cancel_commands(struct ublk_queue *queue, u32 round)
{
	u16 tag;

	for (tag = 0; tag < queue->depth; tag++)
		cancel_command(queue, &queue->slots[tag], round);
}

/*
 * Requests of all queues first: to complete a command takes its ring's lock, whose holder may be at
 * a copy that faults and waits, in the end, for one of these requests.
 */
void ublk_cancel_round(struct ublk_device *device, u32 round)
{
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++)
		cancel_requests(device->queues[id], round);
	for (id = 0; id < device->info.nr_hw_queues; id++)
		cancel_commands(device->queues[id], round);
}

u32 ublk_cancel_this_round(struct ublk_device *device)
{
	/* The first queue's changes last, so an older round's number is never a newer one's. */
	return READ_ONCE(device->queues[0]->round);
}

/*
 * STOPPING is set, so nothing more is put back; what lies in the requeue list comes to queues that
 * fail it.
 */
void ublk_cancel_waiting(struct ublk_device *device)
{
	struct ublk_queue *queue;
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++) {
		queue = device->queues[id];
		spin_lock(&queue->lock);
		if (queue->mode == UBLK_QUEUE_HOLD)
			queue->mode = UBLK_QUEUE_FAIL;
		spin_unlock(&queue->lock);
	}
	if (device->disk)
		blk_mq_kick_requeue_list(device->disk->queue);
}

/*
 * A task that waits for its ring's workers on its way out (one may be in STOP_DEV, which waits for
 * requests of this very task) is not marked as exiting yet, but as one that will dump no core any more;
 * nor is one whose core is being dumped, perhaps to its own disk. The group's mark is there at once.
 */
bool ublk_cancel_dying(const struct task_struct *task)
{
	return READ_ONCE(task->flags) & (PF_EXITING | PF_POSTCOREDUMP) ||
	       READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT;
}

/* A task that closes its ring and lives on serves nobody any more. The queue's lock is held. */
static bool queue_ring_closed(const struct ublk_queue *queue)
{
	u16 tag;

	for (tag = 0; tag < queue->depth; tag++) {
		const struct ublk_slot *slot = &queue->slots[tag];

		if (slot->state == UBLK_SLOT_PARKED && compat_command_ring_closed(slot->command))
			return true;
	}
	return false;
}

/* One of the tasks that serve the queue is on its way out, or its ring gone. */
static bool queue_lost(struct ublk_queue *queue)
{
	bool lost = false;
	u16 tag;

	if (!queue->fetched)
		return false;
	spin_lock(&queue->lock);
	if (queue->task)
		lost = ublk_cancel_dying(queue->task);
	else
		for (tag = 0; tag < queue->depth && !lost; tag++)
			lost = queue->slots[tag].task && ublk_cancel_dying(queue->slots[tag].task);
	lost = lost || queue_ring_closed(queue);
	spin_unlock(&queue->lock);
	return lost;
}

static void watch_run(struct work_struct *work)
{
	struct ublk_device *device = container_of(work, struct ublk_device, watch.work);
	u32 round;
	u16 id;

	if (!ublk_device_round(device, &round))
		return;
	for (id = 0; id < device->info.nr_hw_queues; id++) {
		if (queue_lost(device->queues[id])) {
			set_bit(UBLK_DEVICE_LOST, &device->flags);
			break;
		}
	}
	if (test_bit(UBLK_DEVICE_LOST, &device->flags))
		ublk_cancel_round(device, round);
	ublk_device_end_round_later(device);
	/* Once lost, too: a FETCH or COMMIT that was under way may have parked a command since. */
	queue_delayed_work(ublk_watches, &device->watch, msecs_to_jiffies(UBLK_WATCH_MS));
}

void ublk_cancel_init(struct ublk_device *device)
{
	INIT_DELAYED_WORK(&device->watch, watch_run);
}

void ublk_cancel_watch(struct ublk_device *device)
{
	queue_delayed_work(ublk_watches, &device->watch, msecs_to_jiffies(UBLK_WATCH_MS));
}

void ublk_cancel_lost(struct ublk_device *device)
{
	mod_delayed_work(ublk_watches, &device->watch, 0);
	flush_delayed_work(&device->watch);
}

void ublk_cancel_suspect(struct ublk_device *device, bool gone)
{
	if (gone)
		set_bit(UBLK_DEVICE_LOST, &device->flags);
	mod_delayed_work(ublk_watches, &device->watch, 0);
}
