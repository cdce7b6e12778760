/* SPDX-License-Identifier: MIT */
/*
 * backend.h - the seam of a queue: on one side the driver's tags (gateway/ublk), on the other what serves
 * their requests (gateway/nbd; null_backend.h). Neither knows the other. The thread that owns the ring
 * (gateway/disk/queue.h) holds both, and drives them:
 *
 *   completions of a turn   the driver's: submit() for each request that arrived
 *                           the backend's: completed(), which calls block_request_done()
 *   tick()                  if the tick came
 *   advance()               what must not wait for another completion
 *   leave()                 once the driver sends no more
 *   arm(), and the wait     what was submitted goes out
 *
 * All of it on the queue's thread, but where it says otherwise.
 */
#ifndef GATEWAY_BLOCK_BACKEND_H
#define GATEWAY_BLOCK_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/block/block_request.h"
#include "gateway/block/payload.h"
#include "gateway/block/ring.h"
#include "gateway/block/stats.h"
#include "gateway/block/trouble.h"

struct block_backend;

struct block_backend_ops {
	/* Takes a request, which is done exactly once: perhaps before this returns. */
	void (*submit)(struct block_backend *backend, struct block_request *request);
	/* Puts what is to go out, and what is to come in, into the ring. */
	void (*arm)(struct block_backend *backend);
	/* A completion whose kind is RING_BACKEND or above. */
	void (*completed)(struct block_backend *backend, const struct io_uring_cqe *cqe);
	/* The ring has failed: this came back, and nothing else is to be done about it. */
	void (*returned)(struct block_backend *backend, const struct io_uring_cqe *cqe);
	/* Whether an operation of the ring may still use memory of the backend's. Any thread once the
	 * queue's has ended. */
	bool (*holds_memory)(const struct block_backend *backend);
	/* The tick that was due at due_ms has come; now_ms tells how late it is. */
	void (*tick)(struct block_backend *backend, int64_t due_ms);
	/* At the end of each turn; asked: another thread left a wish, and has woken the queue for it. */
	void (*advance)(struct block_backend *backend, bool asked);
	/* Gives up what it waits for: requests fail soon. why: for people, "the disk is ..."; not kept. */
	void (*condemn)(struct block_backend *backend, const char *why);
	/* The queue ends, and all requests are done: called in each turn until it returns true. Before that
	 * what was written is made durable, where the backend can. Where the driver did not abort all
	 * commands one more may still come: once leaving has begun it fails at once. */
	bool (*leave)(struct block_backend *backend);
	/* Whether a tick is needed although no request is under way. */
	bool (*is_busy)(const struct block_backend *backend);
	/* The payload is open. Files to be registered with the ring, from the place RING_FILE_BACKEND on: fills fds, which has
	 * room for RING_BACKEND_FILES_MAX, with descriptors or -1 (a place to be filled later). How many. */
	uint32_t (*files)(const struct block_backend *backend, int *fds);
};

/* What a backend is embedded with. The queue fills it in, but for ops and tick_ms. */
struct block_backend {
	const struct block_backend_ops *ops;
	uint32_t tick_ms; /* the period of tick() */
	uint16_t queue_id;
	struct io_uring *ring;
	struct payload *payload;
	struct stats *stats;
	struct trouble *trouble;
	int64_t now_ms; /* CLOCK_MONOTONIC_COARSE, once each turn */
	void (*done)(void *submitter, struct block_request *request);
	void *submitter;
};

/* Hands a request back, its error set. */
static inline void block_request_done(struct block_backend *backend, struct block_request *request)
{
	backend->done(backend->submitter, request);
}

#endif
