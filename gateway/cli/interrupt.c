/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/cli/interrupt.h"
#include "tls/clock.h"

int interrupt_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, NULL);
	return fd;
}

int interrupt_take(int interrupt_fd)
{
	struct signalfd_siginfo info;

	if (read(interrupt_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

int interrupt_wait(int interrupt_fd, int fd, int64_t deadline_ms)
{
	struct pollfd pollfds[2] = {
		{ .fd = interrupt_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};

	for (;;) {
		int64_t left_ms = deadline_ms - clock_now_ms();

		if (left_ms > INT_MAX)
			left_ms = INT_MAX;
		poll(pollfds, 2, left_ms > 0 ? (int)left_ms : 0);
		if (pollfds[0].revents)
			return 0;
		if (pollfds[1].revents)
			return 1;
		if (left_ms <= 0)
			return -ETIMEDOUT;
	}
}

void interrupt_reset_child(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
