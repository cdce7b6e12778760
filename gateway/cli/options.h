/* SPDX-License-Identifier: MIT */
/*
 * options.h - one way to read a verb's command line: getopt_long(3) with our own messages, the
 * options that every verb has, and values that are checked where they are read.
 *
 * Each function that complains has then printed one sentence that names the option, the value and
 * what is allowed; the caller returns EXIT_CODE_USAGE.
 */
#ifndef GATEWAY_CLI_OPTIONS_H
#define GATEWAY_CLI_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/disk_config.h"

/* What options_next() returns beside a verb's own values, which start at OPTION_OWN; a val below
 * 0x80 is a short option as well (so far 'r' --read-only and 't' --timeout). */
#define OPTION_END    (-1)  /* no option is left: the rest is at argv[optind] */
#define OPTION_EXIT   (-2)  /* return options.exit_code: --help was given, or a mistake */
#define OPTION_TARGET 0x100 /* target.h's options */
#define OPTION_OWN    0x200

/* The options every verb has; the last entries of its table, before the { 0 }. */
#define OPTIONS_COMMON                                                                             \
	{ "output", required_argument, NULL, 'o' }, { "verbose", no_argument, NULL, 'v' },         \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}

struct options {
	const char *verb;	    /* set by the caller, as is */
	const char *help;	    /* the whole text of --help, fits 80x24 */
	const struct option *longs; /* { 0 }-terminated */
	bool json;		    /* -o json */
	bool verbose;
	int exit_code; /* with OPTION_EXIT */
};

/* The next option of the verb's own, its value in optarg; or OPTION_END, OPTION_EXIT. */
int options_next(struct options *options, int argc, char **argv);

/* Whether exactly minimum..maximum words are left; names them ("TARGET") when not. */
bool options_check_words(const struct options *options, int argc, int minimum, int maximum,
			 const char *words);

/* Each parses text, the value of option ("--timeout"), into *value; false: it has complained.
 *
 * number: decimal digits.
 * bytes: digits, or digits and one of K, M, G (1024 each).
 * duration: digits and one of ms, s, m, h; seconds without a unit. */
bool option_number(const struct options *options, const char *option, const char *text,
		   const struct disk_limit *limit, uint32_t *value);
bool option_bytes(const struct options *options, const char *option, const char *text,
		  const struct disk_limit *limit, uint32_t *value);
bool option_duration_ms(const struct options *options, const char *option, const char *text,
			const struct disk_limit *limit, uint32_t *value);

#endif
