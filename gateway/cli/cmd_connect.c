/* SPDX-License-Identifier: MIT */
/* cmd_connect.c - the verb "connect": a device of a target, or of a disk of the configuration; or all of those. */
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/config.h"
#include "gateway/cli/configured.h"
#include "gateway/cli/connect.h"
#include "gateway/cli/connect_options.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/common/disk_name.h"
#include "gateway/common/exit_code.h"

/* --- NAME --------------------------------------------------------------------------------------------------- */

/* A word that is no section is a host, unless a section of that name may be one that cannot be read. */
static int take_host(const struct config *config, struct connect_options *wanted)
{
	const char *verb = wanted->common.verb, *word = wanted->word;

	if (!wanted->config_directory && !config->all_faulty && !config->nobody_faulty)
		return connect_options_complete(wanted) == OPTION_END ? EXIT_CODE_OK
								      : wanted->common.exit_code;
	config_faults_print(config, NULL, verb);
	if (wanted->config_directory)
		output_error(verb, "no file of %s has [disk %s]", wanted->config_directory, word);
	else
		output_error(verb,
			     "whether [disk %s] is configured cannot be told: correct that, or "
			     "write nbd://%s/ for the host",
			     word, word);
	connect_options_clear(wanted);
	return EXIT_CODE_USAGE;
}

/* The section's options, and then those of the command line once more: they count more. */
static int take_section(struct config *config, const struct config_section *section,
			struct connect_options *wanted, int argc, char **argv)
{
	configured_check_disk(config, section, wanted->common.verb);
	connect_options_clear(wanted);
	connect_options_init(wanted);
	return configured_read(config, section, wanted, argc, argv);
}

/* What the word is: a target as such, or a disk of the configuration. */
static int take_word(struct connect_options *wanted, int argc, char **argv)
{
	const struct config_section *section;
	struct config config;
	int exit_code;

	if (!wanted->word || !disk_name_is_valid(wanted->word))
		return connect_options_complete(wanted) == OPTION_END ? EXIT_CODE_OK
								      : wanted->common.exit_code;
	exit_code = configured_load(wanted->common.verb, wanted->config_directory, &config);
	if (exit_code != EXIT_CODE_OK) {
		connect_options_clear(wanted);
		return exit_code;
	}
	section = config_find(&config, wanted->word);
	exit_code = section ? take_section(&config, section, wanted, argc, argv)
			    : take_host(&config, wanted);
	config_clear(&config);
	return exit_code;
}

/* --- the verb ----------------------------------------------------------------------------------------------- */

static int connect_all(const struct connect_options *wanted)
{
	struct config config;
	int exit_code = configured_load(wanted->common.verb, wanted->config_directory, &config);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	exit_code = configured_apply(&config, &wanted->common, false);
	config_clear(&config);
	return exit_code;
}

static int connect_one(const struct connect_options *wanted)
{
	int exit_code = connect_prepare(wanted->common.verb);
	int interrupt_fd = interrupt_open();

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	if (interrupt_fd >= 0)
		return connect_disk(wanted, interrupt_fd, NULL);
	output_error(wanted->common.verb, "signals cannot be waited for: %s",
		     strerror(-interrupt_fd));
	return EXIT_CODE_SYSTEM;
}

int cmd_connect(int argc, char **argv)
{
	struct connect_options wanted;
	int exit_code;

	connect_options_init(&wanted);
	if (connect_options_parse(&wanted, argc, argv) == OPTION_EXIT)
		return wanted.common.exit_code;
	if (wanted.all)
		return connect_all(&wanted);
	exit_code = take_word(&wanted, argc, argv);
	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	exit_code = connect_one(&wanted);
	connect_options_clear(&wanted);
	return exit_code;
}
