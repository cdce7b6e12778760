/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what one queue has done. Written by the queue's thread alone, read at any time by the
 * control thread: each counter is loaded and stored whole (relaxed), never added to atomically.
 */
#ifndef GATEWAY_BLOCK_STATS_H
#define GATEWAY_BLOCK_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* name, what it counts */
#define STATS_COUNTERS(X)                                                                          \
	X(reads) /* block requests, by operation */                                                \
	X(writes)                                                                                  \
	X(flushes)                                                                                 \
	X(trims)                                                                                   \
	X(zeroes)                                                                                  \
	X(read_bytes) /* of block requests that succeeded */                                       \
	X(write_bytes)                                                                             \
	X(errors)	 /* block requests that ended with an error */                             \
	X(wire_requests) /* requests sent to the server */                                         \
	X(sends)	 /* send operations: batching is wire_requests / sends */                  \
	X(receives)                                                                                \
	X(enters)	/* io_uring_enter calls */                                                 \
	X(copied_bytes) /* each copy of a payload byte, by us or for us: socket, buffer, pages */  \
	X(timeouts)	/* connections given up for their silence */                               \
	X(connections_lost)                                                                        \
	X(carried) /* NBD requests that another queue sent, since the own has no connection */     \
	X(hold_refusals) /* writes that failed since an older one there may still take effect */

struct stats {
#define STATS_FIELD(name) _Atomic uint64_t name;
	STATS_COUNTERS(STATS_FIELD)
#undef STATS_FIELD
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static inline uint64_t stats_read(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
