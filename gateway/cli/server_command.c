/* SPDX-License-Identifier: MIT */
#include "gateway/cli/server_command.h"

#include <string.h>

#include "gateway/cli/output.h"

static int word_find(int argc, char **argv, const char *word, bool last)
{
	int found = -1;

	for (int i = 1; i < argc && (found < 0 || last); i++) {
		if (!strcmp(argv[i], word))
			found = i;
	}
	return found;
}

bool server_command_take(const char *verb, char *command[DISK_COMMAND_ARGS_MAX + 1], int *argc,
			 char **argv)
{
	int open = word_find(*argc, argv, "[", false);
	int close = word_find(*argc, argv, "]", true);
	int count = close - open - 1;

	command[0] = NULL;
	if (open < 0 && close < 0)
		return true;
	if (open < 0 || close < open) {
		output_error(verb,
			     "'%s' without its '%s': a server to start is written "
			     "[ PROGRAM ARGUMENT... ], with spaces",
			     open < 0 ? "]" : "[", open < 0 ? "[" : "]");
		return false;
	}
	if (count < 1 || count > DISK_COMMAND_ARGS_MAX) {
		output_error(verb,
			     "between '[' and ']' stand %d words: the program and up to %d more",
			     count, DISK_COMMAND_ARGS_MAX - 1);
		return false;
	}
	memcpy(command, argv + open + 1, (size_t)count * sizeof(*argv));
	command[count] = NULL;
	memmove(argv + open, argv + close + 1, sizeof(*argv) * (size_t)(*argc - close));
	*argc -= close - open + 1;
	return true;
}
