/* SPDX-License-Identifier: MIT */
#include "gateway/ublk/tag_payload.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/ublk_cmd.h"

static struct tag_payload *tag_payload_of(const struct payload *payload)
{
	return (struct tag_payload *)((uintptr_t)payload - offsetof(struct tag_payload, base));
}

/* --- mapped ------------------------------------------------------------------------------------ */

static uint8_t *mapped_at(const struct tag_payload *payload, uint16_t tag, uint32_t offset_bytes)
{
	return payload->buffers + (size_t)tag * payload->max_io_bytes + offset_bytes;
}

static struct payload_place mapped_place(const struct payload *base, uint16_t tag,
					 uint32_t offset_bytes)
{
	return (struct payload_place){ mapped_at(tag_payload_of(base), tag, offset_bytes) };
}

static int mapped_load(struct payload *base, uint16_t tag, uint32_t offset_bytes, void *to,
		       uint32_t length_bytes)
{
	struct tag_payload *payload = tag_payload_of(base);

	memcpy(to, mapped_at(payload, tag, offset_bytes), length_bytes);
	stats_add(&payload->stats->copied_bytes, length_bytes);
	return 0;
}

static int mapped_store(struct payload *base, uint16_t tag, uint32_t offset_bytes, const void *from,
			uint32_t length_bytes)
{
	struct tag_payload *payload = tag_payload_of(base);

	memcpy(mapped_at(payload, tag, offset_bytes), from, length_bytes);
	stats_add(&payload->stats->copied_bytes, length_bytes);
	return 0;
}

static int mapped_zero(struct payload *base, uint16_t tag, uint32_t offset_bytes,
		       uint32_t length_bytes)
{
	memset(mapped_at(tag_payload_of(base), tag, offset_bytes), 0, length_bytes);
	return 0;
}

static const struct payload_ops mapped_ops = {
	.name = "mapped",
	.in_place = true,
	.place = mapped_place,
	.load = mapped_load,
	.store = mapped_store,
	.zero = mapped_zero,
};

int tag_payload_open_mapped(struct tag_payload *payload)
{
	void *buffers;

	payload->buffers_bytes = (size_t)payload->depth * payload->max_io_bytes;
	buffers = mmap(NULL, payload->buffers_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers == MAP_FAILED)
		return -ENOMEM;
	payload->buffers = buffers;
	payload->base.ops = &mapped_ops;
	return 0;
}

/* --- user copy --------------------------------------------------------------------------------- */

static off_t user_copy_position(const struct tag_payload *payload, uint16_t tag,
				uint32_t offset_bytes)
{
	return (off_t)(UBLKSRV_IO_BUF_OFFSET + ((uint64_t)payload->queue_id << UBLK_QID_OFF) +
		       ((uint64_t)tag << UBLK_TAG_OFF) + offset_bytes);
}

/* Moves bytes between memory and the request's pages. 0 or -errno. */
static int user_copy(const struct tag_payload *payload, off_t position, uint8_t *memory,
		     uint32_t length_bytes, bool to_pages)
{
	uint32_t done_bytes = 0;

	while (done_bytes < length_bytes) {
		uint8_t *at = memory + done_bytes;
		uint32_t left_bytes = length_bytes - done_bytes;
		ssize_t n = to_pages ? pwrite(payload->char_fd, at, left_bytes, position)
				     : pread(payload->char_fd, at, left_bytes, position);

		if (n > 0) {
			done_bytes += (uint32_t)n;
			position += n;
		} else if (n == 0 || errno != EINTR) {
			return n < 0 ? -errno : -EIO;
		}
	}
	stats_add(&payload->stats->copied_bytes, length_bytes);
	return 0;
}

static int user_copy_load(struct payload *base, uint16_t tag, uint32_t offset_bytes, void *to,
			  uint32_t length_bytes)
{
	const struct tag_payload *payload = tag_payload_of(base);

	return user_copy(payload, user_copy_position(payload, tag, offset_bytes), to, length_bytes,
			 false);
}

static int user_copy_store(struct payload *base, uint16_t tag, uint32_t offset_bytes,
			   const void *from, uint32_t length_bytes)
{
	const struct tag_payload *payload = tag_payload_of(base);
	off_t position = user_copy_position(payload, tag, offset_bytes);

	/* Only read, being the source. */
	return user_copy(payload, position, (uint8_t *)(uintptr_t)from, length_bytes, true);
}

static int user_copy_zero(struct payload *base, uint16_t tag, uint32_t offset_bytes,
			  uint32_t length_bytes)
{
	static const uint8_t zeroes[64 << 10];

	while (length_bytes > 0) {
		uint32_t n = length_bytes < sizeof(zeroes) ? length_bytes : sizeof(zeroes);
		int ret = user_copy_store(base, tag, offset_bytes, zeroes, n);

		if (ret < 0)
			return ret;
		offset_bytes += n;
		length_bytes -= n;
	}
	return 0;
}

static const struct payload_ops user_copy_ops = {
	.name = "user-copy",
	.load = user_copy_load,
	.store = user_copy_store,
	.zero = user_copy_zero,
};

void tag_payload_open_user_copy(struct tag_payload *payload)
{
	payload->base.ops = &user_copy_ops;
}

void tag_payload_close(struct tag_payload *payload)
{
	if (payload->buffers)
		munmap(payload->buffers, payload->buffers_bytes);
	payload->buffers = NULL;
}
