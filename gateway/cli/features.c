/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "gateway/cli/features.h"
#include "proto/wire.h"

static const struct feature {
	uint16_t flag;
	const char *name;
} features[] = {
	{ NBD_FLAG_SEND_FLUSH, "flush" },	  { NBD_FLAG_SEND_FUA, "fua" },
	{ NBD_FLAG_SEND_TRIM, "trim" },		  { NBD_FLAG_SEND_WRITE_ZEROES, "write-zeroes" },
	{ NBD_FLAG_SEND_FAST_ZERO, "fast-zero" }, { NBD_FLAG_SEND_DF, "df" },
	{ NBD_FLAG_SEND_CACHE, "cache" },	  { NBD_FLAG_CAN_MULTI_CONN, "multi-conn" },
	{ NBD_FLAG_SEND_RESIZE, "resize" },	  { NBD_FLAG_ROTATIONAL, "rotational" },
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

json_t *features_to_json(uint16_t flags)
{
	json_t *array = json_array();

	for (size_t i = 0; i < FEATURES; i++)
		if (flags & features[i].flag)
			json_array_append_new(array, json_string(features[i].name));
	return array;
}

const char *features_to_text(char *buf, size_t buf_bytes, uint16_t flags)
{
	size_t used = 0;

	snprintf(buf, buf_bytes, "none");
	for (size_t i = 0; i < FEATURES && used < buf_bytes; i++)
		if (flags & features[i].flag)
			used += (size_t)snprintf(buf + used, buf_bytes - used, "%s%s",
						 used ? ", " : "", features[i].name);
	return buf;
}
