/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd map: a program of its own (gateway/map), which this one becomes. It alone needs libnbd, and
 * loading that costs more than all else that the other verbs do.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/output.h"
#include "gateway/common/program.h"

#define MAP_NAME "ublk-nbd-map"

int cmd_map(int argc, char **argv)
{
	char path[PATH_MAX];
	int error = program_find(MAP_NAME, path, sizeof(path));

	(void)argc;
	if (!error) {
		execv(path, argv);
		error = -errno;
	}
	output_error(argv[0],
		     "its program %s cannot be run: %s; install it (make install), and libnbd, "
		     "which it alone needs",
		     path, strerror(-error));
	return EXIT_CODE_SYSTEM;
}
