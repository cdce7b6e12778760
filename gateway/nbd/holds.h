/* SPDX-License-Identifier: MIT */
/*
 * holds.h - where an older write may still take effect. A connection that is lost leaves its unanswered
 * WRITEs, TRIMs and WRITE_ZEROES with a server that may carry them out later: a closed socket does not prove
 * that its workers have stopped. A newer write to the same place that is acknowledged meanwhile could be
 * overwritten, without a word. So newer writes there wait for the *quiet time* of that loss. Sending the lost
 * requests again is safe, and so is all that does not overlap.
 *
 * Each loss has a clock of its own. It begins with the first request that the server answers after the loss: a
 * server that is paused must not use the time up.
 *
 * One for all queues of a disk. The lock is taken only where a connection was lost, and while a hold lasts.
 */
#ifndef GATEWAY_NBD_HOLDS_H
#define GATEWAY_NBD_HOLDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* So many separate ranges are kept; with more, one range that covers all of them is held. */
#define HOLDS_RANGES_MAX 1024u
/* So many losses have a clock; a further one shares the last one's. */
#define HOLDS_LOSSES_MAX 64u
/* As a quiet time: it never ends. Newer writes there fail. */
#define HOLDS_NEVER UINT32_MAX

struct hold_range {
	uint64_t start_bytes, end_bytes; /* end is exclusive */
	uint32_t loss;			 /* index of its clock */
};

struct hold_loss {
	bool used;
	uint32_t quiet_ms;
	int64_t ends_ms; /* CLOCK_MONOTONIC; 0: its time has not begun */
};

struct holds {
	pthread_mutex_t lock;
	_Atomic uint32_t count;	  /* of ranges; written under the lock */
	_Atomic uint32_t waiting; /* losses whose time has not begun; written under the lock */
	struct hold_range ranges[HOLDS_RANGES_MAX];
	struct hold_loss losses[HOLDS_LOSSES_MAX];
};

/* What a write meets. */
enum hold_answer {
	HOLD_NONE,
	HOLD_WAIT,  /* until its quiet time is over */
	HOLD_NEVER, /* the quiet time never ends */
};

/* Empty. Before any queue's thread runs. */
void holds_init(struct holds *holds);
/* A connection was lost that leaves ranges behind: its clock, for holds_add(). Any thread. */
uint32_t holds_begin_loss(struct holds *holds, uint32_t quiet_ms);
/* A request of that loss. Any thread. To be called before the request is sent again, or reported as failed:
 * what is written because of that must find it. length_bytes is not 0. */
void holds_add(struct holds *holds, uint32_t loss, uint64_t offset_bytes, uint64_t length_bytes);
/* The server answered a request: clocks that have not begun do. Any thread. */
void holds_server_lives(struct holds *holds, int64_t now_ms);

/* Whether there are any: most disks never have one. Any thread. */
static inline bool holds_are_empty(const struct holds *holds)
{
	return atomic_load_explicit(&holds->count, memory_order_acquire) == 0;
}

/* Whether a clock has not begun. Any thread. */
static inline bool holds_await_life(const struct holds *holds)
{
	return atomic_load_explicit(&holds->waiting, memory_order_relaxed) > 0;
}

/* What a new write to these bytes meets. Forgets the holds whose time is over. Any thread. */
enum hold_answer holds_meet(struct holds *holds, uint64_t offset_bytes, uint64_t length_bytes,
			    int64_t now_ms);

struct holds_summary {
	uint32_t ranges;
	uint64_t bytes;	 /* overlapping ranges count twice */
	int64_t ends_ms; /* when the last one ends: CLOCK_MONOTONIC; 0: not known yet; -1: never */
};

/* Without the holds whose time is over. Any thread. */
struct holds_summary holds_summarize(struct holds *holds, int64_t now_ms);

#endif
