/* SPDX-License-Identifier: MIT */
#include "gateway/cli/removal.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/cli/process.h"
#include "gateway/common/ublk_control.h"
#include "tls/clock.h"

/* A helper that waits for the disk's daemon in the kernel ends when that wait does. */
#define ABANDON_MS 200

static bool is_read_only(uint32_t number)
{
	struct ublk_control *control;
	struct ublk_params params = { 0 };
	char error[400];
	bool known;

	if (ublk_control_open(&control, error, sizeof(error)))
		return false;
	known = !ublk_control_get_params(control, number, &params);
	ublk_control_close(control);
	return known && params.basic.attrs & UBLK_ATTR_READ_ONLY;
}

static pid_t helper_start(const struct disk_stop_request *request, struct disk_stop_answer *shared)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	/* Whoever gives the command up gives this up, before it goes on to the stop. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() == parent)
		disk_stop_run(request, shared);
	_exit(0);
}

/* true: it has ended by itself. Killed, it does not go on to the stop once its fsync comes back. */
static bool helper_wait(pid_t pid, int64_t deadline_ms)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
	int64_t left_ms = deadline_ms - clock_now_ms();
	bool ended = pidfd >= 0 && !process_wait(pidfd, left_ms > 0 ? (uint32_t)left_ms : 0);

	if (!ended)
		kill(pid, SIGKILL);
	if (pidfd >= 0)
		process_wait(pidfd, ABANDON_MS);
	waitpid(pid, &status, WNOHANG);
	if (pidfd >= 0)
		close(pidfd);
	return ended;
}

void removal_run(const struct ublksrv_ctrl_dev_info *info, int64_t deadline_ms,
		 struct removal *removal)
{
	struct disk_stop_request request = {
		.number = info->dev_id,
		.ask_in_use = info->flags & UBLK_F_SAFE_STOP_DEV,
		.flush = !is_read_only(info->dev_id),
	};
	struct disk_stop_answer *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	*removal = (struct removal){ .answer.result = -ECHILD };
	if (shared == MAP_FAILED)
		return;
	shared->result = -ECHILD;
	pid = helper_start(&request, shared);
	if (pid > 0) {
		bool ended = helper_wait(pid, deadline_ms);

		removal->answer = *shared;
		if (!ended)
			removal->answer.result = -ETIMEDOUT;
	}
	removal->lossless = !request.flush || removal->answer.flushed || removal->answer.unwritten;
	munmap(shared, sizeof(*shared));
}
