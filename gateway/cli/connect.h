/* SPDX-License-Identifier: MIT */
/*
 * connect.h - from a disk's configuration to a device that can be used:
 *   (--idempotent: lock, look for an equal disk) -> (--name: reserve it) -> daemon -> its ready conversation ->
 *   the path on standard output, or in a connect_result.
 */
#ifndef GATEWAY_CLI_CONNECT_H
#define GATEWAY_CLI_CONNECT_H

#include <stdbool.h>

#include "gateway/cli/connect_options.h"

/* What became of a disk whose caller tells of it. */
struct connect_result {
	char device[32]; /* "/dev/ublkb0" */
	bool found;	 /* --idempotent: it was there already */
};

/* Loads the driver, and looks at all that doctor looks at on this machine. EXIT_CODE_OK; else it has complained, and
 * no disk could be made. */
int connect_prepare(const char *verb);

/*
 * Makes the disk, or with wanted->idempotent finds it; with --foreground it returns when the disk has ended. Its
 * messages begin with wanted->common.verb. An exit code of EXIT_CODE_OK: the disk is usable, and it was told of on
 * standard output, or in *result unless that is NULL. Else it has complained, and nothing is left behind.
 */
int connect_disk(const struct connect_options *wanted, int interrupt_fd,
		 struct connect_result *result);

#endif
