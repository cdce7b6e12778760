/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/interrupt.h"
#include "gateway/cli/runtime_lock.h"
#include "gateway/common/runtime_dir.h"
#include "tls/clock.h"

/* flock(2) has no deadline, so it is asked again and again. */
#define ASK_EVERY_MS 50

/* Whoever had it may have removed the file: then it is no lock any more. */
static bool is_still_there(const char *path, int fd)
{
	struct stat named, opened;

	return !lstat(path, &named) && !fstat(fd, &opened) && named.st_ino == opened.st_ino &&
	       named.st_dev == opened.st_dev;
}

/* 0 or -errno; -EAGAIN: somebody else has it. */
static int lock_try(const char *path, int *fd)
{
	int error = 0;

	*fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return -errno;
	if (flock(*fd, LOCK_EX | LOCK_NB))
		error = errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
	else if (!is_still_there(path, *fd))
		error = -EAGAIN;
	if (error)
		close(*fd);
	return error;
}

int runtime_lock_take(const char *name, int interrupt_fd, uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	char path[PATH_MAX];
	int fd, error = runtime_dir_join(path, sizeof(path), name);

	if (error)
		return error;
	for (;;) {
		int64_t now_ms = clock_now_ms();

		error = lock_try(path, &fd);
		if (error != -EAGAIN)
			return error ? error : fd;
		if (now_ms >= deadline_ms)
			return -ETIMEDOUT;
		if (interrupt_wait(interrupt_fd, -1, now_ms + ASK_EVERY_MS) == 0)
			return -EINTR;
	}
}

void runtime_lock_remove(const char *name, int fd)
{
	char path[PATH_MAX];

	if (fd < 0)
		return;
	if (!runtime_dir_join(path, sizeof(path), name))
		unlink(path);
	close(fd);
}
