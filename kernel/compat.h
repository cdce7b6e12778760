/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - what kernels from 6.1 on call differently; the only place with version conditions.
 *
 * Tested with 6.1, 6.12 and 7.3. The kernels 6.9 and 6.10 had a block-limits interface of their own
 * that no distribution without ublk ships, and are refused.
 */
#ifndef UBLK_COMPAT_H
#define UBLK_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#define KERNEL_AT_LEAST(major, minor) (LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

#if KERNEL_AT_LEAST(6, 8)
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#include <linux/io_uring_types.h>
#endif

#if !KERNEL_AT_LEAST(6, 1) || (KERNEL_AT_LEAST(6, 9) && !KERNEL_AT_LEAST(6, 11))
#error "this driver builds for Linux 6.1 to 6.8, and 6.11 and later"
#endif

/*
 * --- io_uring commands --------------------------------------------------------------------------
 */

#ifdef io_uring_cmd_from_tw
#define COMPAT_TASK_WORK_TOKENS 1
#elif KERNEL_AT_LEAST(6, 19)
#define COMPAT_TASK_WORK_TOKENS 1
#else
#define COMPAT_TASK_WORK_TOKENS 0
#endif

/*
 * COMPAT_TASK_WORK(name, run): defines name(), to be given to io_uring_cmd_complete_in_task(),
 * which calls run(struct io_uring_cmd *command, unsigned int issue_flags).
 */
#if COMPAT_TASK_WORK_TOKENS
#define COMPAT_TASK_WORK(name, run)                                                                \
	static void name(struct io_tw_req tw_req, io_tw_token_t tw)                                \
	{                                                                                          \
		run(io_uring_cmd_from_tw(tw_req), IO_URING_CMD_TASK_WORK_ISSUE_FLAGS);             \
	}
#else
#define COMPAT_TASK_WORK(name, run)                                                                \
	static void name(struct io_uring_cmd *command, unsigned int issue_flags)                   \
	{                                                                                          \
		run(command, issue_flags);                                                         \
	}
#endif

/*
 * Completes a command; issue_flags as the caller got them, or IO_URING_F_UNLOCKED from elsewhere.
 */
static inline void compat_command_done(struct io_uring_cmd *command, int result,
				       unsigned int issue_flags)
{
#if KERNEL_AT_LEAST(6, 18)
	io_uring_cmd_done(command, result, issue_flags);
#else
	io_uring_cmd_done(command, result, 0, issue_flags);
#endif
}

/* The ring that a command came from, only to be compared. */
static inline const void *compat_command_ring(struct io_uring_cmd *command)
{
	return cmd_to_io_kiocb(command)->ctx;
}

/* The payload of the SQE; only valid while the command is being issued. */
static inline const void *compat_command_payload(const struct io_uring_cmd *command)
{
#if KERNEL_AT_LEAST(6, 5)
	return command->sqe->cmd;
#else
	return command->cmd;
#endif
}

/*
 * A command that is told to come again in a worker (-EAGAIN) has a copy of its SQE there; but
 * 6.12's ring gives it the SQE itself, which may be another command's by then. There the payload is
 * kept in the command's private area, and a flag, which the ring makes anew for each command and
 * lets no user set, says so: one behind a link may begin in a worker.
 */
#if KERNEL_AT_LEAST(6, 9) && !KERNEL_AT_LEAST(6, 16)
#define COMPAT_PAYLOAD_KEPT BIT(24)
static inline void compat_command_keep_payload(struct io_uring_cmd *command, size_t length_bytes)
{
	memcpy(command->pdu, compat_command_payload(command), length_bytes);
	command->flags |= COMPAT_PAYLOAD_KEPT;
}

static inline const void *compat_command_kept_payload(struct io_uring_cmd *command)
{
	return command->flags & COMPAT_PAYLOAD_KEPT ? command->pdu
						    : compat_command_payload(command);
}
#else
static inline void compat_command_keep_payload(struct io_uring_cmd *command, size_t length_bytes)
{
}

static inline const void *compat_command_kept_payload(struct io_uring_cmd *command)
{
	return compat_command_payload(command);
}
#endif

/* From 6.7 on a ring that goes away tells its commands so. */
#if KERNEL_AT_LEAST(6, 7)
#define COMPAT_CANCEL_FLAG IO_URING_F_CANCEL
static inline void compat_command_cancelable(struct io_uring_cmd *command, unsigned int issue_flags)
{
	io_uring_cmd_mark_cancelable(command, issue_flags);
}

static inline bool compat_command_ring_closed(struct io_uring_cmd *command)
{
	return false;
}
#else
#define COMPAT_CANCEL_FLAG 0
static inline void compat_command_cancelable(struct io_uring_cmd *command, unsigned int issue_flags)
{
}

/* Of a command that is not completed: its ring waits for that, and after some minutes it warns. */
static inline bool compat_command_ring_closed(struct io_uring_cmd *command)
{
	return percpu_ref_is_dying(&cmd_to_io_kiocb(command)->ctx->refs);
}
#endif

/*
 * --- user memory --------------------------------------------------------------------------------
 */

/*
 * copy_to_user() and copy_from_user() without their check of what object the kernel's bytes belong
 * to; they return the bytes that are left.
 */
static inline unsigned long compat_copy_to_user(void __user *to, const void *from,
						unsigned long length_bytes)
{
#if KERNEL_AT_LEAST(6, 12) && defined(INLINE_COPY_TO_USER)
	return _inline_copy_to_user(to, from, length_bytes);
#else
	return _copy_to_user(to, from, length_bytes);
#endif
}

static inline unsigned long compat_copy_from_user(void *to, const void __user *from,
						  unsigned long length_bytes)
{
#if KERNEL_AT_LEAST(6, 12) && defined(INLINE_COPY_FROM_USER)
	return _inline_copy_from_user(to, from, length_bytes);
#else
	return _copy_from_user(to, from, length_bytes);
#endif
}

static inline void compat_vm_never_writable(struct vm_area_struct *area)
{
#if KERNEL_AT_LEAST(6, 3)
	vm_flags_clear(area, VM_MAYWRITE);
#else
	area->vm_flags &= ~VM_MAYWRITE;
#endif
}

/*
 * --- files and classes --------------------------------------------------------------------------
 */

static inline int compat_path_permission(const struct path *path, int mask)
{
#if KERNEL_AT_LEAST(6, 3)
	return inode_permission(mnt_idmap(path->mnt), d_backing_inode(path->dentry), mask);
#else
	return inode_permission(mnt_user_ns(path->mnt), d_backing_inode(path->dentry), mask);
#endif
}

static inline struct class *compat_class_create(const char *name)
{
#if KERNEL_AT_LEAST(6, 4)
	return class_create(name);
#else
	return class_create(THIS_MODULE, name);
#endif
}

/*
 * --- requests -----------------------------------------------------------------------------------
 */

/*
 * Before 6.7 one that comes in a list is not yet among its tag's: without this it has no timeout,
 * and counts as not in flight.
 */
static inline void compat_request_start(struct request *request)
{
#if !KERNEL_AT_LEAST(6, 7)
	request->mq_hctx->tags->rqs[request->tag] = request;
#endif
	blk_mq_start_request(request);
}

/*
 * COMPAT_QUEUE_LIST(name, run): defines name(), a driver's queue_rqs(), which calls
 * run(struct rq_list *requests). Once a list was a bare pointer, and rq_list_pop() a macro.
 */
#ifdef rq_list_pop
struct rq_list {
	struct request *head;
};

#define COMPAT_QUEUE_LIST(name, run)                                                               \
	static void name(struct request **head)                                                    \
	{                                                                                          \
		struct rq_list requests = { .head = *head };                                       \
		run(&requests);                                                                    \
		*head = requests.head;                                                             \
	}

static inline struct request *compat_list_pop(struct rq_list *list)
{
	return rq_list_pop(&list->head);
}

static inline void compat_list_add(struct rq_list *list, struct request *request)
{
	rq_list_add(&list->head, request);
}
#else
#define COMPAT_QUEUE_LIST(name, run)                                                               \
	static void name(struct rq_list *requests)                                                 \
	{                                                                                          \
		run(requests);                                                                     \
	}

static inline struct request *compat_list_pop(struct rq_list *list)
{
	return rq_list_pop(list);
}

static inline void compat_list_add(struct rq_list *list, struct request *request)
{
	rq_list_add_tail(list, request);
}
#endif

/*
 * --- disks --------------------------------------------------------------------------------------
 */

/* Until bd_abort_claiming(): nobody opens the disk for himself. -EBUSY: somebody has. */
static inline int compat_claim(struct block_device *disk, void *holder)
{
#if KERNEL_AT_LEAST(6, 5)
	return bd_prepare_to_claim(disk, holder, NULL);
#else
	return bd_prepare_to_claim(disk, holder);
#endif
}

/* What a block device's open() is given, and how. */
#if KERNEL_AT_LEAST(6, 5)
#define COMPAT_OPENED	 struct gendisk
#define COMPAT_OPEN_MODE blk_mode_t
static inline struct gendisk *compat_opened_disk(struct gendisk *opened)
{
	return opened;
}
#else
#define COMPAT_OPENED	 struct block_device
#define COMPAT_OPEN_MODE fmode_t
static inline struct gendisk *compat_opened_disk(struct block_device *opened)
{
	return opened->bd_disk;
}
#endif

#ifdef BLK_FEAT_WRITE_CACHE
#define COMPAT_LIMIT_FEATURES 1
#elif KERNEL_AT_LEAST(6, 11)
#define COMPAT_LIMIT_FEATURES 1
#else
#define COMPAT_LIMIT_FEATURES 0
#endif

#if KERNEL_AT_LEAST(6, 14)
#define COMPAT_TAG_SET_FLAGS 0
#else
#define COMPAT_TAG_SET_FLAGS BLK_MQ_F_SHOULD_MERGE
#endif

/* What a disk has beside its limits. */
struct compat_disk_features {
	bool write_cache;
	bool fua;
	bool rotational;
};

#if COMPAT_LIMIT_FEATURES
static inline struct gendisk *compat_disk_alloc(struct blk_mq_tag_set *tags,
						struct queue_limits *limits,
						const struct compat_disk_features *features,
						void *queue_data)
{
	if (features->write_cache)
		limits->features |= BLK_FEAT_WRITE_CACHE;
	if (features->fua)
		limits->features |= BLK_FEAT_FUA;
	if (features->rotational)
		limits->features |= BLK_FEAT_ROTATIONAL;
	return blk_mq_alloc_disk(tags, limits, queue_data);
}
#else
static inline void compat_queue_limits(struct request_queue *queue,
				       const struct queue_limits *limits)
{
	blk_queue_logical_block_size(queue, limits->logical_block_size);
	blk_queue_physical_block_size(queue, limits->physical_block_size);
	blk_queue_io_min(queue, limits->io_min);
	blk_queue_io_opt(queue, limits->io_opt);
	blk_queue_max_hw_sectors(queue, limits->max_hw_sectors);
	blk_queue_chunk_sectors(queue, limits->chunk_sectors);
	blk_queue_virt_boundary(queue, limits->virt_boundary_mask);
	if (limits->dma_alignment)
		blk_queue_dma_alignment(queue, limits->dma_alignment);
	if (limits->seg_boundary_mask)
		blk_queue_segment_boundary(queue, limits->seg_boundary_mask);
	if (limits->max_segment_size && !limits->virt_boundary_mask)
		blk_queue_max_segment_size(queue, limits->max_segment_size);
	if (limits->max_segments)
		blk_queue_max_segments(queue, limits->max_segments);
	queue->limits.discard_alignment = limits->discard_alignment;
	queue->limits.discard_granularity = limits->discard_granularity;
	blk_queue_max_discard_sectors(queue, limits->max_hw_discard_sectors);
	blk_queue_max_write_zeroes_sectors(queue, limits->max_write_zeroes_sectors);
	blk_queue_max_discard_segments(queue, limits->max_discard_segments);
}

static inline struct gendisk *compat_disk_alloc(struct blk_mq_tag_set *tags,
						struct queue_limits *limits,
						const struct compat_disk_features *features,
						void *queue_data)
{
	struct gendisk *disk = blk_mq_alloc_disk(tags, queue_data);

	if (IS_ERR(disk))
		return disk;
	compat_queue_limits(disk->queue, limits);
	blk_queue_write_cache(disk->queue, features->write_cache, features->fua);
	if (features->rotational)
		blk_queue_flag_clear(QUEUE_FLAG_NONROT, disk->queue);
	else
		blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	return disk;
}
#endif

#endif
