/* SPDX-License-Identifier: MIT */
#include "gateway/common/device_limit.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 256

/* The driver's limit; false: it has none, or it cannot be read. */
static bool limit_read(const char *sys, unsigned int *limit)
{
	char path[PATH_BYTES], line[32], *end = line;
	FILE *file;

	snprintf(path, sizeof(path), "%s/module/ublk_drv/parameters/ublks_max", sys);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(line, sizeof(line), file))
		*limit = (unsigned int)strtoul(line, &end, 10);
	fclose(file);
	return end > line;
}

static unsigned int devices_count(const char *sys)
{
	char path[PATH_BYTES];
	const struct dirent *entry;
	unsigned int count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "%s/class/ublk-char", sys);
	folder = opendir(path);
	if (!folder)
		return 0;
	while ((entry = readdir(folder)))
		count += !strncmp(entry->d_name, "ublkc", strlen("ublkc"));
	closedir(folder);
	return count;
}

bool device_limit_explain(int error, const char *sys, char *sentence, size_t sentence_bytes)
{
	unsigned int limit, count = devices_count(sys);

	if (error == ENOSPC) {
		snprintf(sentence, sentence_bytes,
			 "the kernel's ublk driver has no free device number (%u devices exist): "
			 "disconnect a disk first",
			 count);
		return true;
	}
	if ((error != EACCES && error != EPERM) || !limit_read(sys, &limit) || count < limit)
		return false;
	snprintf(sentence, sentence_bytes,
		 "the kernel's ublk driver allows %u devices (module parameter ublks_max), and %u "
		 "exist: disconnect one, or write a larger number to "
		 "/sys/module/ublk_drv/parameters/ublks_max",
		 limit, count);
	return true;
}
