/* SPDX-License-Identifier: MIT */
/*
 * batch.h - what one send carries: headers and payloads of every wire request that was waiting,
 * gathered. Bytes are either copied to the batch's own memory or referred to where they are.
 */
#ifndef GATEWAY_NBD_BATCH_H
#define GATEWAY_NBD_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Pieces of one send; IOV_MAX is 1024. */
#define BATCH_IOVECS_MAX 256

struct batch {
	uint8_t *memory;       /* headers, and payloads that had to be copied */
	uint32_t memory_bytes; /* its size */
	bool copies; /* all is copied to memory, and lies there in one piece: what TLS wants */
	uint32_t used_bytes;
	uint32_t total_bytes; /* to be sent: memory's and those referred to */
	uint32_t sent_bytes;  /* of them */
	uint32_t iovecs_count;
	uint32_t iovecs_first; /* the first not wholly sent */
	struct iovec iovecs[BATCH_IOVECS_MAX];
	struct msghdr message;
};

/* Locked with the process; 0 or -ENOMEM. */
int batch_open(struct batch *batch, uint32_t memory_bytes);
void batch_close(struct batch *batch);
void batch_reset(struct batch *batch);

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

/* Room for bytes in the batch's own memory, at the end of what is to be sent; the caller writes
 * there at once. There must be room. */
uint8_t *batch_extend(struct batch *batch, uint32_t bytes);
/* Takes back the last bytes of the last batch_extend(): copying into them failed. */
void batch_unextend(struct batch *batch, uint32_t bytes);
/* Refers to memory that stays as it is until the send completed; copied where the batch copies. */
void batch_refer(struct batch *batch, void *data, uint32_t bytes);

/* What is sent instead of the batch's one piece: the same, sealed. Nothing was sent yet. */
void batch_replace(struct batch *batch, void *data, uint32_t bytes);

/* bytes more were sent: moves on. True when all is. */
bool batch_advance(struct batch *batch, uint32_t bytes);

#endif
