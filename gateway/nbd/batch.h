/* SPDX-License-Identifier: MIT */
/*
 * batch.h - what one send carries: headers and payloads of every wire request that was waiting,
 * gathered. Bytes are either copied to the batch's own memory or referred to where they are.
 */
#ifndef GATEWAY_NBD_BATCH_H
#define GATEWAY_NBD_BATCH_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Pieces of one send; IOV_MAX is 1024. */
#define BATCH_IOVECS_MAX 256

struct batch {
	uint8_t *memory;       /* the owner's: headers, and payloads that had to be copied */
	uint32_t memory_bytes; /* its size */
	bool copies; /* payloads are copied to memory too, so that all lies in one piece: what TLS wants */
	uint32_t used_bytes;
	uint32_t total_bytes; /* to be sent: memory's and those referred to */
	uint32_t sent_bytes;  /* of them */
	uint32_t iovecs_count;
	uint32_t iovecs_first; /* the first not wholly sent */
	struct iovec iovecs[BATCH_IOVECS_MAX];
	struct msghdr message;
};

/* Nothing is in it. */
static inline void batch_reset(struct batch *batch)
{
	batch->used_bytes = 0;
	batch->total_bytes = 0;
	batch->sent_bytes = 0;
	batch->iovecs_count = 0;
	batch->iovecs_first = 0;
}

static inline bool batch_is_empty(const struct batch *batch)
{
	return batch->total_bytes == 0;
}

/* Whether `bytes` of memory and two more pieces fit. */
static inline bool batch_has_room(const struct batch *batch, uint32_t bytes)
{
	return batch->memory_bytes - batch->used_bytes >= bytes &&
	       batch->iovecs_count + 2 <= BATCH_IOVECS_MAX;
}

/* Refers to memory that stays as it is until the send completed. */
static inline void batch_refer(struct batch *batch, void *data, uint32_t bytes)
{
	batch->total_bytes += bytes;
	if (batch->iovecs_count > 0) {
		struct iovec *last = &batch->iovecs[batch->iovecs_count - 1];

		if ((uint8_t *)last->iov_base + last->iov_len == (uint8_t *)data) {
			last->iov_len += bytes;
			return;
		}
	}
	assert(batch->iovecs_count < BATCH_IOVECS_MAX);
	batch->iovecs[batch->iovecs_count++] = (struct iovec){ .iov_base = data, .iov_len = bytes };
}

/* Room for bytes in the batch's own memory, at the end of what is to be sent; the caller writes
 * there at once. There must be room. */
static inline uint8_t *batch_extend(struct batch *batch, uint32_t bytes)
{
	uint8_t *data = batch->memory + batch->used_bytes;

	assert(batch->memory_bytes - batch->used_bytes >= bytes);
	batch->used_bytes += bytes;
	batch_refer(batch, data, bytes);
	return data;
}

/* Takes back the last bytes of the last batch_extend(): copying into them failed. */
static inline void batch_unextend(struct batch *batch, uint32_t bytes)
{
	struct iovec *last = &batch->iovecs[batch->iovecs_count - 1];

	assert(batch->iovecs_count && last->iov_len >= bytes);
	last->iov_len -= bytes;
	if (last->iov_len == 0)
		batch->iovecs_count--;
	batch->used_bytes -= bytes;
	batch->total_bytes -= bytes;
}

/* What is sent instead of the batch's one piece: the same, sealed. Nothing was sent yet. */
static inline void batch_replace(struct batch *batch, void *data, uint32_t bytes)
{
	assert(batch->iovecs_count == 1 && batch->sent_bytes == 0);
	batch->iovecs[0] = (struct iovec){ .iov_base = data, .iov_len = bytes };
	batch->total_bytes = bytes;
}

/* bytes more were sent: moves on. True when all is. */
static inline bool batch_advance(struct batch *batch, uint32_t bytes)
{
	assert(bytes <= batch->total_bytes - batch->sent_bytes);
	batch->sent_bytes += bytes;
	while (bytes > 0) {
		struct iovec *piece = &batch->iovecs[batch->iovecs_first];

		if (bytes < piece->iov_len) {
			piece->iov_base = (uint8_t *)piece->iov_base + bytes;
			piece->iov_len -= bytes;
			break;
		}
		bytes -= (uint32_t)piece->iov_len;
		batch->iovecs_first++;
	}
	return batch->sent_bytes == batch->total_bytes;
}

#endif
