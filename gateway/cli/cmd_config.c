/* SPDX-License-Identifier: MIT */
/* cmd_config.c - the verb "config": what the configuration files say, whether it is right, and making it so. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/config_options.h"
#include "gateway/cli/configured.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"

#define VERB	   "config"
#define SHOW_BYTES 500

static const char help[] =
	"Usage: ublk-nbd config check [OPTION...]\n"
	"       ublk-nbd config show [OPTION...] [NAME]\n"
	"       ublk-nbd config apply [OPTION...] [--remove]\n"
	"The disks of /etc/ublk-nbd/ublk-nbd.conf and conf.d/*.conf.\n"
	"\n"
	"check  tells everything that is wrong, with file and line; exit status 2 then\n"
	"show   what counts for each disk, and where it is said\n"
	"apply  connects those that are not there (but auto = no), and tells which of\n"
	"       those that are there differ, and in what: they stay as they are\n"
	"\n"
	"      --config DIR        DIR/ublk-nbd.conf and DIR/conf.d alone\n"
	"      --remove            with apply: disconnect those that are configured no\n"
	"                          more, if they are not in use\n"
	"  -o, --output json|text  json: an object, or an array with one for each disk\n"
	"  -v, --verbose           tell each step\n"
	"  -h, --help              this text; ublk-nbd-config(1) has more\n";

enum { CONFIG = OPTION_OWN, REMOVE };

static const struct option longs[] = {
	{ "config", required_argument, NULL, CONFIG },
	{ "remove", no_argument, NULL, REMOVE },
	OPTIONS_COMMON,
	{ 0 },
};

struct wanted {
	struct options common;
	const char *name; /* show: NULL for all */
	const char *directory;
	bool remove;
};

/* --- check -------------------------------------------------------------------------------------------------- */

static json_t *check_to_json(const struct config *config, int exit_code)
{
	json_t *files = json_array(), *disks = json_array();

	for (size_t i = 0; i < config->file_count; i++)
		json_array_append_new(files, json_string(config->files[i]));
	for (size_t i = CONFIG_DEFAULTS + 1; i < config->section_count; i++)
		json_array_append_new(
			disks, json_pack("{s:s, s:b}", "name", config->sections[i].name, "good",
					 !config_is_faulty(config, &config->sections[i])));
	return json_pack("{s:o, s:o, s:i}", "files", files, "disks", disks, "exit", exit_code);
}

static int check(const struct wanted *wanted, struct config *config)
{
	int exit_code = configured_check(config, VERB), printed;

	if (wanted->common.json) {
		printed = output_json(VERB, check_to_json(config, exit_code));
	} else {
		if (exit_code == EXIT_CODE_OK)
			printf("files: %zu, disks: %zu, no fault\n", config->file_count,
			       config->section_count - 1);
		printed = output_finish(VERB);
	}
	return exit_code == EXIT_CODE_OK ? printed : exit_code;
}

/* --- show --------------------------------------------------------------------------------------------------- */

static void show_entry(const struct config_entry *entry)
{
	char line[SHOW_BYTES], value[SHOW_BYTES - 100];

	snprintf(line, sizeof(line), "%s = %s", entry->key,
		 output_text(value, sizeof(value), entry->value));
	printf("%-50s # %s:%u\n", line, entry->place.file, entry->place.line);
}

/* Calls show for each entry that counts, of [defaults] those first that the section does not replace. */
static void each_entry(const struct config *config, const struct config_section *section,
		       json_t *keys)
{
	const struct config_section *from[] = { &config->sections[CONFIG_DEFAULTS], section };

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < from[i]->entry_count; j++) {
			const struct config_entry *entry = &from[i]->entries[j];

			if (config_value(config, section, entry->key) != entry)
				continue;
			if (!keys)
				show_entry(entry);
			else
				json_object_set_new(keys, entry->key,
						    json_pack("{s:s, s:s, s:i}", "value",
							      entry->value, "file",
							      entry->place.file, "line",
							      (int)entry->place.line));
		}
	}
}

static void show_text(const struct config *config, const struct config_section *section)
{
	printf("[disk %s]\n", section->name);
	each_entry(config, section, NULL);
}

static json_t *show_json(const struct config *config, const struct config_section *section)
{
	json_t *keys = json_object();

	each_entry(config, section, keys);
	return json_pack("{s:s, s:b, s:b, s:o}", "name", section->name, "good",
			 !config_is_faulty(config, section), "auto",
			 config_options_is_automatic(config, section), "keys", keys);
}

/* What is shown is checked, too: all, or the one disk. *section: that, or NULL. */
static int show_check(const struct wanted *wanted, struct config *config,
		      const struct config_section **section)
{
	*section = NULL;
	if (!wanted->name)
		return configured_check(config, VERB);
	*section = config_find(config, wanted->name);
	if (!*section) {
		config_faults_print(config, NULL, VERB);
		output_error(VERB, "no file has [disk %s]", wanted->name);
		return EXIT_CODE_NO_DEVICE;
	}
	configured_check_disk(config, *section, VERB);
	return config_is_faulty(config, *section) ? EXIT_CODE_USAGE : EXIT_CODE_OK;
}

static int show(const struct wanted *wanted, struct config *config)
{
	const struct config_section *section, *only;
	int exit_code = show_check(wanted, config, &only), printed;
	json_t *rows = wanted->common.json ? json_array() : NULL;
	size_t shown = 0;

	for (size_t i = CONFIG_DEFAULTS + 1; i < config->section_count; i++) {
		section = &config->sections[i];
		if (wanted->name && section != only)
			continue;
		if (rows) {
			json_array_append_new(rows, show_json(config, section));
			continue;
		}
		if (shown++)
			putchar('\n');
		show_text(config, section);
	}
	printed = rows ? output_json(VERB, rows) : output_finish(VERB);
	return exit_code == EXIT_CODE_OK ? printed : exit_code;
}

/* --- the verb ----------------------------------------------------------------------------------------------- */

static int apply(const struct wanted *wanted, struct config *config)
{
	return configured_apply(config, &wanted->common, wanted->remove);
}

static const struct action {
	const char *name;
	int words; /* at most, after its own name */
	int (*run)(const struct wanted *wanted, struct config *config);
} actions[] = {
	{ "check", 0, check },
	{ "show", 1, show },
	{ "apply", 0, apply },
};

static const struct action *action_find(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(actions[i].name, name))
			return &actions[i];
	output_error(VERB, "'%s' is none of check, show, apply", name);
	return NULL;
}

/* The words: ACTION [NAME]. NULL: it has complained. */
static const struct action *take_words(struct wanted *wanted, int argc, char **argv)
{
	const struct action *action;

	if (!options_check_words(&wanted->common, argc, 1, 2, "check, show or apply"))
		return NULL;
	action = action_find(argv[optind]);
	if (!action)
		return NULL;
	if (argc - optind - 1 > action->words) {
		output_error(VERB, "%s takes options only; see 'ublk-nbd config --help'",
			     action->name);
		return NULL;
	}
	if (wanted->remove && action->run != apply) {
		output_error(VERB, "--remove goes with apply");
		return NULL;
	}
	wanted->name = argc - optind > 1 ? argv[optind + 1] : NULL;
	return action;
}

int cmd_config(int argc, char **argv)
{
	struct wanted wanted = { .common = { .verb = VERB, .help = help, .longs = longs } };
	const struct action *action;
	struct config config;
	int option, exit_code;

	while ((option = options_next(&wanted.common, argc, argv)) >= 0) {
		if (option == CONFIG)
			wanted.directory = optarg;
		else
			wanted.remove = true;
	}
	if (option == OPTION_EXIT)
		return wanted.common.exit_code;
	action = take_words(&wanted, argc, argv);
	if (!action)
		return EXIT_CODE_USAGE;
	exit_code = configured_load(VERB, wanted.directory, &config);
	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	exit_code = action->run(&wanted, &config);
	config_clear(&config);
	return exit_code;
}
