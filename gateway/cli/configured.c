/* SPDX-License-Identifier: MIT */
#include "gateway/cli/configured.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "gateway/cli/config_files.h"
#include "gateway/cli/config_options.h"
#include "gateway/cli/connect.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disconnect.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"

#define VERB_BYTES	  (DISK_NAME_BYTES_MAX + 32)
#define KEYS_BYTES	  500
#define REMOVE_TIMEOUT_MS 60000

struct run {
	struct config *config;
	const struct options *common;
	int interrupt_fd;
	int exit_code; /* so far */
	json_t *rows;  /* with -o json; else NULL */
};

/* --- what is told ------------------------------------------------------------------------------------------- */

static void run_note(struct run *run, int exit_code)
{
	if (exit_code == EXIT_CODE_OK)
		return;
	if (run->exit_code == EXIT_CODE_OK || run->exit_code == exit_code)
		run->exit_code = exit_code;
	else
		run->exit_code = EXIT_CODE_FAILURE;
}

/* One disk's line. */
static void run_tell(struct run *run, const char *name, const char *device, const char *result,
		     int exit_code)
{
	run_note(run, exit_code);
	if (run->rows) {
		json_array_append_new(run->rows,
				      json_pack("{s:s, s:s, s:s, s:i}", "name", name, "device",
						device, "result", result, "exit", exit_code));
		return;
	}
	printf("%-16s %-13s %s", name, device[0] ? device : "-", result);
	if (exit_code == EXIT_CODE_OK)
		putchar('\n');
	else
		printf(" (exit status %d)\n", exit_code);
	fflush(stdout);
}

/* "timeout, tls-ca" */
static const char *keys_text(char out[KEYS_BYTES], const json_t *keys)
{
	const json_t *key;
	size_t i, used = 0;

	out[0] = '\0';
	json_array_foreach(keys, i, key)
	{
		if (used < KEYS_BYTES)
			used += (size_t)snprintf(out + used, KEYS_BYTES - used, "%s%s",
						 i ? ", " : "", json_string_value(key));
	}
	return out;
}

/* --- reading ------------------------------------------------------------------------------------------------ */

int configured_load(const char *verb, const char *directory, struct config *config)
{
	int error = config_load(directory, config);

	if (!error)
		return EXIT_CODE_OK;
	output_error(verb, "the configuration cannot be read: %s", strerror(-error));
	return EXIT_CODE_SYSTEM;
}

/* The section's options, then those of argv. */
static bool read_options(const struct config *config, const struct config_section *section,
			 struct connect_options *wanted, int argc, char **argv)
{
	if (!config_options_take(config, section, wanted)) {
		connect_options_clear(wanted);
		return false;
	}
	optind = 0; /* getopt(3) begins anew */
	return !argv || connect_options_parse(wanted, argc, argv) == OPTION_END;
}

int configured_read(struct config *config, const struct config_section *section,
		    struct connect_options *wanted, int argc, char **argv)
{
	if (!config_is_faulty(config, section) &&
	    read_options(config, section, wanted, argc, argv) &&
	    config_options_complete(config, section, wanted))
		return EXIT_CODE_OK;
	connect_options_clear(wanted);
	return EXIT_CODE_USAGE;
}

/* --- checking ------------------------------------------------------------------------------------------------ */

/* Every fault that is seen before a disk is read as a whole. */
static void check_sections(struct config *config, const char *verb)
{
	config_faults_print(config, NULL, verb);
	for (size_t i = 0; i < config->section_count; i++)
		config_options_check(config, i, verb);
}

void configured_check_disk(struct config *config, const struct config_section *section,
			   const char *verb)
{
	config_faults_print(config, section, verb);
	config_options_check(config, CONFIG_DEFAULTS, verb);
	config_options_check(config, (size_t)(section - config->sections), verb);
}

static bool disk_is_good(struct config *config, const struct config_section *section,
			 const char *verb)
{
	struct connect_options wanted;

	connect_options_init(&wanted);
	wanted.common.verb = verb;
	if (configured_read(config, section, &wanted, 0, NULL) != EXIT_CODE_OK)
		return false;
	connect_options_clear(&wanted);
	return true;
}

int configured_check(struct config *config, const char *verb)
{
	bool good = true;

	check_sections(config, verb);
	good = !config->all_faulty && !config->nobody_faulty &&
	       !config->sections[CONFIG_DEFAULTS].faulty;
	for (size_t i = CONFIG_DEFAULTS + 1; i < config->section_count; i++) {
		struct config_section *section = &config->sections[i];

		if (!section->faulty && !disk_is_good(config, section, verb))
			section->faulty = true;
		good &= !section->faulty;
	}
	return good ? EXIT_CODE_OK : EXIT_CODE_USAGE;
}

/* --- one disk ----------------------------------------------------------------------------------------------- */

/* The keys that set what differs, each once; NULL: no memory. A number that is asked for is compared with the one
 * that the disk has, whoever chose that. */
static json_t *differing_keys(const struct disk_config *wanted, struct disk_record *there)
{
	json_t *keys = json_array();
	const char *key;
	size_t next = 0;

	there->config.device = (int32_t)there->number;
	while ((key = disk_config_difference(wanted, &there->config, &next)) != NULL) {
		const json_t *known;
		bool again = false;
		size_t i;

		json_array_foreach(keys, i, known) again |= !strcmp(json_string_value(known), key);
		if (!again)
			json_array_append_new(keys, json_string(key));
	}
	return keys;
}

/* Whether a disk of this name is there that is another than the configured one; told then. */
static bool tell_difference(struct run *run, const struct connect_options *wanted)
{
	const char *name = wanted->config.name;
	char device[32], keys[KEYS_BYTES], error[400];
	struct disk_record record;
	json_t *differing;
	uint32_t number;
	bool differs;

	if (device_find_named(name, false, &number) ||
	    disk_record_load(number, &record, error, sizeof(error)))
		return false;
	differing = differing_keys(&wanted->config, &record);
	disk_record_clear(&record);
	differs = json_array_size(differing) > 0;
	if (differs) {
		snprintf(device, sizeof(device), "/dev/ublkb%u", number);
		output_error(wanted->common.verb,
			     "%s is connected with another %s: to change that, 'ublk-nbd "
			     "disconnect %s', and connect it again",
			     device, keys_text(keys, differing), name);
		run_tell(run, name, device, "differs", EXIT_CODE_BUSY);
		json_object_set(json_array_get(run->rows, json_array_size(run->rows) - 1), "keys",
				differing);
	}
	json_decref(differing);
	return differs;
}

static int make(struct run *run, const struct connect_options *wanted)
{
	struct connect_result result = { .device = "" };
	int exit_code = connect_disk(wanted, run->interrupt_fd, &result);

	if (exit_code == EXIT_CODE_INTERRUPTED)
		return exit_code;
	run_tell(run, wanted->config.name, result.device,
		 exit_code != EXIT_CODE_OK ? "not connected"
		 : result.found		   ? "unchanged"
					   : "connected",
		 exit_code);
	return EXIT_CODE_OK;
}

/* EXIT_CODE_OK: the others come next. */
static int apply_section(struct run *run, const struct config_section *section)
{
	struct connect_options wanted;
	char verb[VERB_BYTES];
	int exit_code;

	connect_options_init(&wanted);
	wanted.common.verb = run->common->verb;
	wanted.common.verbose = run->common->verbose;
	wanted.idempotent = true;
	if (configured_read(run->config, section, &wanted, 0, NULL) != EXIT_CODE_OK) {
		run_tell(run, section->name, "", "not connected", EXIT_CODE_USAGE);
		return EXIT_CODE_OK;
	}
	snprintf(verb, sizeof(verb), "%s: %s", run->common->verb, section->name);
	wanted.common.verb = verb;
	exit_code = tell_difference(run, &wanted) ? EXIT_CODE_OK : make(run, &wanted);
	connect_options_clear(&wanted);
	return exit_code;
}

/* --- --remove ----------------------------------------------------------------------------------------------- */

/* Whether the disk was made from the configuration, and has no section any more. Its name then. */
static bool is_left_over(const struct config *config, uint32_t number,
			 char name[DISK_NAME_BYTES_MAX + 1])
{
	struct disk_record record;
	char error[400];
	bool left;

	if (disk_record_load(number, &record, error, sizeof(error)))
		return false;
	strcpy(name, record.config.name);
	left = record.config.configured && name[0] && !config_find(config, name);
	disk_record_clear(&record);
	return left;
}

static void remove_one(struct run *run, uint32_t number, const char *name)
{
	struct disconnect_options how = {
		.verbose = run->common->verbose,
		.timeout_ms = REMOVE_TIMEOUT_MS,
	};
	enum exit_code exit_code = disconnect_device(number, &how);
	char device[32];

	snprintf(device, sizeof(device), "/dev/ublkb%u", number);
	run_tell(run, name, device,
		 exit_code == EXIT_CODE_OK || exit_code == EXIT_CODE_DATA ? "removed"
									  : "not removed",
		 (int)exit_code);
}

static void remove_left_over(struct run *run)
{
	const struct config *config = run->config;
	char name[DISK_NAME_BYTES_MAX + 1];
	uint32_t *numbers;
	size_t count;
	int error;

	if (config->all_faulty || config->nobody_faulty) {
		output_error(
			run->common->verb,
			"--remove: no disk is removed while a file or a section cannot be read");
		return;
	}
	error = disks_list(&numbers, &count);
	if (error) {
		output_error(run->common->verb, "the disks of this machine cannot be listed: %s",
			     strerror(-error));
		run_note(run, EXIT_CODE_SYSTEM);
		return;
	}
	for (size_t i = 0; i < count && !interrupt_take(run->interrupt_fd); i++)
		if (is_left_over(config, numbers[i], name))
			remove_one(run, numbers[i], name);
	free(numbers);
}

/* --- all ---------------------------------------------------------------------------------------------------- */

static int apply_sections(struct run *run)
{
	const struct config *config = run->config;
	int exit_code = EXIT_CODE_OK;

	for (size_t i = CONFIG_DEFAULTS + 1; i < config->section_count; i++) {
		if (!config_options_is_automatic(config, &config->sections[i]))
			continue;
		exit_code = apply_section(run, &config->sections[i]);
		if (exit_code != EXIT_CODE_OK)
			break;
	}
	return exit_code;
}

/* The rows are printed, whatever came of them. */
static int finish(struct run *run, int exit_code)
{
	int printed = run->common->json ? output_json(run->common->verb, run->rows)
					: output_finish(run->common->verb);

	if (exit_code == EXIT_CODE_OK)
		exit_code = run->exit_code;
	return exit_code == EXIT_CODE_OK ? printed : exit_code;
}

int configured_apply(struct config *config, const struct options *common, bool remove)
{
	struct run run = { .config = config, .common = common };
	int exit_code = connect_prepare(common->verb);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	run.interrupt_fd = interrupt_open();
	if (run.interrupt_fd < 0) {
		output_error(common->verb, "signals cannot be waited for: %s",
			     strerror(-run.interrupt_fd));
		return EXIT_CODE_SYSTEM;
	}
	run.rows = common->json ? json_array() : NULL;
	check_sections(config, common->verb);
	if (config->all_faulty || config->nobody_faulty)
		run_note(&run, EXIT_CODE_USAGE);
	if (config->section_count == CONFIG_DEFAULTS + 1 && !config->fault_count)
		output_warning(common->verb, "no disk is configured");
	exit_code = apply_sections(&run);
	if (remove && exit_code == EXIT_CODE_OK)
		remove_left_over(&run);
	close(run.interrupt_fd);
	return finish(&run, exit_code);
}
