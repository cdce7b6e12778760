/* SPDX-License-Identifier: MIT */
/*
 * connect_options.h - the command line of `connect`, read into a disk's configuration.
 */
#ifndef GATEWAY_CLI_CONNECT_OPTIONS_H
#define GATEWAY_CLI_CONNECT_OPTIONS_H

#include <stdbool.h>

#include "gateway/cli/options.h"
#include "gateway/common/disk_config.h"

struct connect_options {
	struct options common;
	struct disk_config config; /* connect_options_clear() frees what it holds */
	bool idempotent;
};

/*
 * Reads argv. OPTION_END: *wanted is whole and checked. OPTION_EXIT: return
 * wanted->common.exit_code; help or a complaint was printed.
 */
int connect_options_read(struct connect_options *wanted, int argc, char **argv);
void connect_options_clear(struct connect_options *wanted);

#endif
