// SPDX-License-Identifier: GPL-2.0
/* request.c - from the block layer's words to the ABI's, and back. */
#include <linux/bottom_half.h>

#include "request.h"

/* The ABI's word for the operation; negative: it has none. */
static int ublk_request_describe_operation(enum req_op operation)
{
	switch (operation) {
	case REQ_OP_READ:
		return UBLK_IO_OP_READ;
	case REQ_OP_WRITE:
		return UBLK_IO_OP_WRITE;
	case REQ_OP_FLUSH:
		return UBLK_IO_OP_FLUSH;
	case REQ_OP_DISCARD:
		return UBLK_IO_OP_DISCARD;
	case REQ_OP_WRITE_ZEROES:
		return UBLK_IO_OP_WRITE_ZEROES;
	default:
		return -EOPNOTSUPP;
	}
}

#define DESCRIBED_FLAGS (REQ_FAILFAST_MASK | REQ_META | REQ_FUA | REQ_NOUNMAP | REQ_SWAP)

/* Kernel and ABI have the same meanings at different bits. Few requests have any. */
static noinline u32 ublk_request_describe_flags(blk_opf_t kernel)
{
	u32 flags = 0;

	if (kernel & REQ_FAILFAST_DEV)
		flags |= UBLK_IO_F_FAILFAST_DEV;
	if (kernel & REQ_FAILFAST_TRANSPORT)
		flags |= UBLK_IO_F_FAILFAST_TRANSPORT;
	if (kernel & REQ_FAILFAST_DRIVER)
		flags |= UBLK_IO_F_FAILFAST_DRIVER;
	if (kernel & REQ_META)
		flags |= UBLK_IO_F_META;
	if (kernel & REQ_FUA)
		flags |= UBLK_IO_F_FUA;
	if (kernel & REQ_NOUNMAP)
		flags |= UBLK_IO_F_NOUNMAP;
	if (kernel & REQ_SWAP)
		flags |= UBLK_IO_F_SWAP;
	return flags;
}

int ublk_request_describe(struct request *request, u64 buffer, struct ublksrv_io_desc *desc)
{
	int operation = ublk_request_describe_operation(req_op(request));
	u32 flags = 0;

	if (unlikely(operation < 0))
		return operation;
	if (unlikely(request->cmd_flags & DESCRIBED_FLAGS))
		flags = ublk_request_describe_flags(request->cmd_flags);
	desc->op_flags = operation | flags;
	desc->nr_sectors = blk_rq_sectors(request);
	desc->start_sector = blk_rq_pos(request);
	desc->addr = buffer;
	return 0;
}

/*
 * A daemon chooses among the errors that a disk may have. Any other would tell those above
 * something that is not the daemon's to say, and is EIO: try again (EAGAIN, ENOMEM, EBUSY), the
 * disk has no such operation (EREMOTEIO, to device mapper), the file has no such attribute
 * (ENODATA, to XFS). EOPNOTSUPP is for what may be left out: of a FLUSH it would count as success,
 * with nothing flushed.
 */
static blk_status_t ublk_request_status_of(enum req_op operation, int error)
{
	switch (error) {
	case -EOPNOTSUPP:
		if (operation == REQ_OP_DISCARD || operation == REQ_OP_WRITE_ZEROES)
			return BLK_STS_NOTSUPP;
		break;
	case -ENOSPC:
	case -ETIMEDOUT:
	case -ENOLINK:
	case -EILSEQ:
		return errno_to_blk_status(error);
	}
	return BLK_STS_IOERR;
}

/*
 * Ending a bio may drop the last reference to an opened disk, whose release takes the disk's
 * open_mutex; the partition scan holds that and waits for this very task to serve it. With bottom
 * halves off the kernel leaves that release to a kworker.
 */
static void ublk_request_end_whole(struct request *request, blk_status_t status)
{
	local_bh_disable();
	blk_mq_end_request(request, status);
	local_bh_enable();
}

static bool ublk_request_end_part(struct request *request, unsigned int done_bytes)
{
	bool more;

	local_bh_disable();
	more = blk_update_request(request, BLK_STS_OK, done_bytes);
	local_bh_enable();
	return more;
}

void ublk_request_end(struct request *request, int result)
{
	unsigned int done_bytes;

	if (unlikely(result < 0)) {
		ublk_request_end_whole(request, ublk_request_status_of(req_op(request), result));
		return;
	}
	if (!ublk_request_has_data(request) || likely(result >= blk_rq_bytes(request))) {
		ublk_request_end_whole(request, BLK_STS_OK);
		return;
	}
	done_bytes = round_down(result, queue_logical_block_size(request->q));
	if (!done_bytes || !ublk_request_end_part(request, done_bytes))
		ublk_request_end_whole(request, BLK_STS_IOERR);
	else
		blk_mq_requeue_request(request, true);
}

void ublk_request_fail(struct request *request)
{
	ublk_request_end_whole(request, BLK_STS_IOERR);
}

void ublk_request_requeue(struct request *request)
{
	blk_mq_requeue_request(request, false);
}
