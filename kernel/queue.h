/* SPDX-License-Identifier: GPL-2.0 */
/*
 * queue.h - one hardware queue: its slots, one per tag, and the descriptors the daemon maps.
 *
 * The lock protects the slots, the batch, the mode and the round. It is taken in process context
 * only, and nothing that sleeps or faults is done under it. Order: device->mutex, then a disk's
 * open_mutex, then this.
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

/*
 * Slots whose requests the task work that was sent last is to deliver: all that came since, and
 * until it runs. They are of one task and one ring. Both NULL: it has run.
 */
struct ublk_batch {
	struct ublk_slot *first; /* whose command carries the task work */
	struct ublk_slot *last;
};

struct ublk_queue {
	spinlock_t lock; /* of all that changes here */
	u8 mode;	 /* enum ublk_queue_mode */
	u16 id;
	u16 depth;
	u32 round; /* which opening of the char device this is; READ_ONCE without the lock */
	struct ublk_batch batch;
	struct ublk_device *device;
	struct ublksrv_io_desc *descs; /* depth of them, physically contiguous */
	struct ublk_slot slots[];
};

/* Returns a queue, or NULL when there is no memory; ublk_queue_free() takes NULL too. */
struct ublk_queue *ublk_queue_alloc(struct ublk_device *device, u16 id, u16 depth);
void ublk_queue_free(struct ublk_queue *queue);

/* One address, made once: the compiler would rather make it anew for every field. */
static inline struct ublk_slot *ublk_queue_slot(struct ublk_queue *queue, u16 tag)
{
	struct ublk_slot *slot = &queue->slots[tag];

	OPTIMIZER_HIDE_VAR(slot);
	return slot;
}

/* Bytes of the descriptor area, as the daemon must map it: whole pages. */
size_t ublk_queue_descs_bytes(u16 depth);

/* Forgets the tasks of the round that ends, and counts it. All slots are EMPTY. */
void ublk_queue_end_round(struct ublk_queue *queue);

void ublk_queue_set_mode(struct ublk_queue *queue, enum ublk_queue_mode mode);

#endif
