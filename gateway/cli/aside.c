/* SPDX-License-Identifier: MIT */
#include "gateway/cli/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/cli/process.h"
#include "tls/clock.h"

/* A child that waits for the disk's daemon in the kernel ends when that wait does. */
#define ABANDON_MS 200

/* A child that is left behind in the kernel keeps what it has open: nobody who reads our output, or waits for a lock
 * of ours, is to wait for that. */
static void let_go_of_files(void)
{
	int nothing = open("/dev/null", O_RDWR);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(nothing, fd);
	close_range(STDERR_FILENO + 1, UINT_MAX, 0);
}

static pid_t child_start(void (*run)(const void *), const void *argument)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	/* Whoever gives the command up gives this up. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	let_go_of_files();
	if (getppid() == parent)
		run(argument);
	_exit(0);
}

int aside_run(void (*run)(const void *argument), const void *argument, int64_t deadline_ms)
{
	pid_t pid = child_start(run, argument);
	int64_t left_ms = deadline_ms - clock_now_ms();
	int pidfd, status = 0;
	bool ended;

	if (pid < 0)
		return -errno;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	ended = pidfd >= 0 && !process_wait(pidfd, left_ms > 0 ? (uint32_t)left_ms : 0);
	if (!ended)
		kill(pid, SIGKILL);
	if (pidfd >= 0)
		process_wait(pidfd, ABANDON_MS);
	waitpid(pid, &status, WNOHANG);
	if (pidfd >= 0)
		close(pidfd);
	return ended ? 0 : -ETIMEDOUT;
}
