/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/map/extents.h"

static int extents_grow(struct extents *extents)
{
	size_t room = extents->room ? extents->room * 2 : 64;
	struct extent *list;

	if (extents->list && extents->count < extents->room)
		return 0;
	if (extents->count >= EXTENTS_MAX)
		return -E2BIG;
	list = realloc(extents->list, room * sizeof(*list));
	if (!list)
		return -ENOMEM;
	extents->list = list;
	extents->room = room;
	return 0;
}

int extents_add(struct extents *extents, uint64_t length_bytes, uint32_t kind)
{
	struct extent *last = extents->count ? &extents->list[extents->count - 1] : NULL;
	int error;

	kind %= EXTENT_KINDS;
	if (length_bytes == 0)
		return 0;
	if (last && last->kind == kind) {
		last->length_bytes += length_bytes;
	} else {
		error = extents_grow(extents);
		if (error)
			return error;
		extents->list[extents->count++] = (struct extent){
			.offset_bytes = extents->end_bytes,
			.length_bytes = length_bytes,
			.kind = (enum extent_kind)kind,
		};
	}
	extents->end_bytes += length_bytes;
	extents->totals[kind] += length_bytes;
	return 0;
}

void extents_clear(struct extents *extents)
{
	free(extents->list);
	memset(extents, 0, sizeof(*extents));
}

const char *extent_name(enum extent_kind kind)
{
	switch (kind) {
	case EXTENT_DATA:
		return "data";
	case EXTENT_ZERO:
		return "zero";
	default:
		return "hole";
	}
}

/* Where a column of the drawing begins, without overflow at any size. */
static uint64_t column_start(uint64_t size_bytes, size_t column, size_t columns)
{
	return (uint64_t)((unsigned __int128)size_bytes * column / columns);
}

static char column_symbol(const uint64_t bytes[EXTENT_KINDS], uint64_t length_bytes)
{
	uint64_t known = 0;

	for (int kind = 0; kind < EXTENT_KINDS; kind++)
		known += bytes[kind];
	if (bytes[EXTENT_DATA] > 0)
		return bytes[EXTENT_DATA] == length_bytes ? '#' : '+';
	if (known < length_bytes || known == 0)
		return '?';
	return bytes[EXTENT_ZERO] > known / 2 ? '-' : '.';
}

void extents_draw(const struct extents *extents, uint64_t size_bytes, char *out, size_t columns)
{
	size_t at = 0; /* of the extents: both walk upwards together */

	for (size_t column = 0; column < columns; column++) {
		uint64_t start = column_start(size_bytes, column, columns);
		uint64_t end = column_start(size_bytes, column + 1, columns);
		uint64_t bytes[EXTENT_KINDS] = { 0 };

		if (end == start) /* fewer bytes than columns: a byte shows in several */
			end = start + 1;
		while (at > 0 && (at == extents->count || extents->list[at].offset_bytes > start))
			at--;
		for (; at < extents->count; at++) {
			const struct extent *extent = &extents->list[at];
			uint64_t extent_end = extent->offset_bytes + extent->length_bytes;
			uint64_t from = extent->offset_bytes > start ? extent->offset_bytes : start;
			uint64_t to = extent_end < end ? extent_end : end;

			if (extent->offset_bytes >= end)
				break;
			if (to > from)
				bytes[extent->kind] += to - from;
		}
		out[column] = column_symbol(bytes, end - start);
	}
	out[columns] = '\0';
}

json_t *extents_to_json(const struct extents *extents)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < extents->count; i++) {
		const struct extent *extent = &extents->list[i];
		json_t *object = json_pack(
			"{s:I, s:I, s:s, s:b, s:b}", "offset", (json_int_t)extent->offset_bytes,
			"length", (json_int_t)extent->length_bytes, "type",
			extent_name(extent->kind), "hole", (int)(extent->kind & EXTENT_HOLE),
			"zero", (int)(extent->kind & EXTENT_ZERO));

		json_array_append_new(array, object);
	}
	return array;
}
