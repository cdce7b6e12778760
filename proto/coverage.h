/* SPDX-License-Identifier: MIT */
/*
 * coverage.h - which bytes of one READ have been answered. Chunks of a structured reply come in
 * any order; a READ succeeds only when each byte came exactly once.
 */
#ifndef PROTO_COVERAGE_H
#define PROTO_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"

struct nbd_span {
	uint32_t start, end; /* bytes from the request's offset; end is exclusive; end > start */
};

struct nbd_coverage {
	uint32_t count; /* spans in use, sorted, never touching */
	struct nbd_span spans[NBD_COVERAGE_SPANS_MAX];
};

static inline void nbd_coverage_reset(struct nbd_coverage *coverage)
{
	coverage->count = 0;
}

/* Adds [start, end). Returns 0; -EEXIST when a byte of it was there before; -E2BIG when the list
 * is full (the server answers in more separate pieces than NBD_COVERAGE_SPANS_MAX). */
int nbd_coverage_add(struct nbd_coverage *coverage, uint32_t start, uint32_t end);

/* Whether exactly [0, length) is covered. */
bool nbd_coverage_complete(const struct nbd_coverage *coverage, uint32_t length);

#endif
