/* SPDX-License-Identifier: MIT */
#include "gateway/disk/payload.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/ublk_cmd.h"

/* --- mapped ------------------------------------------------------------------------------------ */

static uint8_t *mapped_at(const struct payload *payload, uint16_t tag, uint32_t offset_bytes)
{
	return payload->buffers + (size_t)tag * payload->max_io_bytes + offset_bytes;
}

static uint64_t mapped_fetch_addr(const struct payload *payload, uint16_t tag)
{
	return (uintptr_t)mapped_at(payload, tag, 0);
}

static int mapped_gather(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
			 uint32_t length_bytes, struct batch *batch)
{
	batch_refer(batch, mapped_at(payload, tag, offset_bytes), length_bytes);
	return 0;
}

static int mapped_store(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
			const void *data, uint32_t length_bytes)
{
	memcpy(mapped_at(payload, tag, offset_bytes), data, length_bytes);
	stats_add(&payload->stats->copied_bytes, length_bytes);
	return 0;
}

static int mapped_zero(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
		       uint32_t length_bytes)
{
	memset(mapped_at(payload, tag, offset_bytes), 0, length_bytes);
	return 0;
}

static void *mapped_direct(struct payload *payload, uint16_t tag, uint32_t offset_bytes)
{
	return mapped_at(payload, tag, offset_bytes);
}

static const struct payload_ops mapped_ops = {
	.name = "mapped",
	.fetch_addr = mapped_fetch_addr,
	.gather = mapped_gather,
	.store = mapped_store,
	.zero = mapped_zero,
	.direct = mapped_direct,
	.kernel_copies = 1,
};

int payload_open_mapped(struct payload *payload)
{
	void *buffers;

	payload->buffers_bytes = (size_t)payload->depth * payload->max_io_bytes;
	buffers = mmap(NULL, payload->buffers_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers == MAP_FAILED)
		return -ENOMEM;
	payload->buffers = buffers;
	payload->ops = &mapped_ops;
	return 0;
}

/* --- user copy --------------------------------------------------------------------------------- */

static off_t user_copy_position(const struct payload *payload, uint16_t tag, uint32_t offset_bytes)
{
	return (off_t)(UBLKSRV_IO_BUF_OFFSET + ((uint64_t)payload->queue_id << UBLK_QID_OFF) +
		       ((uint64_t)tag << UBLK_TAG_OFF) + offset_bytes);
}

static uint64_t user_copy_fetch_addr(const struct payload *payload, uint16_t tag)
{
	(void)payload;
	(void)tag;
	return 0;
}

static int user_copy_gather(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
			    uint32_t length_bytes, struct batch *batch)
{
	uint8_t *to = batch_extend(batch, length_bytes);
	uint32_t done_bytes = 0;

	while (done_bytes < length_bytes) {
		ssize_t n = pread(payload->char_fd, to + done_bytes, length_bytes - done_bytes,
				  user_copy_position(payload, tag, offset_bytes + done_bytes));

		if (n > 0) {
			done_bytes += (uint32_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		batch_unextend(batch, length_bytes);
		return n < 0 ? -errno : -EIO;
	}
	stats_add(&payload->stats->copied_bytes, length_bytes);
	return 0;
}

static int user_copy_store(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
			   const void *data, uint32_t length_bytes)
{
	uint32_t done_bytes = 0;

	while (done_bytes < length_bytes) {
		ssize_t n = pwrite(payload->char_fd, (const uint8_t *)data + done_bytes,
				   length_bytes - done_bytes,
				   user_copy_position(payload, tag, offset_bytes + done_bytes));

		if (n > 0) {
			done_bytes += (uint32_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		return n < 0 ? -errno : -EIO;
	}
	stats_add(&payload->stats->copied_bytes, length_bytes);
	return 0;
}

static int user_copy_zero(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
			  uint32_t length_bytes)
{
	static const uint8_t zeroes[64 << 10];

	while (length_bytes > 0) {
		uint32_t n = length_bytes < sizeof(zeroes) ? length_bytes : sizeof(zeroes);
		int ret = user_copy_store(payload, tag, offset_bytes, zeroes, n);

		if (ret < 0)
			return ret;
		offset_bytes += n;
		length_bytes -= n;
	}
	return 0;
}

static void *user_copy_direct(struct payload *payload, uint16_t tag, uint32_t offset_bytes)
{
	(void)payload;
	(void)tag;
	(void)offset_bytes;
	return NULL;
}

static const struct payload_ops user_copy_ops = {
	.name = "user-copy",
	.fetch_addr = user_copy_fetch_addr,
	.gather = user_copy_gather,
	.store = user_copy_store,
	.zero = user_copy_zero,
	.direct = user_copy_direct,
};

int payload_open_user_copy(struct payload *payload)
{
	payload->ops = &user_copy_ops;
	return 0;
}

void payload_close(struct payload *payload)
{
	if (payload->buffers)
		munmap(payload->buffers, payload->buffers_bytes);
	payload->buffers = NULL;
}
