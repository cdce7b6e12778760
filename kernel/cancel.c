// SPDX-License-Identifier: GPL-2.0
/* cancel.c - see cancel.h for the policy. */
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "cancel.h"
#include "compat.h"
#include "request.h"

/* What becomes of a request that the daemon will not commit. */
enum ublk_fate {
	UBLK_FATE_FAIL,	   /* ends with EIO */
	UBLK_FATE_REQUEUE, /* waits for the daemon's successor */
};

/*
 * The table of cancel.h. `seen`: the daemon had the request. HOLD: the same daemon may go on; where
 * it is lost, SERVE says what its policy is.
 */
static enum ublk_fate ublk_cancel_fate(u64 features, bool stopping, bool seen,
				       enum ublk_queue_mode mode)
{
	if (stopping || mode == UBLK_QUEUE_FAIL)
		return UBLK_FATE_FAIL;
	if (mode == UBLK_QUEUE_HOLD)
		return UBLK_FATE_REQUEUE;
	if (!(features & UBLK_F_USER_RECOVERY) || features & UBLK_F_USER_RECOVERY_FAIL_IO)
		return UBLK_FATE_FAIL;
	if (seen && !(features & UBLK_F_USER_RECOVERY_REISSUE))
		return UBLK_FATE_FAIL;
	return UBLK_FATE_REQUEUE;
}

static bool ublk_cancel_stopping(const struct ublk_device *device)
{
	return test_bit(UBLK_DEVICE_STOPPING, &device->flags);
}

enum ublk_queue_mode ublk_cancel_mode(const struct ublk_device *device)
{
	enum ublk_fate fate = ublk_cancel_fate(device->info.flags, ublk_cancel_stopping(device),
					       false, UBLK_QUEUE_SERVE);

	return fate == UBLK_FATE_REQUEUE ? UBLK_QUEUE_HOLD : UBLK_QUEUE_FAIL;
}

/*
 * Under the queue's lock, so that who lets it serve again finds the request in the list he kicks.
 * The disk may have begun to go: what is put back then, nobody fetches. STOPPING comes first, and
 * the kick for what was put back after every queue's lock.
 */
static struct request *ublk_cancel_dispose(struct ublk_queue *queue, struct request *request,
					   bool seen, enum ublk_queue_mode mode)
{
	const struct ublk_device *device = queue->device;

	if (ublk_cancel_fate(device->info.flags, ublk_cancel_stopping(device), seen, mode) ==
	    UBLK_FATE_FAIL)
		return request;
	ublk_request_requeue(request);
	return NULL;
}

static struct request *ublk_cancel_dispose_lost(struct ublk_queue *queue, struct request *request,
						bool seen)
{
	bool fails = queue->mode == UBLK_QUEUE_FAIL;

	return ublk_cancel_dispose(queue, request, seen,
				   fails ? UBLK_QUEUE_FAIL : UBLK_QUEUE_SERVE);
}

struct request *ublk_cancel_keep(struct ublk_queue *queue, struct request *request)
{
	return ublk_cancel_dispose(queue, request, false, queue->mode);
}

struct ublk_remains ublk_cancel_doomed(struct ublk_queue *queue, struct ublk_slot *slot)
{
	struct ublk_remains remains = { .command = slot->command };

	slot->command = NULL;
	remains.request = ublk_cancel_dispose_lost(queue, ublk_slot_release(slot, UBLK_SLOT_EMPTY),
						   slot->seen);
	return remains;
}

struct request *ublk_cancel_take(struct ublk_queue *queue, struct ublk_slot *slot,
				 enum ublk_slot_state to)
{
	bool seen = slot->state == UBLK_SLOT_OWNED;

	if (slot->pins) {
		slot->seen = seen;
		ublk_slot_move(slot, UBLK_SLOT_DOOMED);
		return NULL;
	}
	return ublk_cancel_dispose_lost(queue, ublk_slot_release(slot, to), seen);
}

static void ublk_cancel_request(struct ublk_queue *queue, struct ublk_slot *slot, u32 round)
{
	struct request *failed = NULL;

	spin_lock(&queue->lock);
	if (queue->round != round) {
		spin_unlock(&queue->lock);
		return;
	}
	/* The task work of one on its way is still to come, and finds it ORPHANED. */
	if (slot->state == UBLK_SLOT_SENDING)
		failed = ublk_cancel_take(queue, slot, UBLK_SLOT_ORPHANED);
	else if (ublk_slot_committable(slot))
		failed = ublk_cancel_take(queue, slot, UBLK_SLOT_EMPTY);
	spin_unlock(&queue->lock);
	if (failed)
		ublk_request_fail(failed);
}

static void ublk_cancel_command(struct ublk_queue *queue, struct ublk_slot *slot, u32 round)
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

static void ublk_cancel_requests(struct ublk_queue *queue, u32 round)
{
	u16 tag;

	spin_lock(&queue->lock);
	if (queue->round == round && queue->mode != UBLK_QUEUE_FAIL)
		queue->mode = ublk_cancel_mode(queue->device);
	spin_unlock(&queue->lock);
	for (tag = 0; tag < queue->depth; tag++)
		ublk_cancel_request(queue, &queue->slots[tag], round);
}

static void ublk_cancel_commands(struct ublk_queue *queue, u32 round)
{
	u16 tag;

	for (tag = 0; tag < queue->depth; tag++)
		ublk_cancel_command(queue, &queue->slots[tag], round);
}

/*
 * Requests of all queues first: to complete a command takes its ring's lock, whose holder may be at
 * a copy that faults and waits, in the end, for one of these requests.
 */
void ublk_cancel_round(struct ublk_device *device, u32 round)
{
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++)
		ublk_cancel_requests(device->queues[id], round);
	for (id = 0; id < device->info.nr_hw_queues; id++)
		ublk_cancel_commands(device->queues[id], round);
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
 * requests of this very task) is not marked as exiting yet, but as one that will dump no core any
 * more; nor is one whose core is being dumped, perhaps to its own disk. The group's mark is there
 * at once.
 */
bool ublk_cancel_dying(const struct task_struct *task)
{
	return READ_ONCE(task->flags) & (PF_EXITING | PF_POSTCOREDUMP) ||
	       READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT;
}

/*
 * The task that serves the slot is on its way out, or its ring gone: a task that closes that and
 * lives on serves nobody any more. The queue's lock is held.
 */
static bool ublk_cancel_slot_lost(const struct ublk_slot *slot)
{
	if (!slot->task)
		return false;
	return ublk_cancel_dying(slot->task) ||
	       (slot->state == UBLK_SLOT_PARKED && compat_command_ring_closed(slot->command));
}

static bool ublk_cancel_queue_lost(struct ublk_queue *queue)
{
	bool lost = false;
	u16 tag;

	spin_lock(&queue->lock);
	for (tag = 0; tag < queue->depth && !lost; tag++)
		lost = ublk_cancel_slot_lost(&queue->slots[tag]);
	spin_unlock(&queue->lock);
	return lost;
}

void ublk_cancel_say(struct ublk_device *device)
{
	bool waits = ublk_cancel_mode(device) == UBLK_QUEUE_HOLD;

	if (READ_ONCE(device->info.state) != UBLK_S_DEV_LIVE ||
	    test_and_set_bit(UBLK_DEVICE_TOLD, &device->flags))
		return;
	dev_warn_ratelimited(&device->dev, "the daemon is gone; requests %s\n",
			     waits ? "wait for its successor" : "fail");
}

static void ublk_cancel_watch_run(struct work_struct *work)
{
	struct ublk_device *device = container_of(work, struct ublk_device, watch.work);
	u32 round;
	u16 id;

	if (!ublk_device_round(device, &round))
		return;
	for (id = 0; id < device->info.nr_hw_queues; id++) {
		if (ublk_cancel_queue_lost(device->queues[id])) {
			set_bit(UBLK_DEVICE_LOST, &device->flags);
			break;
		}
	}
	if (test_bit(UBLK_DEVICE_LOST, &device->flags)) {
		ublk_cancel_say(device);
		ublk_cancel_round(device, round);
	}
	ublk_device_end_round_later(device);
	/* Once lost, too: a FETCH or COMMIT that was under way may have parked a command since. */
	queue_delayed_work(ublk_watches, &device->watch, msecs_to_jiffies(UBLK_WATCH_MS));
}

void ublk_cancel_init(struct ublk_device *device)
{
	INIT_DELAYED_WORK(&device->watch, ublk_cancel_watch_run);
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
