/* SPDX-License-Identifier: MIT */
/* cmd_connect.c - the verb "connect": a device of a target. */
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/connect.h"
#include "gateway/cli/connect_options.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"

int cmd_connect(int argc, char **argv)
{
	struct connect_options wanted;
	int interrupt_fd, exit_code;

	connect_options_init(&wanted);
	if (connect_options_parse(&wanted, argc, argv) == OPTION_EXIT ||
	    connect_options_complete(&wanted) == OPTION_EXIT)
		return wanted.common.exit_code;
	exit_code = connect_prepare(wanted.common.verb);
	interrupt_fd = interrupt_open();
	if (exit_code == EXIT_CODE_OK && interrupt_fd < 0) {
		output_error(wanted.common.verb, "signals cannot be waited for: %s",
			     strerror(-interrupt_fd));
		exit_code = EXIT_CODE_SYSTEM;
	}
	if (exit_code == EXIT_CODE_OK)
		exit_code = connect_disk(&wanted, interrupt_fd, NULL);
	connect_options_clear(&wanted);
	return exit_code;
}
