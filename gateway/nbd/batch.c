/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/batch.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

int batch_open(struct batch *batch, uint32_t memory_bytes)
{
	void *memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	batch->memory = memory;
	batch->memory_bytes = memory_bytes;
	batch_reset(batch);
	return 0;
}

void batch_close(struct batch *batch)
{
	if (batch->memory)
		munmap(batch->memory, batch->memory_bytes);
	batch->memory = NULL;
}

void batch_reset(struct batch *batch)
{
	batch->used_bytes = 0;
	batch->total_bytes = 0;
	batch->sent_bytes = 0;
	batch->iovecs_count = 0;
	batch->iovecs_first = 0;
}

static void add_piece(struct batch *batch, void *data, uint32_t bytes)
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

uint8_t *batch_extend(struct batch *batch, uint32_t bytes)
{
	uint8_t *data = batch->memory + batch->used_bytes;

	assert(batch->memory_bytes - batch->used_bytes >= bytes);
	batch->used_bytes += bytes;
	add_piece(batch, data, bytes);
	return data;
}

void batch_unextend(struct batch *batch, uint32_t bytes)
{
	struct iovec *last = &batch->iovecs[batch->iovecs_count - 1];

	assert(batch->iovecs_count && last->iov_len >= bytes);
	last->iov_len -= bytes;
	if (last->iov_len == 0)
		batch->iovecs_count--;
	batch->used_bytes -= bytes;
	batch->total_bytes -= bytes;
}

void batch_refer(struct batch *batch, void *data, uint32_t bytes)
{
	if (batch->copies) {
		memcpy(batch_extend(batch, bytes), data, bytes);
		return;
	}
	add_piece(batch, data, bytes);
}

void batch_replace(struct batch *batch, void *data, uint32_t bytes)
{
	assert(batch->iovecs_count == 1 && batch->sent_bytes == 0);
	batch->iovecs[0] = (struct iovec){ .iov_base = data, .iov_len = bytes };
	batch->total_bytes = bytes;
}

bool batch_advance(struct batch *batch, uint32_t bytes)
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
