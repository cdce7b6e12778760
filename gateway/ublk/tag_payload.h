/* SPDX-License-Identifier: MIT */
/*
 * tag_payload.h - the payload of the driver's requests (gateway/block/payload.h), in the driver's two ways:
 *
 *   mapped     each tag has a buffer in this process; the driver copies a WRITE's pages into it before
 *              we see the request, and a READ's out of it when we commit. Costs depth x maximum I/O of
 *              locked memory for each queue.
 *   user-copy  (6.5) the bytes stay in the request's pages; pread() and pwrite() on /dev/ublkcN move
 *              them. A direct system call: done through io_uring on a blocking descriptor it is punted
 *              to a worker, which is slower and races with the buffer's reuse.
 *
 * Queue thread only, but for open and close.
 */
#ifndef GATEWAY_UBLK_TAG_PAYLOAD_H
#define GATEWAY_UBLK_TAG_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/block/payload.h"
#include "gateway/block/stats.h"

struct tag_payload {
	struct payload base;
	int char_fd; /* borrowed; outlives the payload */
	uint16_t queue_id;
	uint16_t depth;
	uint32_t max_io_bytes;
	uint8_t *buffers; /* mapped: depth x max_io_bytes, page-aligned; else NULL */
	size_t buffers_bytes;
	struct stats *stats; /* each byte that load() and store() copy is counted */
};

/* base is filled in here, the other fields are the caller's. 0 or -ENOMEM. */
int tag_payload_open_mapped(struct tag_payload *payload);
void tag_payload_open_user_copy(struct tag_payload *payload);
void tag_payload_close(struct tag_payload *payload);

/* What FETCH and COMMIT carry as addr for this tag. */
static inline uint64_t tag_payload_address(const struct tag_payload *payload, uint16_t tag)
{
	if (!payload->buffers)
		return 0;
	return (uintptr_t)(payload->buffers + (size_t)tag * payload->max_io_bytes);
}

/* Copies that the driver makes for one byte, beyond what load() and store() count. */
static inline uint32_t tag_payload_driver_copies(const struct tag_payload *payload)
{
	return payload->buffers ? 1 : 0;
}

#endif
