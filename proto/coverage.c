/* SPDX-License-Identifier: MIT */
/* coverage.c - see coverage.h. The list is sorted and its spans never touch: neighbours merge. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "proto/coverage.h"

/* The first span that starts at or behind start. Most servers answer in order: from the end. */
static uint32_t coverage_find(const struct nbd_coverage *coverage, uint32_t start)
{
	uint32_t i = coverage->count;

	while (i > 0 && coverage->spans[i - 1].start >= start)
		i--;
	return i;
}

static int coverage_insert(struct nbd_coverage *coverage, uint32_t at, struct nbd_span span)
{
	struct nbd_span *spans = coverage->spans;

	if (coverage->count == NBD_COVERAGE_SPANS_MAX)
		return -E2BIG;
	memmove(&spans[at + 1], &spans[at], (coverage->count - at) * sizeof(spans[0]));
	spans[at] = span;
	coverage->count++;
	return 0;
}

static void coverage_remove(struct nbd_coverage *coverage, uint32_t at)
{
	struct nbd_span *spans = coverage->spans;

	coverage->count--;
	memmove(&spans[at], &spans[at + 1], (coverage->count - at) * sizeof(spans[0]));
}

int nbd_coverage_add(struct nbd_coverage *coverage, uint32_t start, uint32_t end)
{
	uint32_t next = coverage_find(coverage, start);
	struct nbd_span *spans = coverage->spans;
	bool joins_former, joins_next;

	assert(start < end);
	if (next > 0 && spans[next - 1].end > start)
		return -EEXIST;
	if (next < coverage->count && spans[next].start < end)
		return -EEXIST;

	joins_former = next > 0 && spans[next - 1].end == start;
	joins_next = next < coverage->count && spans[next].start == end;
	if (joins_former && joins_next) {
		spans[next - 1].end = spans[next].end;
		coverage_remove(coverage, next);
	} else if (joins_former) {
		spans[next - 1].end = end;
	} else if (joins_next) {
		spans[next].start = start;
	} else {
		return coverage_insert(coverage, next, (struct nbd_span){ start, end });
	}
	return 0;
}

bool nbd_coverage_complete(const struct nbd_coverage *coverage, uint32_t length)
{
	if (length == 0)
		return coverage->count == 0;
	return coverage->count == 1 && coverage->spans[0].start == 0 &&
	       coverage->spans[0].end == length;
}
