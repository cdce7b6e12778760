/* SPDX-License-Identifier: MIT */
#include "gateway/common/minder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tls/clock.h"

#define PROCESS_NAME "ublk-nbd-minder" /* 15 characters at most */
/* For the server's first thread to stop, so that its mask can be set. */
#define TRACE_MS 1000
#define PAUSE_MS 5
/* For one that has ended, or hangs in the kernel and is left to init. */
#define REAP_MS 500
/* The kernel's, of 64 signals: sigset_t is libc's and larger. */
#define KERNEL_MASK_BYTES 8

void minder_blocked(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGINT);
}

/* --- the server's signal mask -------------------------------------------------------------------- */

/* Waits until the server is stopped under us, or has ended. It is not reaped. */
static bool trace_wait(pid_t server, siginfo_t *info)
{
	int64_t deadline_ms = clock_now_ms() + TRACE_MS;

	do {
		memset(info, 0, sizeof(*info));
		if (waitid(P_PID, (id_t)server, info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT))
			return false;
		if (info->si_pid == server)
			return info->si_code == CLD_TRAPPED || info->si_code == CLD_STOPPED;
		clock_pause_ms(PAUSE_MS);
	} while (clock_now_ms() < deadline_ms);
	return false;
}

/* Unblocks SIGTERM in the server's first thread. A process' signal goes to any thread that takes it. */
static bool mask_open(pid_t server)
{
	uint64_t mask = 0;
	siginfo_t info;
	int signal;
	bool opened;

	if (ptrace(PTRACE_SEIZE, server, NULL, NULL))
		return false;
	/* Where it does not stop it stays traced, until it or we end: SIGKILL ends it all the same. */
	if (ptrace(PTRACE_INTERRUPT, server, NULL, NULL) || !trace_wait(server, &info))
		return false;
	opened = !ptrace(PTRACE_GETSIGMASK, server, (void *)KERNEL_MASK_BYTES, &mask);
	mask &= ~(1ULL << (SIGTERM - 1));
	opened = opened && !ptrace(PTRACE_SETSIGMASK, server, (void *)KERNEL_MASK_BYTES, &mask);
	/* A signal that came in between is handed on; our own stop is none. */
	signal = info.si_status >> 8 == PTRACE_EVENT_STOP ? 0 : info.si_status & 0x7f;
	ptrace(PTRACE_DETACH, server, NULL, (void *)(intptr_t)signal);
	return opened;
}

/* One line of /proc/PID/status that is a set of signals. */
static uint64_t signals_of(pid_t server, const char *key)
{
	char path[40], line[128];
	uint64_t signals = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)server);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			signals = strtoull(line + strlen(key), NULL, 16);
	if (file)
		fclose(file);
	return signals;
}

/* Asks the server to end. False: there is no way to ask. */
static bool server_ask(pid_t server)
{
	const uint64_t quit = 1ULL << (SIGQUIT - 1);

	if (mask_open(server))
		return !kill(server, SIGTERM);
	return signals_of(server, "SigCgt:") & ~signals_of(server, "SigBlk:") & quit &&
	       !kill(server, SIGQUIT);
}

/* --- the server's end ---------------------------------------------------------------------------- */

/* Whether it ended within timeout_ms; *report says how. It is not reaped, so its pid stays its own. */
static bool server_wait(pid_t server, uint32_t timeout_ms, struct minder_report *report)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	siginfo_t info;

	for (;;) {
		memset(&info, 0, sizeof(info));
		if (waitid(P_PID, (id_t)server, &info, WEXITED | WNOHANG | WNOWAIT))
			return true;
		if (info.si_pid == server) {
			*report = (struct minder_report){ info.si_code, info.si_status };
			return true;
		}
		if (clock_now_ms() >= deadline_ms)
			return false;
		clock_pause_ms(PAUSE_MS);
	}
}

static void server_end(pid_t server)
{
	struct minder_report report;

	if (!server_wait(server, 0, &report) &&
	    (!server_ask(server) || !server_wait(server, MINDER_STOP_MS, &report))) {
		kill(server, SIGKILL);
		server_wait(server, MINDER_KILLED_MS, &report);
	}
	/* Helpers it left behind in its session; it is not reaped yet, so the group is its. */
	kill(-server, SIGKILL);
	for (uint32_t waited_ms = 0; waited_ms < REAP_MS; waited_ms += PAUSE_MS) {
		if (waitpid(server, NULL, WNOHANG) != 0)
			break;
		clock_pause_ms(PAUSE_MS);
	}
}

/* --- the minder ---------------------------------------------------------------------------------- */

/* The parent may be what the OOM killer must spare, and so are we: it is the server that is not. */
static void spare_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "-1000", 5) < 0) {
		/* Not allowed to: we keep what we inherited. */
	}
	close(fd);
}

/* Its one descriptor becomes 0. Whoever reads what our parent's output goes to is not to wait for us. */
static void keep_socket_only(int socket_fd)
{
	dup2(socket_fd, STDIN_FILENO);
	close_range(STDIN_FILENO + 1, ~0u, 0);
}

static _Noreturn void mind(const struct minder *minder, pid_t server)
{
	struct minder_report report;
	struct pollfd fds[3] = { { .fd = STDIN_FILENO, .events = POLLIN } };

	keep_socket_only(minder->socket_fd);
	fds[1].fd = (int)syscall(SYS_pidfd_open, minder->parent, 0);
	fds[2].fd = (int)syscall(SYS_pidfd_open, server, 0);
	fds[1].events = fds[2].events = POLLIN;
	spare_oom();
	mlockall(MCL_CURRENT | MCL_FUTURE); /* its own disk may be what is swapped to */
	while (getppid() == minder->parent) {
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents || fds[1].revents)
			break;
		if (fds[2].revents && server_wait(server, 0, &report)) {
			send(STDIN_FILENO, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT);
			fds[2].fd = -1;
		}
	}
	server_end(server);
	unlink(minder->socket_path);
	rmdir(minder->directory);
	_exit(0);
}

int minder_run(const struct minder *minder, void (*run)(void *argument), void *argument)
{
	pid_t server, self = getpid();
	const uint64_t all = ~0ULL;

	/* The kernel's call: libc's leaves out two signals that it keeps for itself. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, KERNEL_MASK_BYTES);
	prctl(PR_SET_NAME, PROCESS_NAME, 0, 0, 0);
	server = fork();
	if (server < 0)
		return -errno;
	if (server > 0)
		mind(minder, server);
	/* Before all else, and looked after: we may be an orphan already. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == self)
		run(argument);
	_exit(1);
}
