/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "gateway/cli/clock.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/runtime_lock.h"
#include "gateway/common/runtime_dir.h"

/* flock(2) has no deadline, so it is asked again and again. */
#define ASK_EVERY_MS 50

int runtime_lock_take(int interrupt_fd, uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	char path[PATH_MAX];
	int fd, error = runtime_dir_join(path, sizeof(path), "lock");

	if (error)
		return error;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (!error && flock(fd, LOCK_EX | LOCK_NB)) {
		int64_t now_ms = clock_now_ms();

		if (errno != EWOULDBLOCK && errno != EINTR)
			error = -errno;
		else if (now_ms >= deadline_ms)
			error = -ETIMEDOUT;
		else if (interrupt_wait(interrupt_fd, -1, now_ms + ASK_EVERY_MS) == 0)
			error = -EINTR;
	}
	if (!error)
		return fd;
	close(fd);
	return error;
}
