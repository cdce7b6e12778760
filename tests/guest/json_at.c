/* SPDX-License-Identifier: MIT */
/*
 * json_at.c - json_at PATH: prints what stands at a path such as .connections[0].peer in the JSON value
 * on standard input, as `jq -r` would: strings as they are, null for what is not there; [] stands for
 * each element, a line for each. goal: tests ask a disk for its state all the time, and jq runs a quarter
 * of a billion instructions before it does. method: jansson. Exits with 1, and says why, on what is no
 * JSON and on a path that does not fit.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int misfit(const char *path)
{
	fprintf(stderr, "json_at: the path does not fit at '%s'\n", path);
	return 1;
}

static int print(const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		puts(json_string_value(value));
		return 0;
	}
	text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	puts(text ? text : "null");
	free(text);
	return 0;
}

static int walk(const json_t *at, const char *path);

/* [], [NUMBER], and what follows. */
static int walk_array(const json_t *at, const char *path)
{
	char *end;
	size_t index = strtoul(path + 1, &end, 10);

	if (*end != ']' || (at && !json_is_array(at)))
		return misfit(path);
	if (end != path + 1)
		return walk(json_array_get(at, index), end + 1);
	for (index = 0; index < json_array_size(at); index++) {
		if (walk(json_array_get(at, index), end + 1))
			return 1;
	}
	return 0;
}

static int walk(const json_t *at, const char *path)
{
	char key[64];
	size_t len;

	if (json_is_null(at))
		at = NULL;
	if (!*path)
		return print(at);
	if (*path == '.' && path[1] == '[')
		path++;
	if (*path == '[')
		return walk_array(at, path);
	len = *path == '.' ? strcspn(path + 1, ".[") : 0;
	if (len == 0 || len >= sizeof(key) || (at && !json_is_object(at)))
		return misfit(path);
	memcpy(key, path + 1, len);
	key[len] = '\0';
	return walk(json_object_get(at, key), path + 1 + len);
}

int main(int argc, char **argv)
{
	json_error_t error;
	json_t *top = json_loadf(stdin, JSON_DECODE_ANY, &error);
	int code;

	if (!top) {
		fprintf(stderr, "json_at: no JSON: %s\n", error.text);
		return 1;
	}
	code = argc == 2 && *argv[1] ? walk(top, argv[1]) : misfit("");
	json_decref(top);
	return code;
}
