/* SPDX-License-Identifier: MIT */
/*
 * ring.h - one queue's io_uring: how it is made, how an SQE is got, and what user_data means.
 * Queue thread only: the ring has a single issuer.
 */
#ifndef GATEWAY_BLOCK_RING_H
#define GATEWAY_BLOCK_RING_H

#include <stdint.h>

#include "gateway/common/uring_compat.h"

/* What an SQE was for; its index is beside it in user_data. */
enum ring_kind {
	RING_UBLK, /* index: tag */
	RING_MAILBOX,
	RING_TICK,
	RING_CANCEL,  /* its outcome does not matter: what was cancelled reports for itself */
	RING_BACKEND, /* from here on the backend's own kinds (backend.h) */
};

/* kind: of enum ring_kind, or the backend's. */
static inline uint64_t ring_user_data(uint32_t kind, uint32_t index)
{
	return (uint64_t)kind << 32 | index;
}

static inline uint32_t ring_kind_of(uint64_t user_data)
{
	return (uint32_t)(user_data >> 32);
}

static inline uint32_t ring_index_of(uint64_t user_data)
{
	return (uint32_t)user_data;
}

/* Places of registered files, which save their lookup and count at each operation. */
enum { RING_FILE_CHAR, RING_FILE_BACKEND };
#define RING_BACKEND_FILES_MAX 64

/* A ring for a queue of this depth, with the cheapest flags the kernel takes. The calling thread
 * becomes its single issuer. 0 or -errno. */
int ring_open(struct io_uring *ring, uint32_t depth);

/* Registers fds, in the order of their places; SQEs then name the place, with IOSQE_FIXED_FILE. */
int ring_register_files(struct io_uring *ring, const int *fds, uint32_t count);
/* Has what is under way cancelled, but for commands to drivers, and what came of it posted: it may take
 * several calls until all has come back. 0 or -errno: a kernel before 6.0, or a ring that is broken. */
int ring_cancel_all(struct io_uring *ring);
/* Lets go of the files and ends the ring. The kernel does that behind our back: what has not come back
 * by then may still use its memory. */
void ring_close(struct io_uring *ring);

/* An SQE, submitting what is queued when the submission queue is full. Never NULL: the ring is
 * sized so, and a kernel that takes no submissions for 5 s ends the daemon (abort). */
struct io_uring_sqe *ring_sqe(struct io_uring *ring, uint32_t kind, uint32_t index);

#endif
