/* SPDX-License-Identifier: MIT */
#include "gateway/common/disk_name.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"
#define PART	"-part"

bool disk_name_is_valid(const char *text)
{
	size_t bytes = strlen(text);

	return bytes >= 1 && bytes <= DISK_NAME_BYTES_MAX && strchr(LETTERS, text[0]) &&
	       strspn(text, LETTERS DIGITS "_.-") == bytes && strncmp(text, "ublkb", 5) &&
	       strncmp(text, "ublkc", 5);
}

static bool is_partition_of(const char *text, const char *disk)
{
	size_t bytes = strlen(disk);
	const char *digits = text + bytes + strlen(PART);

	return !strncmp(text, disk, bytes) && !strncmp(text + bytes, PART, strlen(PART)) &&
	       digits[0] && !digits[strspn(digits, DIGITS)];
}

bool disk_name_collides(const char *one, const char *other)
{
	return !strcmp(one, other) || is_partition_of(one, other) || is_partition_of(other, one);
}

size_t disk_name_stem_bytes(const char *name)
{
	size_t bytes = strlen(name);

	for (;;) {
		size_t left = bytes;

		while (left > 0 && strchr(DIGITS, name[left - 1]))
			left--;
		if (left == bytes || left < strlen(PART) ||
		    strncmp(name + left - strlen(PART), PART, strlen(PART)))
			return bytes;
		bytes = left - strlen(PART);
	}
}
