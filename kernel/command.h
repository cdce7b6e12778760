/* SPDX-License-Identifier: GPL-2.0 */
/*
 * command.h - the I/O path: a request goes to the daemon with a command, and comes back with one.
 *
 *    ublk_command_queue()     block layer's context: describes the request, wakes the daemon;
 *                             _list() does so with many before it lets the daemon run
 *    task work "deliver"      the daemon's task: copies WRITEs' data, completes the commands
 *    ublk_command_issue()     the daemon's task: FETCH, COMMIT_AND_FETCH, GET_DATA
 */
#ifndef UBLK_COMMAND_H
#define UBLK_COMMAND_H

#include <linux/blk_types.h>

struct io_uring_cmd;
struct request;
struct rq_list;
struct ublk_queue;

/* Starts the request, and sends it to the daemon, keeps it for a successor, or BLK_STS_IOERR. */
blk_status_t ublk_command_queue(struct ublk_queue *queue, struct request *request);

/*
 * Starts those that can go to the daemon at once, and sends them; others stay in the list, in any
 * order, for ublk_command_queue().
 */
void ublk_command_queue_list(struct rq_list *requests);

/*
 * The char device's uring_cmd. Checked in this order: opcode, queue and tag, task, the slot's
 * state, the operands; of a FETCH, whose slot has no task yet: opcode, queue and tag, the operands,
 * process, the slot's state. -EOPNOTSUPP unknown opcode; -EINVAL queue, tag, task, state or
 * operand; -EBUSY the slot was fetched already, its data is being copied, or the COMMIT was broken
 * off by a kill; -ENODEV the device is being cancelled. GET_DATA returns 0, or -EFAULT where the
 * buffer cannot be written.
 */
int ublk_command_issue(struct io_uring_cmd *command, unsigned int issue_flags);

#endif
