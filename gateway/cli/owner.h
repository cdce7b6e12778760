/* SPDX-License-Identifier: MIT */
/*
 * owner.h - the name given with --owner: it stands on command lines and in tables, so it is plain.
 */
#ifndef GATEWAY_CLI_OWNER_H
#define GATEWAY_CLI_OWNER_H

#include <stdbool.h>

#include "gateway/cli/options.h"
#include "gateway/common/disk_config.h"

/* Checks text, the value of --owner, and copies it to out; false: it has complained. */
bool owner_take(const struct options *options, const char *text,
		char out[DISK_OWNER_BYTES_MAX + 1]);

#endif
