/* SPDX-License-Identifier: MIT */
/*
 * config_options.h - a disk of the configuration files as connect's options: its keys are the names of those that
 * describe a disk (connect_options.h), and beside them
 *
 *   target = TARGET      or
 *   command = PROGRAM ARGUMENT...      (config_words.h)
 *   auto = yes|no        whether connect --all and config apply make it; yes if no file says
 *
 * Complaints begin with wanted->common.verb, file and line.
 */
#ifndef GATEWAY_CLI_CONFIG_OPTIONS_H
#define GATEWAY_CLI_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/cli/config.h"
#include "gateway/cli/connect_options.h"

/* Looks at each key and value of the section (its index) by itself, those too that others replace, complains of each
 * that is wrong, and marks the section as faulty then. */
void config_options_check(struct config *config, size_t index, const char *verb);

/* Whether connect --all makes the disk. The section has been checked, and that of [defaults]. */
bool config_options_is_automatic(const struct config *config, const struct config_section *section);

/* Takes what counts for the disk into *wanted, which is initialized: its name and its options, not yet its target.
 * false: it has complained. */
bool config_options_take(const struct config *config, const struct config_section *section,
			 struct connect_options *wanted);

/* The rest, after options that count more: the target, and connect_options_complete(). false: it has complained, and
 * *wanted is cleared. */
bool config_options_complete(const struct config *config, const struct config_section *section,
			     struct connect_options *wanted);

#endif
