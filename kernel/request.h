/* SPDX-License-Identifier: GPL-2.0 */
/* request.h - a block request as the ABI describes it, and how it ends. */
#ifndef UBLK_REQUEST_H
#define UBLK_REQUEST_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>

#include "slot.h"
#include "ublk_cmd.h"

struct ublk_queue;

/* Fills the tag's descriptor. -EOPNOTSUPP: an operation that the ABI has not. */
int ublk_request_describe(struct request *request, u64 buffer, struct ublksrv_io_desc *desc);

/* Carries payload in its pages: a READ or a WRITE. */
static inline bool ublk_request_has_data(const struct request *request)
{
	return req_op(request) == REQ_OP_READ || req_op(request) == REQ_OP_WRITE;
}

/*
 * With this result of the daemon's the request would end with an error, not the least of it done.
 */
static inline bool ublk_request_fails(const struct request *request, int result)
{
	return result < 0 || (ublk_request_has_data(request) && result < blk_rq_bytes(request) &&
			      result < queue_logical_block_size(request->q));
}

/*
 * Ends the request with the daemon's result: bytes done, or a negative errno. More bytes than it
 * has count as all; what a short READ or WRITE left is sent to the daemon again; none, or less than
 * a block, is EIO. Operations without payload are done with any result that is not negative.
 */
void ublk_request_end(struct request *request, int result);

/* Fails it, or keeps it for the daemon's successor. With the queue's lock held for REQUEUE. */
void ublk_request_fail(struct request *request);
void ublk_request_requeue(struct request *request);

#endif
