/* SPDX-License-Identifier: MIT */
/*
 * store.h - the server's disk: what it shows to readers, behind a volatile cache, and what a loss of power would
 * leave. Any thread: it has a lock of its own.
 */
#ifndef TESTS_MODEL_STORE_H
#define TESTS_MODEL_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/model/stamp.h"

struct store {
	pthread_mutex_t lock;
	uint32_t blocks;
	bool multi_conn; /* FLUSH covers what was written over any connection; else its own's alone */
	uint8_t *shown;
	uint8_t *durable;
	uint8_t *former; /* before each block's last write */
	uint64_t *dirty; /* of each block, which connections wrote to it since it became durable */
};

/* A write: data is NULL for zeroes. connection: any number. */
struct store_write {
	uint64_t offset_bytes;
	uint32_t length_bytes;
	const uint8_t *data;
	uint32_t connection;
	bool durable;
};

void store_open(struct store *store, uint32_t blocks, bool multi_conn);
void store_close(struct store *store);
void store_write(struct store *store, const struct store_write *write);
/* former: as it was before the last write. */
void store_read(struct store *store, uint64_t offset_bytes, uint32_t length_bytes, bool former,
		uint8_t *out);
void store_flush(struct store *store, uint32_t connection);
/* Both are as large as the disk. */
void store_copy_shown(struct store *store, uint8_t *out);
void store_copy_durable(struct store *store, uint8_t *out);

#endif
