/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cancel.h - the daemon is gone: finds it out, and takes back what it had.
 *
 * What tells of the loss: a poll of the fetching tasks, and of who has the char device's file, at
 * most UBLK_WATCH_MS apart, during a round - the authority on every kernel; the ring's cancel
 * notice (6.7), a flush of the char device in the dying task, and task work that runs elsewhere
 * than in the daemon only make it faster.
 *
 * Policy, for each request:
 *
 *    device                  the daemon has not seen it    the daemon has it
 *    no USER_RECOVERY        EIO                           EIO
 *    USER_RECOVERY           waits for the successor       EIO
 *      with _REISSUE         waits for the successor       waits for the successor
 *      with _FAIL_IO         EIO                           EIO
 *    being stopped           EIO                           EIO
 *
 * While QUIESCE_DEV waits for a daemon that lives, what comes waits, whatever the policy: the same
 * daemon may go on. Once the queue fails requests, they fail.
 */
#ifndef UBLK_CANCEL_H
#define UBLK_CANCEL_H

#include <linux/types.h>

#include "device.h"

#define UBLK_WATCH_MS 500

void ublk_cancel_init(struct ublk_device *device);

/* Starts to watch the daemon: a round has begun. */
void ublk_cancel_watch(struct ublk_device *device);

/* The daemon may be gone, or is: marks it so where `gone`, and looks at once. Never sleeps. */
void ublk_cancel_suspect(struct ublk_device *device, bool gone);

/*
 * Takes back everything the round's daemon has, if it is still that round; afterwards each slot is
 * EMPTY, or ORPHANED or DOOMED until the one who is at it has finished. May sleep, takes rings'
 * locks: never with a mutex of ours held, nor within a command.
 */
void ublk_cancel_round(struct ublk_device *device, u32 round);

/*
 * Takes back everything of a daemon that is LOST, in a kernel thread, and waits until that is done.
 * For control commands: in their own context a command's end may put the char device's last
 * reference, to be dropped when this task next returns, and DEL_DEV waits for that.
 */
void ublk_cancel_lost(struct ublk_device *device);

/* The task serves nobody any more: it ends, or is about to. */
bool ublk_cancel_dying(const struct task_struct *task);

/* The mode of the queues of a device that lost its daemon. */
enum ublk_queue_mode ublk_cancel_mode(const struct ublk_device *device);

/*
 * With the queue's lock held, of a request that is not in a slot and the daemon has not seen: NULL,
 * it waits for the successor, or the request, to be failed once the lock is released.
 */
struct request *ublk_cancel_keep(struct ublk_queue *queue, struct request *request);

/*
 * With the queue's lock held: takes a slot's request, which the daemon will not commit, and brings
 * the slot to the state; or, while somebody copies to or from it, to DOOMED. Returns the request if
 * it is to be failed, once the lock is released; NULL: it waits for the successor, or for who
 * copies.
 */
struct request *ublk_cancel_take(struct ublk_queue *queue, struct ublk_slot *slot,
				 enum ublk_slot_state to);

/* The log says once that the daemon of a LIVE device is gone, unless it was told to go. */
void ublk_cancel_say(struct ublk_device *device);

/* Ends requests that wait for a successor, now and later: the disk is to go. */
void ublk_cancel_waiting(struct ublk_device *device);

/* What a DOOMED slot had, for its last user to end once he has released the lock; NULL: nothing. */
struct ublk_remains {
	struct request *request;      /* to be failed */
	struct io_uring_cmd *command; /* to be completed */
};

/* The last unpin of a DOOMED slot; for ublk_cancel_unpin() alone. */
struct ublk_remains ublk_cancel_doomed(struct ublk_queue *queue, struct ublk_slot *slot);

/* With the queue's lock held: one who pinned the slot's request is done. */
static inline struct ublk_remains ublk_cancel_unpin(struct ublk_queue *queue,
						    struct ublk_slot *slot)
{
	WRITE_ONCE(slot->pins, slot->pins - 1);
	if (likely(slot->pins || slot->state != UBLK_SLOT_DOOMED))
		return (struct ublk_remains){};
	return ublk_cancel_doomed(queue, slot);
}

#endif
