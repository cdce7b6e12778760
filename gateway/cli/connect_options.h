/* SPDX-License-Identifier: MIT */
/*
 * connect_options.h - the command line of `connect`, read into a disk's configuration.
 */
#ifndef GATEWAY_CLI_CONNECT_OPTIONS_H
#define GATEWAY_CLI_CONNECT_OPTIONS_H

#include <stdbool.h>

#include "gateway/cli/options.h"
#include "gateway/cli/target.h"
#include "gateway/common/disk_config.h"

struct connect_options {
	struct options common;
	struct target_options target;
	const char *word; /* TARGET; NULL with a command and with --all; borrowed from argv */
	struct disk_config config; /* connect_options_clear() frees what it holds */
	uint32_t retry_for_ms;	   /* how long a server that is not up yet is waited for; 0: not */
	bool idempotent;
	bool all;
	bool disk_options;	      /* some that say how a disk is, not what the command does */
	const char *config_directory; /* NULL: the usual ones; borrowed from argv */
};

/* The defaults. */
void connect_options_init(struct connect_options *wanted);

/*
 * Takes the options, the command and the word of argv, each checked by itself. OPTION_END. OPTION_EXIT: return
 * wanted->common.exit_code; help or a complaint was printed, and *wanted is cleared.
 */
int connect_options_parse(struct connect_options *wanted, int argc, char **argv);

/*
 * Reads the target, and checks what belongs together. OPTION_END: wanted->config is whole. OPTION_EXIT: as above.
 */
int connect_options_complete(struct connect_options *wanted);

/* The options, { 0 } behind the last. */
const struct option *connect_options_table(void);

/* Whether a configuration file may have it as a key: it says how a disk is, not what the command does. */
bool connect_option_is_key(const struct option *option);

/* The option of that key; NULL: there is none. */
const struct option *connect_option_find(const char *key);

/* As if --OPTION=VALUE stood on the command line, and for a flag "yes" or "no"; the value is borrowed. false: it has
 * complained. */
bool connect_options_set(struct connect_options *wanted, const struct option *option,
			 const char *value);

void connect_options_clear(struct connect_options *wanted);

#endif
