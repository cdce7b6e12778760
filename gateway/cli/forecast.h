/* SPDX-License-Identifier: MIT */
/*
 * forecast.h - the disk that `connect`, with its defaults, would make of an export: what `info` and
 * `doctor` show. It is the daemon's own reckoning (gateway/common/params.h), with a word on caches.
 */
#ifndef GATEWAY_CLI_FORECAST_H
#define GATEWAY_CLI_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/params.h"
#include "proto/handshake.h"

struct forecast {
	bool possible;
	char why_not[300]; /* when it is not: the reason and what to do */
	struct disk_geometry
		disk;	   /* when it is; its connections as far as the kernel grants them */
	const char *cache; /* what a flush of the disk does, in words */
};

/* cpus: of this machine, at least 1. */
void forecast_make(struct forecast *forecast, const struct nbd_export *export, uint32_t cpus);

#endif
