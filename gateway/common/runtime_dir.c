/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/common/runtime_dir.h"

#define RUNTIME_DIR_DEFAULT "/run/ublk-nbd"
#define RUNTIME_DIR_MODE    0700

const char *runtime_dir_path(void)
{
	const char *path = secure_getenv("UBLK_NBD_RUNTIME_DIR");

	return path && path[0] ? path : RUNTIME_DIR_DEFAULT;
}

/* A directory that others can write to would let them hand us a socket or a pid of their choice. */
static int runtime_dir_check(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_uid != geteuid())
		return -EPERM;
	if ((st.st_mode & 07777) != RUNTIME_DIR_MODE && fchmod(fd, RUNTIME_DIR_MODE))
		return -errno;
	return 0;
}

int runtime_dir_prepare(void)
{
	const char *path = runtime_dir_path();
	int fd, error;

	/* The daemon's working directory is not the command line's. */
	if (path[0] != '/')
		return -EINVAL;
	if (mkdir(path, RUNTIME_DIR_MODE) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = runtime_dir_check(fd);
	close(fd);
	return error;
}

int runtime_dir_file(char *out, size_t out_bytes, uint32_t number, const char *suffix)
{
	int bytes = snprintf(out, out_bytes, "%s/%u.%s", runtime_dir_path(), number, suffix);

	return bytes < 0 || (size_t)bytes >= out_bytes ? -ENAMETOOLONG : 0;
}
