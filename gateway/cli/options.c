/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/options.h"
#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"

#define SHORT_OPTIONS_MAX 16

/* --- getopt with our own messages ---------------------------------------------------------------------- */

/* ":ho:v" from the table: ':' first makes a missing value a ':' of its own. */
static void short_options(const struct option *longs, char *out)
{
	const char *end = out + (size_t)2 * SHORT_OPTIONS_MAX;

	*out++ = ':';
	for (; longs->name; longs++) {
		if (longs->val >= 0x80)
			continue;
		assert(out + 2 < end);
		*out++ = (char)longs->val;
		if (longs->has_arg == required_argument)
			*out++ = ':';
	}
	*out = '\0';
}

static int usage_exit(struct options *options)
{
	options->exit_code = EXIT_CODE_USAGE;
	return OPTION_EXIT;
}

/* getopt_long returned '?': optopt is a short option, or a long one's val when it was given a value
 * it does not take, or 0 when it is unknown or ambiguous. */
static int refuse_unknown(struct options *options, char **argv)
{
	const char *word = argv[optind - 1];
	char letter[3] = { '-', (char)optopt, '\0' };

	if (optopt && optopt < 0x80 && strncmp(word, "--", 2))
		word = letter;
	if (optopt && !strncmp(word, "--", 2))
		output_error(options->verb, "option '%.*s' takes no value", (int)strcspn(word, "="),
			     word);
	else
		output_error(options->verb, "unknown option '%s'; see 'ublk-nbd %s --help'", word,
			     options->verb);
	return usage_exit(options);
}

static int refuse_missing(struct options *options, char **argv)
{
	output_error(options->verb, "option '%s' needs a value; see 'ublk-nbd %s --help'",
		     argv[optind - 1], options->verb);
	return usage_exit(options);
}

static int print_help(struct options *options)
{
	fputs(options->help, stdout);
	options->exit_code = output_finish(options->verb);
	return OPTION_EXIT;
}

static bool take_output(struct options *options)
{
	if (!strcmp(optarg, "json") || !strcmp(optarg, "text")) {
		options->json = optarg[0] == 'j';
		return true;
	}
	output_error(options->verb, "--output: '%s' is neither json nor text", optarg);
	return false;
}

/* getopt_long takes the beginning of a name for the whole: what a script has shortened today means
 * something else once there is a longer option. */
static bool is_shortened(const struct option *option, char **argv)
{
	const char *word = argv[optind - 1];

	if (option->has_arg == required_argument && optarg == word)
		word = argv[optind - 2];
	return strcspn(word, "=") != strlen("--") + strlen(option->name);
}

static int refuse_shortened(struct options *options, const struct option *option)
{
	output_error(options->verb, "options are written out: --%s; see 'ublk-nbd %s --help'",
		     option->name, options->verb);
	return usage_exit(options);
}

int options_next(struct options *options, int argc, char **argv)
{
	char shorts[2 * SHORT_OPTIONS_MAX + 2];
	int option, index;

	short_options(options->longs, shorts);
	opterr = 0;
	for (;;) {
		index = -1;
		option = getopt_long(argc, argv, shorts, options->longs, &index);
		if (index >= 0 && option != '?' && option != ':' &&
		    is_shortened(&options->longs[index], argv))
			return refuse_shortened(options, &options->longs[index]);
		switch (option) {
		case 'h':
			return print_help(options);
		case 'v':
			options->verbose = true;
			break;
		case 'o':
			if (!take_output(options))
				return usage_exit(options);
			break;
		case '?':
			return refuse_unknown(options, argv);
		case ':':
			return refuse_missing(options, argv);
		default:
			return option;
		}
	}
}

bool options_check_words(const struct options *options, int argc, int minimum, int maximum,
			 const char *words)
{
	int count = argc - optind;

	if (count >= minimum && count <= maximum)
		return true;
	if (count < minimum)
		output_error(options->verb, "%s is missing; see 'ublk-nbd %s --help'", words,
			     options->verb);
	else if (maximum == 0)
		output_error(options->verb, "takes options only; see 'ublk-nbd %s --help'",
			     options->verb);
	else
		output_error(options->verb, "more words than %s; see 'ublk-nbd %s --help'", words,
			     options->verb);
	return false;
}

/* --- values ---------------------------------------------------------------------------------------------- */

/* Reads leading digits, up to 9 of them; false when there are none or more. *rest is what follows. */
static bool leading_digits(const char *text, uint64_t *value, const char **rest)
{
	size_t digits = strspn(text, "0123456789");

	*value = 0;
	if (digits < 1 || digits > 9)
		return false;
	for (size_t i = 0; i < digits; i++)
		*value = *value * 10 + (uint64_t)(text[i] - '0');
	*rest = text + digits;
	return true;
}

/* The value of the unit at rest among count, 0 when it is none. */
static uint64_t unit_value(const char *rest, const char *const *units, const uint64_t *values,
			   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(rest, units[i]))
			return values[i];
	}
	return 0;
}

bool option_number(const struct options *options, const char *option, const char *text,
		   const struct disk_limit *limit, uint32_t *value)
{
	const char *rest;
	uint64_t number;

	if (leading_digits(text, &number, &rest) && !*rest && number >= limit->minimum &&
	    disk_limit_allows(limit, number)) {
		*value = (uint32_t)number;
		return true;
	}
	output_error(options->verb, "%s: '%s' is not a number from %u to %u", option, text,
		     limit->minimum, limit->maximum);
	return false;
}

bool option_bytes(const struct options *options, const char *option, const char *text,
		  const struct disk_limit *limit, uint32_t *value)
{
	static const char *const units[] = { "", "K", "M", "G" };
	static const uint64_t values[] = { 1, 1u << 10, 1u << 20, 1u << 30 };
	char low[32], high[32];
	const char *rest;
	uint64_t number, unit;

	if (leading_digits(text, &number, &rest)) {
		unit = unit_value(rest, units, values, 4);
		if (unit && number * unit >= limit->minimum &&
		    disk_limit_allows(limit, number * unit)) {
			*value = (uint32_t)(number * unit);
			return true;
		}
	}
	output_error(options->verb, "%s: '%s' is not a size from %s to %s%s (as in 4096, 64K, 1M)",
		     option, text, output_size(low, sizeof(low), limit->minimum),
		     output_size(high, sizeof(high), limit->maximum),
		     limit->power_of_two ? ", a power of two" : "");
	return false;
}

/* A duration as an option takes it. */
static const char *duration_text(char *buf, size_t buf_bytes, uint32_t ms)
{
	if (ms % 3600000 == 0 && ms)
		snprintf(buf, buf_bytes, "%uh", ms / 3600000);
	else if (ms % 1000 == 0)
		snprintf(buf, buf_bytes, "%us", ms / 1000);
	else
		snprintf(buf, buf_bytes, "%ums", ms);
	return buf;
}

bool option_duration_ms(const struct options *options, const char *option, const char *text,
			const struct disk_limit *limit, uint32_t *value)
{
	static const char *const units[] = { "", "s", "ms", "m", "h" };
	static const uint64_t values[] = { 1000, 1000, 1, 60000, 3600000 };
	char low[32], high[32];
	const char *rest;
	uint64_t number, unit;

	if (leading_digits(text, &number, &rest)) {
		unit = unit_value(rest, units, values, 5);
		if (unit && disk_limit_allows(limit, number * unit)) {
			*value = (uint32_t)(number * unit);
			return true;
		}
	}
	output_error(options->verb,
		     "%s: '%s' is not a time from %s to %s (as in 30, 500ms, 2m, 1h)", option, text,
		     duration_text(low, sizeof(low), limit->minimum),
		     duration_text(high, sizeof(high), limit->maximum));
	return false;
}
