/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/holds.h"

#include <string.h>

void holds_init(struct holds *holds)
{
	memset(holds, 0, sizeof(*holds));
	pthread_mutex_init(&holds->lock, NULL);
}

/* --- losses ----------------------------------------------------------------------------------------- */

static bool is_over(const struct hold_loss *loss, int64_t now_ms)
{
	return loss->ends_ms != 0 && now_ms >= loss->ends_ms;
}

static void count_waiting(struct holds *holds)
{
	uint32_t waiting = 0;

	for (uint32_t i = 0; i < HOLDS_LOSSES_MAX; i++)
		waiting += holds->losses[i].used && holds->losses[i].ends_ms == 0 &&
			   holds->losses[i].quiet_ms != HOLDS_NEVER;
	atomic_store(&holds->waiting, waiting);
}

uint32_t holds_begin_loss(struct holds *holds, uint32_t quiet_ms)
{
	uint32_t index = 0;
	struct hold_loss *loss;

	pthread_mutex_lock(&holds->lock);
	while (index < HOLDS_LOSSES_MAX - 1 && holds->losses[index].used)
		index++;
	loss = &holds->losses[index];
	/* Where the last one is shared, all of its ranges have the longer time, from now on. */
	if (!loss->used || quiet_ms > loss->quiet_ms)
		loss->quiet_ms = quiet_ms;
	loss->used = true;
	loss->ends_ms = 0;
	count_waiting(holds);
	pthread_mutex_unlock(&holds->lock);
	return index;
}

void holds_server_lives(struct holds *holds, int64_t now_ms)
{
	if (!holds_await_life(holds))
		return;
	pthread_mutex_lock(&holds->lock);
	for (uint32_t i = 0; i < HOLDS_LOSSES_MAX; i++) {
		struct hold_loss *loss = &holds->losses[i];

		if (loss->used && loss->ends_ms == 0 && loss->quiet_ms != HOLDS_NEVER)
			loss->ends_ms = now_ms + loss->quiet_ms;
	}
	count_waiting(holds);
	pthread_mutex_unlock(&holds->lock);
}

/* --- ranges ----------------------------------------------------------------------------------------- */

/* Joins it to a range of the same loss that it overlaps or touches. */
static bool join(struct holds *holds, struct hold_range added)
{
	uint32_t count = atomic_load_explicit(&holds->count, memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++) {
		struct hold_range *range = &holds->ranges[i];

		if (range->loss != added.loss || added.start_bytes > range->end_bytes ||
		    added.end_bytes < range->start_bytes)
			continue;
		if (added.start_bytes < range->start_bytes)
			range->start_bytes = added.start_bytes;
		if (added.end_bytes > range->end_bytes)
			range->end_bytes = added.end_bytes;
		return true;
	}
	return false;
}

/* There is no place for another range: one that covers all, with the longest time of all. */
static void merge_all(struct holds *holds, struct hold_range added)
{
	struct hold_range all = added;
	struct hold_loss *clock = &holds->losses[added.loss];

	for (uint32_t i = 0; i < HOLDS_RANGES_MAX; i++) {
		const struct hold_range *range = &holds->ranges[i];

		if (range->start_bytes < all.start_bytes)
			all.start_bytes = range->start_bytes;
		if (range->end_bytes > all.end_bytes)
			all.end_bytes = range->end_bytes;
		if (holds->losses[range->loss].quiet_ms > clock->quiet_ms)
			clock->quiet_ms = holds->losses[range->loss].quiet_ms;
	}
	clock->ends_ms = 0;
	holds->ranges[0] = all;
	atomic_store(&holds->count, 1);
	count_waiting(holds);
}

void holds_add(struct holds *holds, uint32_t loss, uint64_t offset_bytes, uint64_t length_bytes)
{
	struct hold_range added = { offset_bytes, offset_bytes + length_bytes, loss };
	uint32_t count;

	pthread_mutex_lock(&holds->lock);
	count = atomic_load_explicit(&holds->count, memory_order_relaxed);
	if (join(holds, added)) {
		;
	} else if (count == HOLDS_RANGES_MAX) {
		merge_all(holds, added);
	} else {
		holds->ranges[count] = added;
		atomic_store_explicit(&holds->count, count + 1, memory_order_release);
	}
	pthread_mutex_unlock(&holds->lock);
}

static void forget_ended(struct holds *holds, int64_t now_ms)
{
	uint32_t count = atomic_load_explicit(&holds->count, memory_order_relaxed), kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!is_over(&holds->losses[holds->ranges[i].loss], now_ms))
			holds->ranges[kept++] = holds->ranges[i];
	atomic_store_explicit(&holds->count, kept, memory_order_release);
	for (uint32_t i = 0; i < HOLDS_LOSSES_MAX; i++)
		if (holds->losses[i].used && is_over(&holds->losses[i], now_ms))
			holds->losses[i].used = false;
}

enum hold_answer holds_meet(struct holds *holds, uint64_t offset_bytes, uint64_t length_bytes,
			    int64_t now_ms)
{
	uint64_t end_bytes = offset_bytes + length_bytes;
	enum hold_answer answer = HOLD_NONE;
	uint32_t count;

	if (holds_are_empty(holds))
		return HOLD_NONE;
	pthread_mutex_lock(&holds->lock);
	forget_ended(holds, now_ms);
	count = atomic_load_explicit(&holds->count, memory_order_relaxed);
	for (uint32_t i = 0; i < count && answer != HOLD_NEVER; i++) {
		const struct hold_range *range = &holds->ranges[i];

		if (offset_bytes >= range->end_bytes || end_bytes <= range->start_bytes)
			continue;
		answer =
			holds->losses[range->loss].quiet_ms == HOLDS_NEVER ? HOLD_NEVER : HOLD_WAIT;
	}
	pthread_mutex_unlock(&holds->lock);
	return answer;
}

/* --- for people ------------------------------------------------------------------------------------- */

struct holds_summary holds_summarize(struct holds *holds, int64_t now_ms)
{
	struct holds_summary summary = { 0 };
	bool known = true;

	pthread_mutex_lock(&holds->lock);
	forget_ended(holds, now_ms);
	summary.ranges = atomic_load_explicit(&holds->count, memory_order_relaxed);
	for (uint32_t i = 0; i < summary.ranges; i++) {
		const struct hold_range *range = &holds->ranges[i];
		const struct hold_loss *loss = &holds->losses[range->loss];

		summary.bytes += range->end_bytes - range->start_bytes;
		if (loss->quiet_ms == HOLDS_NEVER || summary.ends_ms == -1)
			summary.ends_ms = -1;
		else if (loss->ends_ms == 0)
			known = false;
		else if (loss->ends_ms > summary.ends_ms)
			summary.ends_ms = loss->ends_ms;
	}
	pthread_mutex_unlock(&holds->lock);
	if (!known && summary.ends_ms > 0)
		summary.ends_ms = 0;
	return summary;
}
