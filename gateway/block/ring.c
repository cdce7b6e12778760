/* SPDX-License-Identifier: MIT */
#include "gateway/block/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/common/log.h"
#include "tls/clock.h"

/* Beside one command for each tag: the backend's operations, tick, mailbox, cancels. */
#define EXTRA_ENTRIES	64
#define SUBMIT_TRIES	1000
#define SUBMIT_PAUSE_MS 5
/* How long a call waits for what cannot be cancelled at once. */
#define CANCEL_MS 100

int ring_open(struct io_uring *ring, uint32_t depth)
{
	/* 6.1 and later; 6.0; anything. */
	static const uint32_t ladder[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		0,
	};
	int ret = -EINVAL;

	for (size_t i = 0; i < sizeof(ladder) / sizeof(ladder[0]) && ret == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = ladder[i] | IORING_SETUP_CQSIZE,
			.cq_entries = 2 * (depth + EXTRA_ENTRIES),
		};

		ret = io_uring_queue_init_params(depth + EXTRA_ENTRIES, ring, &params);
	}
	if (ret < 0)
		return ret;
	io_uring_register_ring_fd(ring); /* saves a lookup at each enter; it works without */
	return 0;
}

int ring_register_files(struct io_uring *ring, const int *fds, uint32_t count)
{
	return io_uring_register_files(ring, fds, count);
}

int ring_cancel_all(struct io_uring *ring)
{
	struct io_uring_sync_cancel_reg everything = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
		.timeout = { .tv_nsec = CANCEL_MS * 1000000LL },
	};
	int ret = io_uring_register_sync_cancel(ring, &everything);

	if (ret < 0 && ret != -ENOENT && ret != -ETIME)
		return ret;
	ret = io_uring_get_events(ring); /* deferred work posts completions when it is asked to */
	return ret < 0 ? ret : 0;
}

void ring_close(struct io_uring *ring)
{
	/* The ring itself is torn down behind our back; the char device must be let go of now. */
	io_uring_unregister_files(ring);
	io_uring_queue_exit(ring);
}

struct io_uring_sqe *ring_sqe(struct io_uring *ring, uint32_t kind, uint32_t index)
{
	struct io_uring_sqe *sqe;

	for (int tries = 0; !(sqe = io_uring_get_sqe(ring)); tries++) {
		int ret = io_uring_submit(ring);

		if (tries > 0) /* short of memory, or of room for completions: that passes */
			clock_pause_ms(SUBMIT_PAUSE_MS);

		if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY) {
			log_error("io_uring takes no submissions: %s", strerror(-ret));
			abort();
		}
		if (tries > SUBMIT_TRIES) {
			log_error("io_uring takes no submissions after %d tries in 5 s", tries);
			abort();
		}
	}
	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = ring_user_data(kind, index);
	return sqe;
}
