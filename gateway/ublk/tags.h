/* SPDX-License-Identifier: MIT */
/*
 * tags.h - the driver's side of a queue: a command for each tag, which completes with a block request; and
 * the commit, which ends the request and fetches the next one under its tag.
 *
 *   PARKED --request arrives: submitted--> ACTIVE --done: committed--> PARKED
 *   PARKED --the driver aborts the command, or refused it--> ENDED
 *
 * PARKED: the driver has the tag's command. What wakes a state: PARKED - the command's completion;
 * ACTIVE - the backend, which is done with each request. ENDED is final. Who may commit: tags_done()
 * alone, and with it only the backend that has the request.
 *
 * Queue thread only, but for open and close.
 */
#ifndef GATEWAY_UBLK_TAGS_H
#define GATEWAY_UBLK_TAGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/block/backend.h"
#include "gateway/ublk/tag_payload.h"
#include "kernel/ublk_cmd.h"

enum tag_state { TAG_PARKED, TAG_ACTIVE, TAG_ENDED };

struct tag {
	enum tag_state state;
	struct block_request request; /* while ACTIVE */
};

/* The caller fills in what stands before tags. */
struct tags {
	int char_fd; /* borrowed */
	uint16_t queue_id;
	uint16_t depth;
	uint32_t max_io_bytes;		    /* of a READ or WRITE */
	const _Atomic uint64_t *size_bytes; /* of the device; raised by resize */
	struct io_uring *ring;
	struct block_backend *backend; /* whose done() is tags_done(), and whose payload is ours */
	struct stats *stats;
	struct trouble *trouble;

	struct tag *tags;		     /* depth of them */
	struct ublksrv_io_desc *descriptors; /* read-only, shared with the driver */
	size_t descriptors_bytes;
	struct tag_payload payload;
	uint32_t active;
	uint32_t ended;
	int refused; /* positive errno: the driver refused a command, so that the disk cannot go on */
};

/* What tags_open() takes of memory. */
uint64_t tags_memory_bytes(uint16_t depth, uint32_t max_io_bytes, bool mapped);
/* mapped: payload in buffers of ours, else by user copy. 0 or -errno. tags_close() is due in every case. */
int tags_open(struct tags *tags, bool mapped);
/* Gives back all but mapped buffers whose addresses the driver still has, or (held) the ring. */
void tags_close(struct tags *tags, bool held);

/* Puts a FETCH for each tag into the ring. */
void tags_fetch_all(struct tags *tags);
/* What became of a tag's command: the result of its completion. */
void tags_completed(struct tags *tags, uint32_t tag, int result);
/* block_backend.done, with the tags as its submitter: tells the driver, and waits for the next request under this tag. */
void tags_done(void *submitter, struct block_request *request);

/* Checked: any other move is a mistake of our own, and ends the program. */
void tag_move(struct tag *tag, enum tag_state to);

/* The request of a descriptor (all but its tag). 0, or -EIO (out of the device or too large: the driver's
 * limits were not kept), -EOPNOTSUPP (an operation we never advertised). Pure. */
int tags_read_descriptor(const struct ublksrv_io_desc *descriptor, uint64_t size_bytes,
			 uint32_t max_io_bytes, struct block_request *request);

#endif
