/* SPDX-License-Identifier: MIT */
/*
 * burst.h - requests of the disk's user that one system call sends, so that the block layer has them
 * together and may hand the driver all in one list.
 */
#ifndef TESTS_GUEST_UBLK_BURST_H
#define TESTS_GUEST_UBLK_BURST_H

#include "tests/guest/ublk/probe.h"

#define BURST_MAX	  8
#define BURST_BYTES	  4096u	      /* of each request */
#define BURST_APART_BYTES (64u << 10) /* from one to the next, so that none are merged */

struct burst {
	struct io_uring ring;
	int disk_fd;
	char *data; /* BURST_BYTES for each */
	unsigned int count, over;
	int results[BURST_MAX]; /* bytes or -errno, of those that are over */
	int first_result;	/* of the one that was over first */
	uint64_t end_ms;	/* when the last one was */
};

/*
 * Sends `count` requests of this operation, number i at i * BURST_APART_BYTES; a WRITE's bytes are all
 * `byte` + i. Belongs to the thread.
 */
void burst_send(struct burst *burst, uint32_t device, uint32_t op, unsigned int count, int byte);

/* Until so many are over, or the time is up; returns how many are. */
unsigned int burst_wait(struct burst *burst, unsigned int over, uint32_t timeout_ms);

/* All are over in time, with this result. */
void burst_expect(struct burst *burst, const char *what, int result);

/* All were READs, and number i has brought nothing but `byte` + i. */
void burst_expect_bytes(const struct burst *burst, int byte);

/* All are over. */
void burst_end(struct burst *burst);

#endif
