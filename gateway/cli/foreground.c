/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "gateway/cli/foreground.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/cli/process.h"
#include "gateway/cli/reap.h"
#include "gateway/cli/systemd.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/strays.h"

static int judge(const struct daemon *daemon, int status, const char *device)
{
	char error[400] = "";

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (reap_of_tag(daemon->tag, error, sizeof(error)))
		output_error("connect",
			     "the daemon of %s was killed by signal %d, and what it left "
			     "cannot be removed: %s",
			     device, WTERMSIG(status), error);
	else
		output_error("connect",
			     "the daemon of %s was killed by signal %d; the device is removed",
			     device, WTERMSIG(status));
	return EXIT_CODE_FAILURE;
}

int foreground_run(struct daemon *daemon, int interrupt_fd, const char *device)
{
	char state[200];
	int signal, status;

	/* Our end is the service's, or the container's, and with it the daemon's. */
	strays_ignore();
	output_release_aside();
	snprintf(state, sizeof(state), "READY=1\nSTATUS=Serving %s", device);
	systemd_notify(state);
	/* A disk in use is served on in spite of SIGTERM, so STOPPING=1 is said when it is true. */
	while (interrupt_wait(interrupt_fd, daemon->pidfd, INT64_MAX / 2) == 0) {
		signal = interrupt_take(interrupt_fd);
		if (signal)
			process_signal(daemon->pidfd, signal);
	}
	systemd_notify("STOPPING=1");
	status = daemon_reap(daemon);
	return judge(daemon, status, device);
}
