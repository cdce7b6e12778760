/* SPDX-License-Identifier: MIT */
/*
 * wait.c - how the main thread waits before the disk is live: for one thing, for a deadline, and
 * always for being told to stop.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/common/open_files.h"
#include "gateway/disk/disk.h"
#include "tls/clock.h"

bool disk_fail(struct disk *disk, enum exit_code exit_code, const char *format, ...)
{
	va_list arguments;

	disk->exit_code = exit_code;
	va_start(arguments, format);
	vsnprintf(disk->sentence, sizeof(disk->sentence), format, arguments);
	va_end(arguments);
	open_files_add_remedy(disk->sentence, sizeof(disk->sentence));
	return false;
}

void disk_read_signals(struct disk *disk)
{
	struct signalfd_siginfo info;
	struct pollfd ready = { .fd = disk->ready_fd };

	while (read(disk->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			disk->stop_requested = true;
	if (disk->ready_fd >= 0 && poll(&ready, 1, 0) > 0 && ready.revents & (POLLHUP | POLLERR))
		disk->stop_requested = true;
}

bool disk_wait(struct disk *disk, int fd, int64_t deadline_ms)
{
	while (!disk->stop_requested) {
		struct pollfd fds[3] = {
			{ .fd = fd, .events = POLLIN },
			{ .fd = disk->signal_fd, .events = POLLIN },
			{ .fd = disk->ready_fd }, /* its end only; -1 is passed over */
		};
		int64_t left_ms = deadline_ms < 0 ? 60000 : deadline_ms - clock_now_ms();

		if (left_ms < 0)
			left_ms = 0;
		if (poll(fds, 3, left_ms > 60000 ? 60000 : (int)left_ms) < 0 && errno != EINTR)
			return false;
		if (fds[0].revents)
			return true;
		if (fds[1].revents || fds[2].revents)
			disk_read_signals(disk);
		else if (deadline_ms >= 0 && clock_now_ms() >= deadline_ms)
			return false;
	}
	return false;
}
