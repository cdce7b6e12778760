/* SPDX-License-Identifier: GPL-2.0 */
/*
 * device.h - one ublk device: its id, its char device, its queues, its disk while there is one.
 *
 *           ADD_DEV            START_DEV                     STOP_DEV; daemon gone, no recovery
 *    (none) ────────▶ DEAD ───────────────▶ LIVE ────────────────────────────────────▶ DEAD
 *                      ▲                   │  ▲ END_USER_RECOVERY
 *                      │    daemon gone,   ▼  │
 *                      └─STOP_DEV─ QUIESCED or FAIL_IO
 *
 * The state is changed under the mutex only. A *round* is the time from one opening of the char
 * device until nobody has that file any more: within it every tag is fetched first by the task that
 * serves it. A device that lost its daemon (UBLK_DEVICE_LOST) takes no commands until the round
 * ends.
 *
 * References: the id's (from ADD_DEV to DEL_DEV), each file's of the char device until its release,
 * the disk's (until its free_disk), and short ones of control commands and works. The last put
 * gives the id back.
 */
#ifndef UBLK_DEVICE_H
#define UBLK_DEVICE_H

#include <linux/blk-mq.h>
#include <linux/cdev.h>
#include <linux/completion.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "queue.h"
#include "ublk_cmd.h"

#define UBLK_MINORS	BIT(MINORBITS)
#define UBLK_MAX_QUEUES 4096 /* the ABI's: 12 bits in a USER_COPY offset */

enum ublk_device_flag {
	UBLK_DEVICE_OPEN,      /* a round is being begun, is there, or is being ended */
	UBLK_DEVICE_LOST,      /* the daemon is gone or told to go; until the round ends */
	UBLK_DEVICE_TOLD,      /* to go, or the log has that it is gone; until the round ends */
	UBLK_DEVICE_UNTRUSTED, /* a task without CAP_SYS_ADMIN fetches; until the round ends */
	UBLK_DEVICE_STOPPING,  /* its disk is being removed: no request waits for a successor */
	UBLK_DEVICE_CLOSED,    /* TRY_STOP_DEV found the disk unused: no more openers */
	UBLK_DEVICE_DELETED,
	UBLK_DEVICE_QUIESCING, /* one QUIESCE_DEV waits for the daemon, without the mutex */
};

struct ublk_device {
	struct device dev; /* the char device; its release frees all this */
	struct cdev cdev;
	struct mutex mutex;  /* of the state, the parameters, the disk */
	unsigned long flags; /* bits of enum ublk_device_flag */
	struct ublksrv_ctrl_dev_info
		info; /* of ADD_DEV; state (READ_ONCE elsewhere) and pid: under the mutex */
	struct ublk_params params; /* types is 0 until SET_PARAMS; under the mutex */
	struct gendisk *disk;	   /* from START_DEV to stop; under the mutex */
	struct blk_mq_tag_set tags;
	unsigned long serial;	 /* no other device's, whoever has had the same id */
	bool counted;		 /* among the unprivileged ones */
	atomic_t unfetched;	 /* slots whose first FETCH of this round is to come */
	struct completion ready; /* unfetched has reached 0, or the device was deleted */
	struct file *file; /* the round's; NULL: there is none, or it is being ended; daemon_lock */
	struct file *ending;  /* whose round is being ended, never followed; daemon_lock */
	struct pid *daemon;   /* the process that fetches; under daemon_lock, a reference */
	struct mm_struct *mm; /* that may map descriptors, only compared; daemon_lock */
	spinlock_t daemon_lock;
	struct delayed_work watch;   /* looks whether the daemon's tasks live; cancel.c */
	struct work_struct closing;  /* ends the round of a file that nobody has */
	struct work_struct scan;     /* reads the partition table; disk.c */
	struct work_struct removal;  /* removes the disk of a daemon that is gone; disk.c */
	struct ublk_queue *queues[]; /* info.nr_hw_queues of them */
};

/*
 * A watch is what ends I/O of a daemon that is gone; an ending may wait for that, and for a
 * device's mutex. Scans (disk.c) may wait for both and have a queue of their own: however many wait
 * in one, the next go on.
 */
extern struct workqueue_struct *ublk_watches, *ublk_endings;

/* Before the first device, and after the last. 0 or -ENOMEM. */
int ublk_device_works_init(void);
void ublk_device_works_exit(void);

void ublk_device_put(struct ublk_device *device);

/*
 * Waits until every tag was fetched, or the device was deleted. 0 or -EINTR; look again under the
 * mutex.
 */
int ublk_device_wait_ready(struct ublk_device *device);
bool ublk_device_ready(const struct ublk_device *device);

/*
 * The mutex is held: marks the round's daemon, if there is one, as told to go; ublk_cancel_lost()
 * tells it.
 */
void ublk_device_tell_daemon(struct ublk_device *device);

/* The number of the round that is there, or is to come. */
u32 ublk_device_this_round(const struct ublk_device *device);

/* Whether there is a round that is not being ended, and its number. */
bool ublk_device_round(struct ublk_device *device, u32 *round);

/* The daemon_lock is held: nobody has the round's file any more. */
bool ublk_device_round_closed(const struct ublk_device *device);

/* Ends the round, from a work, if nobody has its file any more. Never sleeps. */
void ublk_device_end_round_later(struct ublk_device *device);

static inline bool ublk_device_has(const struct ublk_device *device, u64 feature)
{
	return device->info.flags & feature;
}

/* The payload goes through the daemon's buffers, copied by the driver. */
static inline bool ublk_device_copies(const struct ublk_device *device)
{
	return !ublk_device_has(device, UBLK_F_USER_COPY);
}

static inline bool ublk_device_recovers(const struct ublk_device *device)
{
	return ublk_device_has(device, UBLK_F_USER_RECOVERY);
}

#endif
