/* SPDX-License-Identifier: MIT */
/*
 * null_backend.h - a backend that answers at once: reads are zeroes, and what is written is gone. What it
 * costs is what the driver's side costs. For tests and the benchmark.
 */
#ifndef GATEWAY_BLOCK_NULL_BACKEND_H
#define GATEWAY_BLOCK_NULL_BACKEND_H

#include "gateway/block/backend.h"

/* Nothing to close. */
void null_backend_open(struct block_backend *backend);

#endif
