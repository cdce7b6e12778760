/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/ublk/control.h"

#define SECTOR_BYTES 512

enum kind { FLAG, NUMBER32, NUMBER64, TEXT, FEATURES, MOMENT };

static const struct option_row {
	const char *name;
	enum kind kind;
	size_t offset;
} rows[] = {
	{ "--id", NUMBER32, offsetof(struct options, id) },
	{ "--queues", NUMBER32, offsetof(struct options, queues) },
	{ "--depth", NUMBER32, offsetof(struct options, depth) },
	{ "--threads", NUMBER32, offsetof(struct options, threads) },
	{ "--max-io", NUMBER32, offsetof(struct options, max_io_bytes) },
	{ "--size", NUMBER64, offsetof(struct options, size_bytes) },
	{ "--file", TEXT, offsetof(struct options, file) },
	{ "--features", FEATURES, offsetof(struct options, features) },
	{ "--queue", NUMBER64, offsetof(struct options, queue) },
	{ "-d", FLAG, offsetof(struct options, daemonize) },
	{ "--legacy", FLAG, offsetof(struct options, legacy) },
	{ "--with-path", FLAG, offsetof(struct options, with_path) },
	{ "--async", FLAG, offsetof(struct options, async) },
	{ "--reverse", FLAG, offsetof(struct options, reverse) },
	{ "--ring", TEXT, offsetof(struct options, ring) },
	{ "--timeout-ms", NUMBER32, offsetof(struct options, timeout_ms) },
	{ "--uid", NUMBER32, offsetof(struct options, uid) },
	{ "--block", NUMBER64, offsetof(struct options, block_bytes) },
	{ "--physical-block", NUMBER64, offsetof(struct options, physical_bytes) },
	{ "--io-min", NUMBER64, offsetof(struct options, io_min_bytes) },
	{ "--io-opt", NUMBER64, offsetof(struct options, io_opt_bytes) },
	{ "--discard", NUMBER64, offsetof(struct options, discard_bytes) },
	{ "--max-segments", NUMBER64, offsetof(struct options, max_segments) },
	{ "--max-segment", NUMBER64, offsetof(struct options, max_segment_bytes) },
	{ "--segment-boundary", NUMBER64, offsetof(struct options, segment_boundary) },
	{ "--dma-align", NUMBER64, offsetof(struct options, dma_align) },
	{ "--chunk", NUMBER64, offsetof(struct options, chunk_bytes) },
	{ "--max-sectors", NUMBER64, offsetof(struct options, max_sectors) },
	{ "--read-only", FLAG, offsetof(struct options, read_only) },
	{ "--tag", NUMBER32, offsetof(struct options, tag) },
	{ "--fua", FLAG, offsetof(struct options, fua) },
	{ "--cache", FLAG, offsetof(struct options, cache) },
	{ "--rotational", FLAG, offsetof(struct options, rotational) },
	{ "--crash-at", MOMENT, offsetof(struct options, crash_at) },
	{ "--hold-after", NUMBER64, offsetof(struct options, hold_after) },
	{ "--die-after", NUMBER64, offsetof(struct options, die_after) },
	{ "--crash-after", NUMBER64, offsetof(struct options, crash_after) },
	{ "--delay-us", NUMBER64, offsetof(struct options, delay_us) },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void refuse(const char *what, const char *word)
{
	fprintf(stderr, "ublk_server: %s: %s\n", what, word);
	exit(2);
}

/* "64K", "1M", "2G" or a plain number. */
static uint64_t read_number(const char *name, const char *text)
{
	static const char units[] = "KMG";
	const char *unit;
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *text == '-')
		refuse(name, "wants a number");
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		value <<= 10 * (unit - units + 1);
		end++;
	}
	if (*end)
		refuse(name, "wants a number, with K, M or G behind it");
	return value;
}

static uint64_t read_features(const char *list)
{
	char copy[256], *save = NULL;
	uint64_t features = 0;

	if (snprintf(copy, sizeof(copy), "%s", list) >= (int)sizeof(copy))
		refuse("--features", "is too long");
	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		uint64_t feature = control_feature_of(name);

		if (!feature)
			refuse("no such feature", name);
		features |= feature;
	}
	return features;
}

static enum moment read_moment(const char *word)
{
	static const char *const names[] = { "none", "added", "fetched", "started" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], word))
			return (enum moment)i;
	refuse("no such moment", word);
	return MOMENT_NONE;
}

static void store(struct options *options, const struct option_row *row, const char *value)
{
	char *place = (char *)options + row->offset;
	uint64_t number = 0;

	switch (row->kind) {
	case FLAG:
		*(bool *)place = true;
		break;
	case NUMBER32:
		number = read_number(row->name, value);
		if (number > UINT32_MAX)
			refuse(row->name, "is too large");
		*(uint32_t *)place = (uint32_t)number;
		break;
	case NUMBER64:
		*(uint64_t *)place = read_number(row->name, value);
		break;
	case TEXT:
		*(const char **)place = value;
		break;
	case FEATURES:
		*(uint64_t *)place = read_features(value);
		break;
	case MOMENT:
		*(enum moment *)place = read_moment(value);
	}
}

static uint8_t shift_of(const char *name, uint64_t bytes)
{
	uint8_t shift = 0;

	if (bytes & (bytes - 1))
		refuse(name, "wants a power of two");
	while (shift < 63 && 1ULL << shift < bytes)
		shift++;
	return shift;
}

static void fill_basic(struct options *options)
{
	struct ublk_param_basic *basic = &options->params.basic;
	uint64_t physical =
		options->physical_bytes ? options->physical_bytes : options->block_bytes;

	options->params.types |= UBLK_PARAM_TYPE_BASIC;
	basic->attrs = (options->read_only ? UBLK_ATTR_READ_ONLY : 0) |
		       (options->rotational ? UBLK_ATTR_ROTATIONAL : 0) |
		       (options->cache ? UBLK_ATTR_VOLATILE_CACHE : 0) |
		       (options->fua ? UBLK_ATTR_FUA : 0);
	basic->logical_bs_shift = shift_of("--block", options->block_bytes);
	basic->physical_bs_shift = shift_of("--physical-block", physical);
	basic->io_min_shift = options->io_min_bytes ? shift_of("--io-min", options->io_min_bytes)
						    : basic->physical_bs_shift;
	basic->io_opt_shift = options->io_opt_bytes ? shift_of("--io-opt", options->io_opt_bytes)
						    : basic->physical_bs_shift;
	basic->max_sectors = options->max_sectors ? (uint32_t)options->max_sectors
						  : options->max_io_bytes / SECTOR_BYTES;
	basic->chunk_sectors = (uint32_t)(options->chunk_bytes / SECTOR_BYTES);
	basic->dev_sectors = options->size_bytes / SECTOR_BYTES;
}

static void fill_params(struct options *options)
{
	struct ublk_params *params = &options->params;

	fill_basic(options);
	if (options->discard_bytes) {
		params->types |= UBLK_PARAM_TYPE_DISCARD;
		params->discard.discard_granularity = (uint32_t)options->discard_bytes;
		params->discard.max_discard_sectors = UINT32_MAX >> 9;
		params->discard.max_write_zeroes_sectors = UINT32_MAX >> 9;
		params->discard.max_discard_segments = 1;
	}
	if (options->dma_align) {
		params->types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		params->dma.alignment = (uint32_t)options->dma_align - 1;
	}
	if (options->max_segments || options->max_segment_bytes || options->segment_boundary) {
		params->types |= UBLK_PARAM_TYPE_SEGMENT;
		params->seg.max_segments = (uint16_t)options->max_segments;
		params->seg.max_segment_size = (uint32_t)options->max_segment_bytes;
		params->seg.seg_boundary_mask =
			options->segment_boundary ? options->segment_boundary - 1 : 0;
	}
}

void options_read(struct options *options, int argc, char **argv)
{
	*options = (struct options){
		.id = UINT32_MAX,
		.queues = 1,
		.depth = 64,
		.threads = 1,
		.max_io_bytes = 512u << 10,
		.size_bytes = 64u << 20,
		.block_bytes = SECTOR_BYTES,
		.ring = "defer",
	};
	if (argc < 2 || argv[1][0] == '-')
		refuse("which verb", "see the head of ublk_server.c");
	options->verb = argv[1];
	for (int i = 2; i < argc; i++) {
		size_t r = 0;

		while (r < ROWS && strcmp(rows[r].name, argv[i]) != 0)
			r++;
		if (r == ROWS)
			refuse("unknown option", argv[i]);
		if (rows[r].kind != FLAG && i + 1 == argc)
			refuse(argv[i], "wants a value");
		store(options, &rows[r], rows[r].kind == FLAG ? NULL : argv[++i]);
	}
	if (!options->threads || !options->depth || !options->max_io_bytes)
		refuse("--threads, --depth, --max-io", "must not be 0");
	fill_params(options);
}
