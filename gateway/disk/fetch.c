/* SPDX-License-Identifier: MIT */
/*
 * fetch.c - the driver's side of a queue: a command for each tag, which completes with a block
 * request; and the commit that ends the request and fetches the next.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/disk/queue.h"
#include "gateway/disk/translate.h"

static void put_command(struct queue *queue, struct slot *slot, uint32_t op, int32_t result)
{
	struct io_uring_sqe *sqe = ring_sqe(&queue->ring, RING_UBLK, slot->tag);
	struct ublksrv_io_cmd *command = (struct ublksrv_io_cmd *)sqe->cmd;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = RING_FILE_CHAR;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	command->q_id = queue->id;
	command->tag = slot->tag;
	command->result = result;
	command->addr = queue->payload.ops->fetch_addr(&queue->payload, slot->tag);
}

static void count_committed(struct queue *queue, const struct slot *slot)
{
	struct stats *stats = &queue->stats;
	uint64_t copied_bytes = (uint64_t)slot->length_bytes * queue->payload.ops->kernel_copies;

	if (slot->error) {
		stats_add(&stats->errors, 1);
	} else if (slot->op == UBLK_IO_OP_READ) {
		stats_add(&stats->read_bytes, slot->length_bytes);
		stats_add(&stats->copied_bytes, copied_bytes);
	} else if (slot->op == UBLK_IO_OP_WRITE) {
		stats_add(&stats->write_bytes, slot->length_bytes);
		stats_add(&stats->copied_bytes, copied_bytes);
	}
}

/*
 * What the driver is told: a negative errno, or the full length, never anything between: a short
 * result is success to it where it does not do the copying itself. Only payloads have a length:
 * that of a trim may be above 2 GiB, which would be negative here, and the driver does not look.
 */
static int32_t result_of(const struct slot *slot)
{
	bool payload = slot->op == UBLK_IO_OP_READ || slot->op == UBLK_IO_OP_WRITE;

	if (slot->error)
		return slot->error;
	return payload ? (int32_t)slot->length_bytes : 0;
}

/* Ends the block request and waits for the next under this tag. */
void fetch_commit(struct queue *queue, struct slot *slot)
{
	int32_t result = result_of(slot);

	assert(slot->parts_open == 0 && slot->error <= 0);
	for (uint16_t part = 0; part < slot->parts_count; part++) {
		struct wire_request *request = &slot->parts[part];

		if (request->tx != TX_IDLE)
			wire_request_move_tx(request, TX_IDLE);
	}
	count_committed(queue, slot);
	slot_move(slot, SLOT_PARKED);
	queue->slots_active--;
	put_command(queue, slot, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

static void count_request(struct queue *queue, const struct slot *slot)
{
	struct stats *stats = &queue->stats;

	switch (slot->op) {
	case UBLK_IO_OP_READ:
		stats_add(&stats->reads, 1);
		break;
	case UBLK_IO_OP_WRITE:
		stats_add(&stats->writes, 1);
		break;
	case UBLK_IO_OP_FLUSH:
		stats_add(&stats->flushes, 1);
		break;
	case UBLK_IO_OP_DISCARD:
		stats_add(&stats->trims, 1);
		break;
	default:
		stats_add(&stats->zeroes, 1);
	}
}

static void log_untranslatable(const struct queue *queue, const struct slot *slot, int error)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	const struct ublksrv_io_desc *descriptor = &queue->descriptors[slot->tag];
	uint32_t held;

	trouble_note(&queue->shared->trouble, false,
		     "the kernel asked for operation %u on %u sectors at %llu: %s", slot->op,
		     descriptor->nr_sectors, (unsigned long long)descriptor->start_sector,
		     strerror(-error));
	if (log_limit_pass(&limit, &held))
		log_error("queue %u tag %u: the kernel asked for operation %u on %u sectors at "
			  "%llu: %s%s",
			  queue->id, slot->tag, slot->op, descriptor->nr_sectors,
			  (unsigned long long)descriptor->start_sector, strerror(-error),
			  log_limit_held_text(held));
}

static void take_request(struct queue *queue, struct slot *slot)
{
	struct queue_shared *shared = queue->shared;
	struct translate_limits limits = {
		.export = queue->export,
		.size_bytes = atomic_load_explicit(&shared->size_bytes, memory_order_relaxed),
		.max_io_bytes = shared->max_io_bytes,
		.parts_max = shared->parts_max,
		.fua_always = shared->fua_always,
	};
	int ret;

	queue->export->size_bytes =
		atomic_load_explicit(&shared->export_size_bytes, memory_order_relaxed);
	ret = translate_request(slot, &queue->descriptors[slot->tag], &limits);
	slot_move(slot, SLOT_ACTIVE);
	queue->slots_active++;
	if (ret == 0) {
		count_request(queue, slot);
		dispatch_slot(queue, slot);
		return;
	}
	log_untranslatable(queue, slot, ret);
	slot->error = -EIO; /* whatever the reason: see proto/error.h */
	slot->parts_count = 0;
	slot->parts_open = 0;
	fetch_commit(queue, slot);
}

/* A tag without a command: a request that the driver has under it would wait for ever. The disk cannot go
 * on, and the main thread is told at once, whatever else the queue still serves. */
static void take_refusal(struct queue *queue, uint32_t tag, int error)
{
	trouble_note(&queue->shared->trouble, false, "the driver refused a command: %s",
		     strerror(error));
	log_error("queue %u tag %u: the driver refused the command: %s", queue->id, tag,
		  strerror(error));
	atomic_store(&queue->failure, error);
	queue_report(queue);
}

void fetch_completed(struct queue *queue, uint32_t tag, int result)
{
	struct slot *slot = &queue->slots[tag];

	if (result == UBLK_IO_RES_OK) {
		take_request(queue, slot);
		return;
	}
	if (result != UBLK_IO_RES_ABORT)
		take_refusal(queue, tag, -result);
	slot_move(slot, SLOT_ENDED);
	queue->slots_ended++;
}

void fetch_all(struct queue *queue)
{
	for (uint32_t tag = 0; tag < queue->shared->depth; tag++)
		put_command(queue, &queue->slots[tag], UBLK_U_IO_FETCH_REQ, 0);
}
