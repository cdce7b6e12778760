/* SPDX-License-Identifier: MIT */
/*
 * target.h - TARGET and the options that belong to it, for every verb that talks to a server.
 *
 *	static const struct option longs[] = { TARGET_OPTIONS, OPTIONS_COMMON, { 0 } };
 *	struct target_options wanted;
 *
 *	target_options_init(&wanted);
 *	while ((option = options_next(&options, argc, argv)) >= 0)
 *		if (!target_option_take(&options, &wanted, option))
 *			return EXIT_CODE_USAGE;
 *	if (option == OPTION_EXIT) return options.exit_code;
 *	if (!options_check_words(&options, argc, 1, 1, "TARGET")) return EXIT_CODE_USAGE;
 *	exit_code = target_parse(&options, &wanted, argv[optind], &uri);
 */
#ifndef GATEWAY_CLI_TARGET_H
#define GATEWAY_CLI_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/cli/options.h"
#include "gateway/cli/target_tls.h"
#include "gateway/common/exit_code.h"
#include "proto/uri.h"

enum target_option {
	TARGET_OPTION_EXPORT = TARGET_TLS_OPTION_LAST,
	TARGET_OPTION_CONNECT_TIMEOUT,
};

/* clang-format off */
#define TARGET_OPTIONS                                                                             \
	{ "export", required_argument, NULL, TARGET_OPTION_EXPORT },                               \
	{ "connect-timeout", required_argument, NULL, TARGET_OPTION_CONNECT_TIMEOUT },             \
	TARGET_TLS_OPTIONS
/* clang-format on */

struct target_options {
	const char *export_name;     /* NULL: the one in the target; borrowed from argv */
	uint32_t connect_timeout_ms; /* for name, dial and handshake together */
	struct target_tls tls;
};

void target_options_init(struct target_options *wanted);

/* Takes option (its value in optarg) when it is one of TARGET_OPTIONS; true for any other too.
 * False: its value is wrong, and it has complained. */
bool target_option_take(const struct options *options, struct target_options *wanted, int option);

/*
 * Parses text, a URI or host[:port][/export], and applies --export. File paths in it count, and
 * relative ones are made absolute. Returns EXIT_CODE_OK, or another having said why:
 * EXIT_CODE_USAGE.
 */
enum exit_code target_parse(const struct options *options, struct target_options *wanted,
			    const char *text, struct nbd_uri *uri);

/* Puts --export, checked, into uri (for a target that is a command): false, having complained. */
bool target_set_export(const struct options *options, const struct target_options *wanted,
		       struct nbd_uri *uri);

#endif
