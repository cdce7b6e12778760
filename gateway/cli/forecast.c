/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/forecast.h"
#include "gateway/common/disk_config.h"
#include "proto/wire.h"

#define SECTOR_BYTES 512u
#define PAGE_BYTES   4096u /* the largest logical block Linux takes */
#define REQUESTS_MAX 64u   /* NBD requests for one block request */
#define CONNECTIONS  4u	   /* connect's default, where the server allows several */

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static bool forecast_blocks(struct forecast *forecast, const struct nbd_export *export)
{
	forecast->logical_block_bytes = larger(export->block_minimum_bytes, SECTOR_BYTES);
	forecast->physical_block_bytes = larger(forecast->logical_block_bytes,
						smaller(export->block_preferred_bytes, PAGE_BYTES));
	if (forecast->logical_block_bytes <= PAGE_BYTES)
		return true;
	snprintf(forecast->why_not, sizeof(forecast->why_not),
		 "its smallest block is %u bytes, and Linux takes no block above %u: let nbdkit's "
		 "blocksize filter stand between (nbdkit nbd --filter=blocksize)",
		 forecast->logical_block_bytes, PAGE_BYTES);
	return false;
}

static bool forecast_size(struct forecast *forecast, const struct nbd_export *export)
{
	forecast->tail_bytes = export->size_bytes % forecast->logical_block_bytes;
	forecast->size_bytes = export->size_bytes - forecast->tail_bytes;
	if (forecast->size_bytes > 0)
		return true;
	snprintf(forecast->why_not, sizeof(forecast->why_not),
		 "it has %llu bytes, not even one block of %u",
		 (unsigned long long)export->size_bytes, forecast->logical_block_bytes);
	return false;
}

static bool forecast_requests(struct forecast *forecast, const struct nbd_export *export)
{
	uint32_t request_bytes =
		export->payload_max_bytes - export->payload_max_bytes % export->block_minimum_bytes;
	uint64_t reach_bytes = (uint64_t)request_bytes * REQUESTS_MAX;

	if (request_bytes < forecast->logical_block_bytes || reach_bytes < PAGE_BYTES) {
		snprintf(forecast->why_not, sizeof(forecast->why_not),
			 "it takes at most %u bytes in a request, less than a block of %u",
			 export->payload_max_bytes, forecast->logical_block_bytes);
		return false;
	}
	forecast->max_io_bytes = DISK_MAX_IO_BYTES;
	if (forecast->max_io_bytes > reach_bytes)
		forecast->max_io_bytes = (uint32_t)(reach_bytes - reach_bytes % PAGE_BYTES);
	forecast->requests_per_io =
		(uint32_t)(((uint64_t)forecast->max_io_bytes + request_bytes - 1) / request_bytes);
	return true;
}

static const char *forecast_cache(uint16_t flags)
{
	bool flush = flags & NBD_FLAG_SEND_FLUSH, fua = flags & NBD_FLAG_SEND_FUA;

	if (flush)
		return fua ? "flushed on demand; single writes can be forced (FUA)"
			   : "flushed on demand";
	return fua ? "none that can be flushed: every write is forced (FUA)"
		   : "not known: the server takes neither flush nor FUA, so a write counts as "
		     "done when it is answered";
}

void forecast_make(struct forecast *forecast, const struct nbd_export *export, uint32_t cpus)
{
	memset(forecast, 0, sizeof(*forecast));
	forecast->read_only = export->flags & NBD_FLAG_READ_ONLY;
	forecast->cache = forecast_cache(export->flags);
	forecast->connections =
		export->flags & NBD_FLAG_CAN_MULTI_CONN ? smaller(CONNECTIONS, cpus) : 1;
	forecast->possible = forecast_blocks(forecast, export) &&
			     forecast_requests(forecast, export) && forecast_size(forecast, export);
}
