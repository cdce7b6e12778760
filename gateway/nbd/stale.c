/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/stale.h"

#define EVERYWHERE (STALE_RANGES_MAX + 1)

void stale_init(struct stale *stale)
{
	pthread_mutex_init(&stale->lock, NULL);
	atomic_init(&stale->count, 0);
}

/* Joins it to a range that it overlaps or touches. */
static bool join(struct stale *stale, struct stale_range added)
{
	uint32_t count = atomic_load_explicit(&stale->count, memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++) {
		struct stale_range *range = &stale->ranges[i];

		if (added.start_bytes > range->end_bytes || added.end_bytes < range->start_bytes)
			continue;
		if (added.start_bytes < range->start_bytes)
			range->start_bytes = added.start_bytes;
		if (added.end_bytes > range->end_bytes)
			range->end_bytes = added.end_bytes;
		return true;
	}
	return false;
}

void stale_add(struct stale *stale, uint64_t offset_bytes, uint64_t length_bytes)
{
	struct stale_range added = { offset_bytes, offset_bytes + length_bytes };
	uint32_t count;

	pthread_mutex_lock(&stale->lock);
	count = atomic_load_explicit(&stale->count, memory_order_relaxed);
	if (count == STALE_RANGES_MAX && !join(stale, added)) {
		atomic_store(&stale->count, EVERYWHERE);
	} else if (count < STALE_RANGES_MAX && !join(stale, added)) {
		stale->ranges[count] = added;
		atomic_store(&stale->count, count + 1);
	}
	pthread_mutex_unlock(&stale->lock);
}

bool stale_overlaps(struct stale *stale, uint64_t offset_bytes, uint64_t length_bytes)
{
	uint64_t end_bytes = offset_bytes + length_bytes;
	bool found = false;
	uint32_t count;

	if (stale_is_empty(stale))
		return false;
	pthread_mutex_lock(&stale->lock);
	count = atomic_load_explicit(&stale->count, memory_order_relaxed);
	if (count == EVERYWHERE)
		found = true;
	for (uint32_t i = 0; !found && i < count; i++)
		found = offset_bytes < stale->ranges[i].end_bytes &&
			end_bytes > stale->ranges[i].start_bytes;
	pthread_mutex_unlock(&stale->lock);
	return found;
}
