/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/device_name.h"

/* All of text is a number from 0 to DEVICE_NUMBER_MAX, without leading zeros. */
static int number_parse(const char *text, uint32_t *number)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long value;

	if (digits < 1 || digits > 5 || text[digits] || (text[0] == '0' && digits > 1))
		return -EINVAL;
	value = strtoul(text, NULL, 10);
	if (value > DEVICE_NUMBER_MAX)
		return -EINVAL;
	*number = (uint32_t)value;
	return 0;
}

/* "ublkb12" or "ublkc12". */
static int node_parse(const char *name, uint32_t *number)
{
	if (strncmp(name, "ublkb", 5) && strncmp(name, "ublkc", 5))
		return -EINVAL;
	return number_parse(name + 5, number);
}

/* "ublkb12p3": */
static bool is_partition(const char *name)
{
	const char *p = strrchr(name, 'p');
	char disk[16];
	uint32_t number;

	if (strncmp(name, "ublkb", 5) || !p || (size_t)(p - name) >= sizeof(disk) || !p[1] ||
	    p[1 + strspn(p + 1, "0123456789")])
		return false;
	memcpy(disk, name, (size_t)(p - name));
	disk[p - name] = '\0';
	return node_parse(disk, &number) == 0;
}

static const char *strip_dev(const char *text)
{
	return strncmp(text, "/dev/", 5) ? text : text + 5;
}

/* The node of /dev that a link leads to, when only the node is gone. */
static bool link_read(const char *path, char real[PATH_MAX])
{
	char target[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t bytes = readlink(path, target, sizeof(target) - 1);
	char *slash;

	if (bytes < 0)
		return false;
	target[bytes] = '\0';
	snprintf(joined, sizeof(joined), "%.*s%s",
		 target[0] == '/' ? 0 : (int)(strrchr(path, '/') + 1 - path), path, target);
	slash = strrchr(joined, '/');
	*slash = '\0';
	if (!realpath(joined, real) || strcmp(real, "/dev"))
		return false;
	return snprintf(real, PATH_MAX, "%s", slash + 1) < PATH_MAX;
}

int device_name_parse(const char *text, uint32_t *number, char *error, size_t error_bytes)
{
	char real[PATH_MAX];
	const char *name = strip_dev(text);

	if (number_parse(text, number) == 0 || node_parse(name, number) == 0)
		return 0;
	/* A link, such as udev makes; the node that it leads to may be gone. */
	if (text[0] == '/' && (realpath(text, real) || link_read(text, real))) {
		name = strip_dev(real);
		if (node_parse(name, number) == 0)
			return 0;
	}
	if (is_partition(name))
		snprintf(error, error_bytes, "'%s' is a partition: name its disk, /dev/%.*s", text,
			 (int)(strrchr(name, 'p') - name), name);
	else
		snprintf(error, error_bytes,
			 "'%s' is not a ublk device: it is written as 0, ublkb0, /dev/ublkb0, the "
			 "path of a link to one, or the NAME of a disk",
			 text);
	return -EINVAL;
}
