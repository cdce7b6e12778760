/* SPDX-License-Identifier: MIT */
/*
 * configured.h - making the disks of the configuration files: one (connect NAME), or all (connect --all, config apply).
 */
#ifndef GATEWAY_CLI_CONFIGURED_H
#define GATEWAY_CLI_CONFIGURED_H

#include <stdbool.h>

#include "gateway/cli/config.h"
#include "gateway/cli/connect_options.h"

/* config_load(), which complains. EXIT_CODE_OK, or _SYSTEM. */
int configured_load(const char *verb, const char *directory, struct config *config);

/*
 * Reads the disk of one section, where neither is marked as faulty. EXIT_CODE_OK: *wanted, which is initialized, is
 * whole. EXIT_CODE_USAGE: it is faulty, or it has now been complained of, and *wanted is cleared. argv, unless NULL, is
 * a command line that connect_options_parse() took before: its options count more.
 */
int configured_read(struct config *config, const struct config_section *section,
		    struct connect_options *wanted, int argc, char **argv);

/* Complains of what is wrong with one disk, and with all, and marks that as faulty: before configured_read(). */
void configured_check_disk(struct config *config, const struct config_section *section,
			   const char *verb);

/* Complains of everything that is wrong, and marks the disks that cannot be made as faulty. EXIT_CODE_OK, or _USAGE. */
int configured_check(struct config *config, const char *verb);

/*
 * Makes each disk that is not there yet, but those with auto = no, tells a line for each (JSON with common->json), and
 * goes on after one that fails. A disk that is there and differs from its section stays as it is: EXIT_CODE_BUSY. With
 * remove, those that came from the configuration and are in it no more are disconnected, if they are not in use.
 * EXIT_CODE_OK; the exit code of those that failed, EXIT_CODE_FAILURE if theirs differ; EXIT_CODE_INTERRUPTED.
 */
int configured_apply(struct config *config, const struct options *common, bool remove);

#endif
