/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "gateway/cli/disconnect.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/foreground.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/cli/process.h"
#include "gateway/cli/systemd.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/strays.h"
#include "tls/clock.h"

#define TELL_AGAIN_MS 100

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

/* Until the daemon ends. A supervisor that does not take the state at once is told again. */
static void watch(const struct daemon *daemon, int interrupt_fd, const char *state)
{
	bool told = false;

	for (;;) {
		int64_t until_ms = INT64_MAX / 2;
		int signal, ret;

		told = told || systemd_notify(state) == 0;
		if (!told)
			until_ms = clock_now_ms() + TELL_AGAIN_MS;
		ret = interrupt_wait(interrupt_fd, daemon->pidfd, until_ms);
		if (ret == 1)
			return;
		signal = ret == 0 ? interrupt_take(interrupt_fd) : 0;
		if (signal)
			process_signal(daemon->pidfd, signal);
	}
}

int foreground_run(struct daemon *daemon, int interrupt_fd, const char *device)
{
	char state[200];
	int status;

	/* Our end is the service's, or the container's, and with it the daemon's. */
	strays_ignore();
	output_release_aside();
	snprintf(state, sizeof(state), "READY=1\nSTATUS=Serving %s", device);
	/* A disk in use is served on in spite of SIGTERM, so STOPPING=1 is said when it is true. */
	watch(daemon, interrupt_fd, state);
	systemd_notify("STOPPING=1");
	status = daemon_reap(daemon);
	return WIFEXITED(status) ? WEXITSTATUS(status)
				 : remove_killed(daemon, WTERMSIG(status), device);
}
