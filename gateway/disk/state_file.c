/* SPDX-License-Identifier: MIT */
#include "gateway/disk/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/runtime_dir.h"

int state_file_write(uint32_t number, const char *suffix, const char *text)
{
	char path[PATH_MAX], draft[PATH_MAX + 8];
	size_t bytes = strlen(text);
	int fd, ret = runtime_dir_file(path, sizeof(path), number, suffix);

	if (ret < 0)
		return ret;
	snprintf(draft, sizeof(draft), "%s.new", path);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, bytes) == (ssize_t)bytes ? 0 : -EIO;
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	if (ret == 0 && rename(draft, path) < 0)
		ret = -errno;
	if (ret < 0)
		unlink(draft);
	return ret;
}

/* N.json as an object; NULL: it is not there, or not one. */
static json_t *load(uint32_t number)
{
	char path[PATH_MAX];

	if (runtime_dir_file(path, sizeof(path), number, "json") < 0)
		return NULL;
	return json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
}

/* Writes it back, and frees it. */
static int save(uint32_t number, json_t *object, bool changed)
{
	char *text = changed ? json_dumps(object, JSON_INDENT(1)) : NULL;
	int ret = text ? state_file_write(number, "json", text) : -ENOMEM;

	free(text);
	json_decref(object);
	return ret;
}

int state_file_set_size(uint32_t number, uint64_t size_bytes)
{
	json_t *object = load(number);

	if (!object)
		return -EIO;
	return save(number, object,
		    json_object_set_new(object, "size_bytes",
					json_integer((json_int_t)size_bytes)) == 0);
}

int state_file_set_times(uint32_t number, uint32_t timeout_ms, uint32_t dead_timeout_ms)
{
	json_t *object = load(number), *config = json_object_get(object, "config");

	if (!object)
		return -EIO;
	return save(number, object,
		    json_object_set_new(config, "timeout_ms", json_integer(timeout_ms)) == 0 &&
			    json_object_set_new(config, "dead_timeout_ms",
						json_integer(dead_timeout_ms)) == 0);
}

void state_files_remove(uint32_t number)
{
	static const char *const suffixes[] = { "sock", "json", "udev" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (runtime_dir_file(path, sizeof(path), number, suffixes[i]) == 0)
			unlink(path);
}
