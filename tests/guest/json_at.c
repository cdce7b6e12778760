/* SPDX-License-Identifier: MIT */
/*
 * json_at.c - json_at PATH: prints what stands at a path such as .connections[0].peer in the JSON value
 * on standard input, as `jq -r` would: strings as they are, null for what is not there. goal: tests ask
 * a disk for its state all the time, and in an emulated machine jq takes a quarter of a second to start.
 * method: jansson. Exits with 1, and says why, on what is no JSON and on a path that does not fit.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One step, *path after it; NULL: there is nothing there, or *path does not fit (it stays). */
static json_t *step(json_t *at, const char **path)
{
	char key[64];
	size_t len;
	char *end;

	if (**path == '[') {
		len = strtoul(*path + 1, &end, 10);
		if (end == *path + 1 || *end != ']' || (at && !json_is_array(at)))
			return NULL;
		*path = end + 1;
		return json_array_get(at, len);
	}
	len = **path == '.' ? strcspn(*path + 1, ".[") : 0;
	if (len == 0 || len >= sizeof(key) || (at && !json_is_object(at)))
		return NULL;
	memcpy(key, *path + 1, len);
	key[len] = '\0';
	*path += 1 + len;
	return json_object_get(at, key);
}

int main(int argc, char **argv)
{
	const char *path = argc == 2 ? argv[1] : "", *before;
	json_error_t error;
	json_t *top, *at;
	char *text;

	top = at = json_loadf(stdin, JSON_DECODE_ANY, &error);
	if (!top) {
		fprintf(stderr, "json_at: no JSON: %s\n", error.text);
		return 1;
	}
	do {
		before = path;
		at = step(json_is_null(at) ? NULL : at, &path);
	} while (path != before && *path);
	if (path == before) {
		fprintf(stderr, "json_at: the path does not fit at '%s'\n", path);
		return 1;
	}
	if (json_is_string(at)) {
		puts(json_string_value(at));
	} else {
		text = at ? json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
		puts(text ? text : "null");
		free(text);
	}
	json_decref(top);
	return 0;
}
