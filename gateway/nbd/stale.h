/* SPDX-License-Identifier: MIT */
/*
 * stale.h - where a write may still come to pass that was reported as failed. A connection that is
 * lost leaves its unanswered WRITEs, TRIMs and WRITE_ZEROES with a server that may carry them out at
 * any later time: closing the socket does not prove that its workers stopped. A newer write to the
 * same place, acknowledged on another connection, could then be overwritten, without a word. So
 * these places take no more writes while the disk lives: it fails them, as it would for a bad sector.
 *
 * One for all queues of a disk. The lock is taken only where a connection was lost, and once one was.
 */
#ifndef GATEWAY_NBD_STALE_H
#define GATEWAY_NBD_STALE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* So many separate ranges are kept; with more the whole disk takes no more writes. */
#define STALE_RANGES_MAX 1024u

struct stale_range {
	uint64_t start_bytes, end_bytes; /* end is exclusive */
};

struct stale {
	pthread_mutex_t lock;
	_Atomic uint32_t
		count; /* of ranges; written under the lock, STALE_RANGES_MAX + 1: everywhere */
	struct stale_range ranges[STALE_RANGES_MAX];
};

/* Empty. Before any queue's thread runs. */
void stale_init(struct stale *stale);
/* Any thread. To be called before the write is reported as failed: what is written because of that
 * report must find it. length_bytes is not 0. */
void stale_add(struct stale *stale, uint64_t offset_bytes, uint64_t length_bytes);
/* Whether any may: most disks never have one. Any thread. */
static inline bool stale_is_empty(const struct stale *stale)
{
	return atomic_load(&stale->count) == 0;
}

/* Whether one of these bytes may still be overwritten. Any thread. */
bool stale_overlaps(struct stale *stale, uint64_t offset_bytes, uint64_t length_bytes);

#endif
