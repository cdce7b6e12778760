/* SPDX-License-Identifier: MIT */
/*
 * refuse_fetch.c - makes the ublk driver refuse one of a daemon's FETCH commands. Preloaded, it wraps liburing's
 * io_uring_submit() and replaces the tag of the command that REFUSE_FETCH=QUEUE:TAG names by one that the device
 * does not have. Rings of the control device (128-byte submissions) are left alone.
 *
 *   REFUSE_FETCH=0:3 LD_PRELOAD=/usr/local/tests/refuse_fetch.so ublk-nbd connect ...
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/common/uring_compat.h"
#include "kernel/ublk_cmd.h"

#define NO_SUCH_TAG UINT16_MAX

static void spoil(struct io_uring_sqe *sqe, unsigned int queue, unsigned int tag)
{
	struct ublksrv_io_cmd *command = (struct ublksrv_io_cmd *)sqe->cmd;

	if (sqe->opcode == IORING_OP_URING_CMD && sqe->cmd_op == UBLK_U_IO_FETCH_REQ &&
	    command->q_id == queue && command->tag == tag)
		command->tag = NO_SUCH_TAG;
}

__attribute__((visibility("default"))) int io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring * ring) =
		(int (*)(struct io_uring *))dlsym(RTLD_NEXT, "io_uring_submit");
	const char *wish = getenv("REFUSE_FETCH");
	struct io_uring_sq *sq = &ring->sq;
	unsigned int queue, tag;

	if (wish && !(ring->flags & IORING_SETUP_SQE128) &&
	    sscanf(wish, "%u:%u", &queue, &tag) == 2)
		for (unsigned int at = sq->sqe_head; at != sq->sqe_tail; at++)
			spoil(&sq->sqes[at & *sq->kring_mask], queue, tag);
	return real(ring);
}
