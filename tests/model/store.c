/* SPDX-License-Identifier: MIT */
/* Blocks that are whole: requests are multiples of a block. */
#include "tests/model/store.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *zeroed(uint32_t blocks, uint32_t bytes)
{
	uint8_t *memory = calloc(blocks, bytes);

	if (!memory)
		abort();
	return memory;
}

void store_open(struct store *store, uint32_t blocks, bool multi_conn)
{
	pthread_mutex_init(&store->lock, NULL);
	store->blocks = blocks;
	store->multi_conn = multi_conn;
	store->shown = zeroed(blocks, BLOCK_BYTES);
	store->durable = zeroed(blocks, BLOCK_BYTES);
	store->former = zeroed(blocks, BLOCK_BYTES);
	store->dirty = (uint64_t *)zeroed(blocks, sizeof(*store->dirty));
}

void store_close(struct store *store)
{
	free(store->shown);
	free(store->durable);
	free(store->former);
	free(store->dirty);
	pthread_mutex_destroy(&store->lock);
}

static void make_durable(struct store *store, uint32_t block)
{
	uint64_t at = (uint64_t)block * BLOCK_BYTES;

	memcpy(store->durable + at, store->shown + at, BLOCK_BYTES);
	store->dirty[block] = 0;
}

static uint64_t bit_of(uint32_t connection)
{
	return UINT64_C(1) << connection % 64;
}

static void write_block(struct store *store, uint32_t block, const struct store_write *write,
			uint32_t offset_bytes)
{
	uint8_t *shown = store->shown + (uint64_t)block * BLOCK_BYTES;

	memcpy(store->former + (uint64_t)block * BLOCK_BYTES, shown, BLOCK_BYTES);
	if (write->data)
		memcpy(shown, write->data + offset_bytes, BLOCK_BYTES);
	else
		memset(shown, 0, BLOCK_BYTES);
	store->dirty[block] |= bit_of(write->connection);
	if (write->durable)
		make_durable(store, block);
}

void store_write(struct store *store, const struct store_write *write)
{
	uint32_t first = (uint32_t)(write->offset_bytes / BLOCK_BYTES);

	pthread_mutex_lock(&store->lock);
	for (uint32_t done = 0; done + BLOCK_BYTES <= write->length_bytes; done += BLOCK_BYTES)
		write_block(store, first + done / BLOCK_BYTES, write, done);
	pthread_mutex_unlock(&store->lock);
}

void store_read(struct store *store, uint64_t offset_bytes, uint32_t length_bytes, bool former,
		uint8_t *out)
{
	pthread_mutex_lock(&store->lock);
	memcpy(out, (former ? store->former : store->shown) + offset_bytes, length_bytes);
	pthread_mutex_unlock(&store->lock);
}

void store_flush(struct store *store, uint32_t connection)
{
	uint64_t mask = store->multi_conn ? UINT64_MAX : bit_of(connection);

	pthread_mutex_lock(&store->lock);
	for (uint32_t block = 0; block < store->blocks; block++)
		if (store->dirty[block] & mask)
			make_durable(store, block);
	pthread_mutex_unlock(&store->lock);
}

void store_copy_shown(struct store *store, uint8_t *out)
{
	store_read(store, 0, store->blocks * BLOCK_BYTES, false, out);
}

void store_copy_durable(struct store *store, uint8_t *out)
{
	pthread_mutex_lock(&store->lock);
	memcpy(out, store->durable, (size_t)store->blocks * BLOCK_BYTES);
	pthread_mutex_unlock(&store->lock);
}
