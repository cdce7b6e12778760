/* SPDX-License-Identifier: GPL-2.0 */
/*
 * command.h - the I/O path: a request goes to the daemon with a command, and comes back with one.
 *
 *    ublk_command_queue()     block layer's context: describes the request, wakes the daemon's task
 *    task work "deliver"      the daemon's task: copies a WRITE's data, completes the command
 *    ublk_command_issue()     the daemon's task: FETCH, COMMIT_AND_FETCH, GET_DATA
 */
#ifndef UBLK_COMMAND_H
#define UBLK_COMMAND_H

#include <linux/blk_types.h>

struct file;
struct io_uring_cmd;
struct request;
struct ublk_queue;

/*
 * Takes a request that has been started. Sends it to the daemon, keeps it for a successor, or
 * BLK_STS_IOERR.
 */
blk_status_t ublk_command_queue(struct ublk_queue *queue, struct request *request);

/*
 * The char device's uring_cmd. Checked in this order: opcode, queue and tag, task, the slot's state, the
 * operands; of a FETCH, whose slot has no task yet: opcode, queue and tag, the operands, process, the
 * slot's state, the queue's task. -EOPNOTSUPP unknown opcode; -EINVAL queue, tag, task, state or operand;
 * -EBUSY the slot was fetched already, its data is being copied, or the COMMIT was broken off by a kill;
 * -ENODEV the device is being cancelled. GET_DATA returns 0, or -EFAULT where the buffer cannot be written.
 */
int ublk_command_issue(struct io_uring_cmd *command, unsigned int issue_flags);

#endif
