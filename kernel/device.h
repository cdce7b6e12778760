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
 * The file's release may be late: where a kernel thread dropped the last reference, the kernel
 * calls it from one work for all files, which may be at the release of a disk just then, and wait
 * for a page to be written that waits for this device's next daemon. So the watch (cancel.h) ends a
 * round, too.
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

/* Sets up what all devices share. 0 or a negative errno; the exit waits until none is left. */
int ublk_devices_init(void);
void ublk_devices_exit(void);

/*
 * Makes a device with this information, which has been checked; id -1 takes any that is free.
 * Returns it with a reference for the caller, its char device there, or an ERR_PTR: -EEXIST the id
 * is taken, -ENOSPC all are, -EACCES an unprivileged user has as many as are allowed, -ENOMEM.
 */
struct ublk_device *ublk_device_add(const struct ublksrv_ctrl_dev_info *info, int id);

/* The device with a reference for the caller, or NULL. */
struct ublk_device *ublk_device_get(u32 id);
void ublk_device_put(struct ublk_device *device);

/* Removes disk and char device. Once is enough; the id is free after the last put. */
void ublk_device_delete(struct ublk_device *device);

/*
 * Waits until the device that had this id and serial is gone; another may have the id then. 0 or
 * -EINTR.
 */
int ublk_device_wait_gone(u32 id, unsigned long serial);

/*
 * Waits until every tag was fetched, or the device was deleted. 0 or -EINTR; look again under the
 * mutex.
 */
int ublk_device_wait_ready(struct ublk_device *device);
bool ublk_device_ready(const struct ublk_device *device);

/*
 * The char device's new file begins a round. 0, -EBUSY: there is one, -ENODEV: the device was
 * deleted.
 */
int ublk_device_begin_round(struct ublk_device *device, struct file *file);

/*
 * The mutex is held: marks the round's daemon, if there is one, as told to go; ublk_cancel_lost()
 * tells it.
 */
void ublk_device_tell_daemon(struct ublk_device *device);

/* Whether there is a round that is not being ended, and its number (cancel.h). */
bool ublk_device_round(struct ublk_device *device, u32 *round);

/*
 * Ends the file's round, unless that was done: takes back what the daemon had, and decides what
 * becomes of the device. Another may open it afterwards. May sleep for long.
 */
void ublk_device_release_round(struct ublk_device *device, const struct file *file);

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
