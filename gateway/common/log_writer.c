/* SPDX-License-Identifier: MIT */
#include "gateway/common/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROCESS_NAME "ublk-nbd-log"
/* A log that is a plain file (no journal on this machine) is not let grow beyond this. */
#define FILE_BYTES_MAX (4 << 20)
/* After the parent's end, for what is still to be written. */
#define END_S 2
/* Whoever has begun to put a line puts it at once, or never. */
#define HELD_UP_MS 1000
/* Where they are in the process, below which there is nothing else. */
enum { FD_STRAYS = STDIN_FILENO, FD_WAKE = STDOUT_FILENO, FD_OUT = STDERR_FILENO };

static pid_t parent_pid;

static void parent_ended(int number)
{
	(void)number;
	if (getppid() != parent_pid)
		alarm(END_S);
}

/* Sent by anybody else it is nothing. */
static void time_is_up(int number)
{
	(void)number;
	if (getppid() != parent_pid)
		_exit(0);
}

static void take_signals(void)
{
	const struct sigaction ended = { .sa_handler = parent_ended, .sa_flags = SA_RESTART };
	const struct sigaction late = { .sa_handler = time_is_up, .sa_flags = SA_RESTART };
	const uint64_t blocked = ~(1ULL << (SIGUSR1 - 1) | 1ULL << (SIGALRM - 1));

	sigaction(SIGUSR1, &ended, NULL);
	sigaction(SIGALRM, &late, NULL);
	/* The kernel's call: libc's leaves out two signals that it keeps for itself. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, sizeof(blocked));
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	raise(SIGUSR1); /* it may have ended before */
}

static void take_descriptors(const struct log_writer *writer)
{
	int strays = fcntl(writer->strays_fd, F_DUPFD, FD_OUT + 1);
	int wake = fcntl(writer->wake_fd, F_DUPFD, FD_OUT + 1);
	int out = fcntl(writer->stderr_fd, F_DUPFD, FD_OUT + 1);

	dup2(strays, FD_STRAYS);
	dup2(wake, FD_WAKE);
	dup2(out, FD_OUT);
	close_range(FD_OUT + 1, ~0u, 0);
}

/* --- writing ------------------------------------------------------------------------------------- */

static bool file_is_full(void)
{
	struct stat st;

	return fstat(FD_OUT, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > FILE_BYTES_MAX;
}

/* One write(2) a line, so that lines of several processes do not mix. May wait for ever. */
static bool put_out(const char *text, size_t bytes)
{
	struct pollfd out = { .fd = FD_OUT, .events = POLLOUT };
	ssize_t n;

	if (file_is_full())
		return false;
	for (;;) {
		n = write(FD_OUT, text, bytes);
		if (n < 0 && errno == EAGAIN)
			poll(&out, 1, -1);
		else if (n >= 0 || errno != EINTR)
			return n == (ssize_t)bytes;
	}
}

static void tell_lost(const struct log_writer *writer)
{
	unsigned int lost = atomic_exchange(&writer->ring->lost, 0);
	char line[LOG_LINE_BYTES_MAX];
	int bytes;

	if (!lost)
		return;
	bytes = snprintf(line, sizeof(line), writer->lost_format, lost);
	if (bytes <= 0 || (size_t)bytes >= sizeof(line) || !put_out(line, (size_t)bytes))
		atomic_fetch_add(&writer->ring->lost, lost);
}

static void drain(const struct log_writer *writer)
{
	char line[LOG_LINE_BYTES_MAX];
	bool out = false;
	size_t bytes;

	while ((bytes = log_ring_look(writer->ring, line)) > 0) {
		out = put_out(line, bytes);
		if (!out)
			atomic_fetch_add(&writer->ring->lost, 1);
		log_ring_drop(writer->ring);
	}
	if (out)
		tell_lost(writer);
}

/* What was not put by a line's way: an assertion, a sanitizer. false: nobody can print any more. */
static bool carry_strays(void)
{
	char text[4096];
	ssize_t n = read(FD_STRAYS, text, sizeof(text));

	if (n > 0)
		put_out(text, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static _Noreturn void run(const struct log_writer *writer)
{
	struct pollfd fds[] = { { .fd = FD_STRAYS, .events = POLLIN },
				{ .fd = FD_WAKE, .events = POLLIN } };
	uint64_t count;

	for (;;) {
		bool held_up = log_ring_is_held_up(writer->ring);
		int ready = poll(fds, 2, held_up ? HELD_UP_MS : -1);

		if (ready == 0 && held_up)
			log_ring_pass(writer->ring);
		if (ready > 0 && fds[1].revents && read(FD_WAKE, &count, sizeof(count)) < 0) {
			/* Somebody's copy: the lines are there all the same. */
		}
		drain(writer);
		if (ready > 0 && fds[0].revents && !carry_strays())
			_exit(0);
	}
}

int log_writer_start(const struct log_writer *writer)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return 0;
	parent_pid = parent;
	prctl(PR_SET_NAME, PROCESS_NAME, 0, 0, 0);
	take_descriptors(writer);
	take_signals();
	if (chdir("/") < 0)
		_exit(1);
	if (writer->settle)
		writer->settle();
	run(writer);
}
