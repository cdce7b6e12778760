/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/cli/disconnect.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/foreground.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/cli/process.h"
#include "gateway/cli/systemd.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/strays.h"

/* How long our end waits for a supervisor that has not read yet. */
#define TOLD_MS 500

/* The daemon was killed. Its disk is removed as disconnect removes it, or left: whoever has it in use does not
 * know yet that its I/O fails, and its number would be another disk's. */
static int remove_killed(const struct daemon *daemon, int signal, const char *device)
{
	const struct disconnect_options options = {
		.tag = daemon->tag,
		.timeout_ms = DISCONNECT_TIMEOUT_MS,
	};
	enum exit_code exit_code;
	uint32_t number = (uint32_t)strtoul(device + strlen("/dev/ublkb"), NULL, 10);

	output_error("connect",
		     "the daemon of %s was killed by signal %d: the disk is disconnected", device,
		     signal);
	exit_code = disconnect_device(number, &options);
	if (exit_code == EXIT_CODE_BUSY)
		output_error(
			"connect",
			"%s is left, and its I/O fails: end its use, then 'ublk-nbd disconnect "
			"%s' removes it",
			device, device);
	disk_forget_server(daemon->tag);
	/* Removed without a loss, or by another command: that it was killed is a failure still. */
	return exit_code == EXIT_CODE_OK || exit_code == EXIT_CODE_NO_DEVICE ? EXIT_CODE_FAILURE
									     : (int)exit_code;
}

/* Until the daemon ends. */
static void watch(const struct daemon *daemon, int interrupt_fd)
{
	while (interrupt_wait(interrupt_fd, daemon->pidfd, INT64_MAX / 2) == 0) {
		int signal = interrupt_take(interrupt_fd);

		if (signal)
			process_signal(daemon->pidfd, signal);
	}
}

static int judge(const struct daemon *daemon, int status, const char *device)
{
	return WIFEXITED(status) ? WEXITSTATUS(status)
				 : remove_killed(daemon, WTERMSIG(status), device);
}

int foreground_run(struct daemon *daemon, int interrupt_fd, const char *device)
{
	char state[200];
	int exit_code;

	/* Our end is the service's, or the container's, and with it the daemon's. */
	strays_ignore();
	output_release_aside();
	snprintf(state, sizeof(state), "READY=1\nSTATUS=Serving %s", device);
	systemd_notify(state);
	watch(daemon, interrupt_fd);
	/* A disk in use is served on in spite of SIGTERM, so this is said when it is true. */
	systemd_notify("STOPPING=1");
	exit_code = judge(daemon, daemon_reap(daemon), device);
	if (systemd_notify_wait(TOLD_MS))
		return exit_code;
	fflush(NULL);
	_exit(exit_code);
}
