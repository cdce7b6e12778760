/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/cli/clock.h"
#include "gateway/cli/process.h"

/* The name the kernel has for it: that of the program's file, cut at 15 bytes. */
static bool is_daemon(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, DAEMON_NAME);
}

int process_open_daemon(pid_t pid)
{
	int pidfd;

	if (pid <= 1)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	/* Looked at after the pidfd was had: if it is the daemon now, the pidfd is the daemon's. A
	 * zombie keeps its name, but its pidfd is readable. */
	if (is_daemon(pid) && process_wait(pidfd, 0))
		return pidfd;
	close(pidfd);
	return -ESRCH;
}

int process_wait(int pidfd, uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	struct pollfd pollfd = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		int64_t left_ms = deadline_ms - clock_now_ms();

		if (poll(&pollfd, 1, left_ms > 0 ? (int)left_ms : 0) > 0)
			return 0;
		if (left_ms <= 0)
			return -ETIMEDOUT;
	}
}

int process_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) ? -errno : 0;
}

int process_kill(int pidfd, uint32_t timeout_ms)
{
	int error = process_signal(pidfd, SIGKILL);

	if (error == -ESRCH)
		return 0;
	return error ? error : process_wait(pidfd, timeout_ms);
}
