/* SPDX-License-Identifier: GPL-2.0 */
/*
 * queue.h - one hardware queue: its slots, one per tag, and the descriptors the daemon maps.
 *
 * The lock protects the slots, the mode and the round. It is taken in process context only, and
 * nothing that sleeps or faults is done under it. Order: device->mutex, then a disk's open_mutex,
 * then this.
 */
#ifndef UBLK_QUEUE_H
#define UBLK_QUEUE_H

#include <linux/spinlock.h>

#include "slot.h"
#include "ublk_cmd.h"

struct ublk_device;

/* What happens to a request that the block layer brings. */
enum ublk_queue_mode {
	UBLK_QUEUE_FAIL,  /* ends with EIO; also before the first start */
	UBLK_QUEUE_SERVE, /* goes to the daemon */
	UBLK_QUEUE_HOLD,  /* waits in the requeue list for the daemon's successor */
};

struct ublk_queue {
	spinlock_t lock;
	u8 mode; /* enum ublk_queue_mode */
	u16 id;
	u16 depth;
	u16 fetched; /* slots whose first command of this round has come */
	u32 round;   /* which opening of the char device this is; see cancel.h */
	struct ublk_device *device;
	struct ublksrv_io_desc *descs; /* depth of them, physically contiguous */
	struct task_struct *task; /* the queue's daemon, a reference; NULL with PER_IO_DAEMON */
	struct ublk_slot slots[];
};

/* Returns a queue, or NULL when there is no memory; ublk_queue_free() takes NULL too. */
struct ublk_queue *ublk_queue_alloc(struct ublk_device *device, u16 id, u16 depth);
void ublk_queue_free(struct ublk_queue *queue);

/* Bytes of the descriptor area, as the daemon must map it: whole pages. */
size_t ublk_queue_descs_bytes(u16 depth);

/* Forgets the tasks and counts of the round that ends. All slots are EMPTY. */
void ublk_queue_end_round(struct ublk_queue *queue);

void ublk_queue_set_mode(struct ublk_queue *queue, enum ublk_queue_mode mode);

#endif
