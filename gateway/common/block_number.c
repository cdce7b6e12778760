/* SPDX-License-Identifier: MIT */
#include "gateway/common/block_number.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

bool block_number_parse(const char *text, int base, dev_t *dev)
{
	char *colon, *end;
	unsigned long major = strtoul(text, &colon, base), minor;

	if (colon == text || *colon != ':' || major > UINT_MAX)
		return false;
	minor = strtoul(colon + 1, &end, base);
	if (end == colon + 1 || *end || minor > UINT_MAX)
		return false;
	*dev = makedev((unsigned int)major, (unsigned int)minor);
	return true;
}

bool block_number_read(const char *directory, dev_t *dev)
{
	char path[PATH_MAX], text[32] = "";
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/dev", directory) >= (int)sizeof(path))
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return block_number_parse(text, 10, dev);
}
