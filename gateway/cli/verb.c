/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "gateway/cli/output.h"
#include "gateway/cli/verb.h"

int verb_prepare(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return -1;
	/* A peer that closed is an errno here, not a death. */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int verb_run(int (*run)(int argc, char **argv), int argc, char **argv)
{
	int exit_code;

	output_hold();
	exit_code = run(argc, argv);
	output_release();
	return exit_code;
}
