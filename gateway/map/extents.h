/* SPDX-License-Identifier: MIT */
/*
 * extents.h - what is where on a disk: a list of extents, in order, without gaps, neighbours of one
 * kind made one; and a line of text that shows it.
 */
#ifndef GATEWAY_MAP_EXTENTS_H
#define GATEWAY_MAP_EXTENTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A disk of more pieces is mapped up to here. */
#define EXTENTS_MAX (1u << 20)

/* base:allocation's two bits as they come ("Metadata querying"): HOLE is 1, ZERO is 2. */
enum extent_kind {
	EXTENT_DATA = 0,
	EXTENT_HOLE = 1,      /* not allocated; what a read gives is not said */
	EXTENT_ZERO = 2,      /* allocated, reads as zeroes */
	EXTENT_HOLE_ZERO = 3, /* not allocated, reads as zeroes: the usual hole */
};
#define EXTENT_KINDS 4

struct extent {
	uint64_t offset_bytes, length_bytes;
	enum extent_kind kind;
};

struct extents {
	struct extent *list;
	size_t count, room;
	uint64_t end_bytes;	       /* everything below is known */
	uint64_t totals[EXTENT_KINDS]; /* bytes */
};

/* Adds length_bytes (0 is nothing) of a kind (other bits are ignored) at end_bytes. 0; -ENOMEM;
 * -E2BIG when there are EXTENTS_MAX. */
int extents_add(struct extents *extents, uint64_t length_bytes, uint32_t kind);
void extents_clear(struct extents *extents);

/* "data", "hole", "zero": HOLE and HOLE_ZERO are both holes. */
const char *extent_name(enum extent_kind kind);

/*
 * Draws [0, size_bytes) with columns characters, NUL-terminated: '#' all data, '+' some data, '-'
 * zeroes, '.' hole, '?' not known. Of a cell without data the larger part decides.
 */
void extents_draw(const struct extents *extents, uint64_t size_bytes, char *out, size_t columns);

/* [{"offset": 0, "length": 4096, "type": "data", "hole": false, "zero": false}, ...], or NULL. */
json_t *extents_to_json(const struct extents *extents);

#endif
