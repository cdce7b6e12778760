/* SPDX-License-Identifier: MIT */
/*
 * payload.h - where a block request's bytes are, behind a table: how they get into a send batch and
 * where what was received is put.
 *
 *   mapped     each tag has a buffer in this process; the driver copies a WRITE's pages into it
 *              before we see the request and a READ's out of it when we commit. Costs depth x
 *              maximum I/O of locked memory for each queue.
 *   user-copy  (6.5) the bytes stay in the request's pages; pread() and pwrite() on /dev/ublkcN
 *              move them. No buffers but the connections' staging. A direct system call: done
 *              through io_uring on a blocking descriptor it is punted to a worker, which is
 *              slower and races with the buffer's reuse.
 *   (zero copy has its place here: fixed buffers, so batch entries that name a buffer index.)
 *
 * Queue thread only, but for open and close.
 */
#ifndef GATEWAY_DISK_PAYLOAD_H
#define GATEWAY_DISK_PAYLOAD_H

#include <stdint.h>
#include <sys/uio.h>

#include "gateway/disk/batch.h"
#include "gateway/disk/stats.h"

struct payload;

struct payload_ops {
	const char *name;
	/* What FETCH and COMMIT carry as addr for this tag. */
	uint64_t (*fetch_addr)(const struct payload *payload, uint16_t tag);
	/* Adds length bytes of a WRITE from offset on to the batch, which has room for them
	 * (batch_has_room()). 0, or -errno of the copy. */
	int (*gather)(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
		      uint32_t length_bytes, struct batch *batch);
	/* Puts received bytes of a READ in place. 0 or -errno. */
	int (*store)(struct payload *payload, uint16_t tag, uint32_t offset_bytes, const void *data,
		     uint32_t length_bytes);
	/* Makes this range of a READ zeroes. 0 or -errno. */
	int (*zero)(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
		    uint32_t length_bytes);
	/* Where a receive may put bytes itself, or NULL when it has to go through staging. */
	void *(*direct)(struct payload *payload, uint16_t tag, uint32_t offset_bytes);
	/* Copies the kernel makes for one payload byte of this kind, beyond what the functions
	 * above count: mapped's at fetch and commit. */
	uint32_t kernel_copies;
};

struct payload {
	const struct payload_ops *ops;
	int char_fd; /* borrowed */
	uint16_t queue_id;
	uint16_t depth;
	uint32_t max_io_bytes;
	uint8_t *buffers; /* mapped: depth x max_io_bytes, page-aligned */
	size_t buffers_bytes;
	struct stats *stats;
};

/* 0 or -ENOMEM. char_fd stays the caller's and outlives the payload. */
int payload_open_mapped(struct payload *payload);
int payload_open_user_copy(struct payload *payload);
void payload_close(struct payload *payload);

#endif
