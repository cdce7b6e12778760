/* SPDX-License-Identifier: MIT */
/*
 * forecast.h - the disk that `connect`, with its defaults, would make of an export: what `info` and
 * `doctor` show. The daemon decides by itself (gateway/disk/params.h); tests hold the two together.
 */
#ifndef GATEWAY_CLI_FORECAST_H
#define GATEWAY_CLI_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/handshake.h"

struct forecast {
	bool possible;
	char why_not[300];   /* when it is not: the reason and what to do */
	uint64_t size_bytes; /* a multiple of the logical block */
	uint64_t tail_bytes; /* of the export, that the disk leaves out */
	uint32_t logical_block_bytes, physical_block_bytes;
	uint32_t max_io_bytes;
	uint32_t requests_per_io; /* NBD requests that the largest block request becomes */
	uint32_t connections;	  /* and queues, as far as the kernel grants them */
	bool read_only;
	const char *cache; /* what a flush of the disk does, in words */
};

/* cpus: of this machine, at least 1. */
void forecast_make(struct forecast *forecast, const struct nbd_export *export, uint32_t cpus);

#endif
