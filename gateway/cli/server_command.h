/* SPDX-License-Identifier: MIT */
/*
 * server_command.h - a server that is started for the verb, as a command line names it:
 * [ PROGRAM ARGUMENT... ].
 */
#ifndef GATEWAY_CLI_SERVER_COMMAND_H
#define GATEWAY_CLI_SERVER_COMMAND_H

#include <stdbool.h>

#include "gateway/common/disk_config.h"

/* Takes the words between the first "[" and the last "]" out of argv before its options are read: theirs are
 * not ours. command gets them, borrowed from argv, with a NULL behind; no words where there are no brackets.
 * false: it has complained (EXIT_CODE_USAGE). */
bool server_command_take(const char *verb, char *command[DISK_COMMAND_ARGS_MAX + 1], int *argc,
			 char **argv);

#endif
