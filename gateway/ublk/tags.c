/* SPDX-License-Identifier: MIT */
#include "gateway/ublk/tags.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/common/log.h"

#define BIT(n) (1u << (n))

void tag_move(struct tag *tag, enum tag_state to)
{
	static const uint8_t legal[] = {
		[TAG_PARKED] = BIT(TAG_ACTIVE) | BIT(TAG_ENDED),
		[TAG_ACTIVE] = BIT(TAG_PARKED),
		[TAG_ENDED] = 0,
	};

	assert(legal[tag->state] & BIT(to));
	tag->state = to;
}

static void put_command(struct tags *tags, uint16_t tag, uint32_t op, int32_t result)
{
	struct io_uring_sqe *sqe = ring_sqe(tags->ring, RING_UBLK, tag);
	struct ublksrv_io_cmd *command = (struct ublksrv_io_cmd *)sqe->cmd;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = RING_FILE_CHAR;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	command->q_id = tags->queue_id;
	command->tag = tag;
	command->result = result;
	command->addr = tag_payload_address(&tags->payload, tag);
}

void tags_fetch_all(struct tags *tags)
{
	for (uint16_t tag = 0; tag < tags->depth; tag++)
		put_command(tags, tag, UBLK_U_IO_FETCH_REQ, 0);
}

/* --- a request arrives -------------------------------------------------------------------------- */

static int read_operation(uint32_t op_flags, struct block_request *request)
{
	request->fua = op_flags & UBLK_IO_F_FUA;
	request->no_hole = false;
	switch (op_flags & 0xff) {
	case UBLK_IO_OP_READ:
		request->op = BLOCK_READ;
		return 0;
	case UBLK_IO_OP_WRITE:
		request->op = BLOCK_WRITE;
		return 0;
	case UBLK_IO_OP_FLUSH:
		request->op = BLOCK_FLUSH;
		return 0;
	case UBLK_IO_OP_DISCARD:
		request->op = BLOCK_TRIM;
		return 0;
	case UBLK_IO_OP_WRITE_ZEROES:
		request->op = BLOCK_WRITE_ZEROES;
		request->no_hole = op_flags & UBLK_IO_F_NOUNMAP;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

int tags_read_descriptor(const struct ublksrv_io_desc *descriptor, uint64_t size_bytes,
			 uint32_t max_io_bytes, struct block_request *request)
{
	uint64_t offset_bytes = descriptor->start_sector << 9;
	uint64_t length_bytes = (uint64_t)descriptor->nr_sectors << 9;
	int ret = read_operation(descriptor->op_flags, request);

	if (ret < 0)
		return ret;
	request->offset_bytes = 0;
	request->length_bytes = 0;
	if (request->op == BLOCK_FLUSH)
		return 0;
	if (length_bytes == 0 || length_bytes > UINT32_MAX ||
	    descriptor->start_sector > UINT64_MAX >> 9 || offset_bytes > size_bytes ||
	    length_bytes > size_bytes - offset_bytes)
		return -EIO;
	if ((request->op == BLOCK_READ || request->op == BLOCK_WRITE) &&
	    length_bytes > max_io_bytes)
		return -EIO;
	request->offset_bytes = offset_bytes;
	request->length_bytes = (uint32_t)length_bytes;
	return 0;
}

static void count_request(struct tags *tags, const struct block_request *request)
{
	struct stats *stats = tags->stats;

	switch (request->op) {
	case BLOCK_READ:
		stats_add(&stats->reads, 1);
		break;
	case BLOCK_WRITE:
		stats_add(&stats->writes, 1);
		break;
	case BLOCK_FLUSH:
		stats_add(&stats->flushes, 1);
		break;
	case BLOCK_TRIM:
		stats_add(&stats->trims, 1);
		break;
	case BLOCK_WRITE_ZEROES:
		stats_add(&stats->zeroes, 1);
	}
}

static void log_unreadable(const struct tags *tags, uint16_t tag, int error)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT_INIT;
	const struct ublksrv_io_desc *descriptor = &tags->descriptors[tag];
	uint32_t held;

	trouble_note(tags->trouble, false,
		     "the kernel asked for operation %u on %u sectors at %llu: %s",
		     descriptor->op_flags & 0xff, descriptor->nr_sectors,
		     (unsigned long long)descriptor->start_sector, strerror(-error));
	if (log_limit_pass(&limit, &held))
		log_error("queue %u tag %u: the kernel asked for operation %u on %u sectors at "
			  "%llu: %s%s",
			  tags->queue_id, tag, descriptor->op_flags & 0xff, descriptor->nr_sectors,
			  (unsigned long long)descriptor->start_sector, strerror(-error),
			  log_limit_held_text(held));
}

static void take_request(struct tags *tags, uint16_t tag)
{
	struct block_request *request = &tags->tags[tag].request;
	uint64_t size_bytes = atomic_load_explicit(tags->size_bytes, memory_order_relaxed);
	int ret = tags_read_descriptor(&tags->descriptors[tag], size_bytes, tags->max_io_bytes,
				       request);

	request->tag = tag;
	tag_move(&tags->tags[tag], TAG_ACTIVE);
	tags->active++;
	if (ret == 0) {
		count_request(tags, request);
		tags->backend->ops->submit(tags->backend, request);
		return;
	}
	log_unreadable(tags, tag, ret);
	request->error =
		-EIO; /* whatever the reason: most errnos mean something to the block layer */
	tags_done(tags, request);
}

/* A tag without a command: a request that the driver has under it would wait for ever. */
static void take_refusal(struct tags *tags, uint32_t tag, int error)
{
	trouble_note(tags->trouble, false, "the driver refused a command: %s", strerror(error));
	log_error("queue %u tag %u: the driver refused the command: %s", tags->queue_id, tag,
		  strerror(error));
	tags->refused = error;
}

void tags_completed(struct tags *tags, uint32_t tag, int result)
{
	if (result == UBLK_IO_RES_OK) {
		take_request(tags, (uint16_t)tag);
		return;
	}
	if (result != UBLK_IO_RES_ABORT)
		take_refusal(tags, tag, -result);
	tag_move(&tags->tags[tag], TAG_ENDED);
	tags->ended++;
}

/* --- a request is done --------------------------------------------------------------------------- */

static void count_done(struct tags *tags, const struct block_request *request)
{
	struct stats *stats = tags->stats;
	uint64_t copied_bytes =
		(uint64_t)request->length_bytes * tag_payload_driver_copies(&tags->payload);

	if (request->error) {
		stats_add(&stats->errors, 1);
	} else if (request->op == BLOCK_READ) {
		stats_add(&stats->read_bytes, request->length_bytes);
		stats_add(&stats->copied_bytes, copied_bytes);
	} else if (request->op == BLOCK_WRITE) {
		stats_add(&stats->write_bytes, request->length_bytes);
		stats_add(&stats->copied_bytes, copied_bytes);
	}
}

/*
 * What the driver is told: a negative errno, or the full length, never anything between: a short
 * result is success to it where it does not do the copying itself. Only payloads have a length:
 * that of a trim may be above 2 GiB, which would be negative here, and the driver does not look.
 */
static int32_t result_of(const struct block_request *request)
{
	bool payload = request->op == BLOCK_READ || request->op == BLOCK_WRITE;

	if (request->error)
		return request->error;
	return payload ? (int32_t)request->length_bytes : 0;
}

void tags_done(void *submitter, struct block_request *request)
{
	struct tags *tags = submitter;

	assert(request->error <= 0);
	count_done(tags, request);
	tag_move(&tags->tags[request->tag], TAG_PARKED);
	tags->active--;
	put_command(tags, request->tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result_of(request));
}

/* --- open, close --------------------------------------------------------------------------------- */

static int map_descriptors(struct tags *tags)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	size_t stride_bytes = UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc);
	void *descriptors;

	/* The driver wants exactly this length; each queue's area begins a full area further. */
	tags->descriptors_bytes = tags->depth * sizeof(struct ublksrv_io_desc);
	tags->descriptors_bytes = (tags->descriptors_bytes + page_bytes - 1) & ~(page_bytes - 1);
	stride_bytes = (stride_bytes + page_bytes - 1) & ~(page_bytes - 1);
	descriptors = mmap(NULL, tags->descriptors_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE,
			   tags->char_fd,
			   (off_t)(UBLKSRV_CMD_BUF_OFFSET + tags->queue_id * stride_bytes));
	if (descriptors == MAP_FAILED)
		return -errno;
	tags->descriptors = descriptors;
	return 0;
}

static int open_payload(struct tags *tags, bool mapped)
{
	tags->payload = (struct tag_payload){
		.char_fd = tags->char_fd,
		.queue_id = tags->queue_id,
		.depth = tags->depth,
		.max_io_bytes = tags->max_io_bytes,
		.stats = tags->stats,
	};
	if (mapped)
		return tag_payload_open_mapped(&tags->payload);
	tag_payload_open_user_copy(&tags->payload);
	return 0;
}

uint64_t tags_memory_bytes(uint16_t depth, uint32_t max_io_bytes, bool mapped)
{
	return depth * (sizeof(struct tag) + (mapped ? (uint64_t)max_io_bytes : 0));
}

int tags_open(struct tags *tags, bool mapped)
{
	int ret;

	tags->tags = calloc(tags->depth, sizeof(*tags->tags));
	if (!tags->tags)
		return -ENOMEM;
	ret = open_payload(tags, mapped);
	return ret < 0 ? ret : map_descriptors(tags);
}

/* The driver has the address of a tag's buffer as long as it has the tag's command. */
static bool driver_has_any(const struct tags *tags)
{
	for (uint32_t tag = 0; tags->tags && tag < tags->depth; tag++)
		if (tags->tags[tag].state == TAG_PARKED)
			return true;
	return false;
}

void tags_close(struct tags *tags, bool held)
{
	if (tags->descriptors)
		munmap(tags->descriptors, tags->descriptors_bytes);
	tags->descriptors = NULL;
	if (!held && !driver_has_any(tags))
		tag_payload_close(&tags->payload);
	free(tags->tags);
	tags->tags = NULL;
}
