/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/program.h"

static bool find_from_self(const char *folder, const char *name, char *out, size_t out_bytes)
{
	char self[PATH_MAX];
	ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	int written;

	if (bytes <= 0)
		return false;
	self[bytes] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = '\0';
	written = snprintf(out, out_bytes, "%s/../%s/%s", self, folder, name);
	return written > 0 && (size_t)written < out_bytes && !access(out, X_OK);
}

int program_find(const char *name, char *path, size_t path_bytes)
{
	static const char *const folders[] = { "libexec", "libexec/ublk-nbd", "ublk-nbd" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (find_from_self(folders[i], name, path, path_bytes))
			return 0;
	snprintf(path, path_bytes, LIBEXECDIR "/%s", name);
	return access(path, X_OK) ? -errno : 0;
}
