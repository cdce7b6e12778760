/* SPDX-License-Identifier: MIT */
/* cmd_disconnect.c - the verb "disconnect": one device, or all, or all of an owner. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disconnect.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"
#include "gateway/cli/owner.h"

#define VERB	       "disconnect"

#define TIMEOUT_MS_MIN 1000
#define TIMEOUT_MS_MAX (3600u * 1000)

static const char help[] =
	"Usage: ublk-nbd disconnect [OPTION...] DEVICE\n"
	"       ublk-nbd disconnect [OPTION...] --all [--owner NAME]\n"
	"Writes out what is unwritten, and removes the device. A disk in use is refused,\n"
	"and a daemon that lives is not killed.\n"
	"\n"
	"      --all           every disk of this machine that ublk-nbd made\n"
	"      --owner NAME    with --all: only those connected with this --owner\n"
	"      --force         also a disk in use: its I/O fails, unwritten data is lost;\n"
	"                      also one whose daemon does not answer, which is killed;\n"
	"                      also a ublk device of another program\n"
	"      --force-after TIME  try without force for so long, then with it\n"
	"  -t, --timeout TIME  how long one device may take (60s)\n"
	"  -o, --output json   [{\"device\": PATH, \"exit\": STATUS}, ...]\n"
	"  -v, --verbose       tell each step\n"
	"  -h, --help          this text; ublk-nbd-disconnect(1) has more\n"
	"\n"
	"DEVICE is 0, ublkb0, /dev/ublkb0 or a NAME, also without node. Exit status 6:\n"
	"in use, or was not removed; 7: no such device, or another command removed it;\n"
	"8: removed, but the last flush failed or could not be done.\n";

enum { ALL = OPTION_OWN, OWNER, FORCE, FORCE_AFTER };

static const struct option longs[] = {
	{ "all", no_argument, NULL, ALL },
	{ "owner", required_argument, NULL, OWNER },
	{ "force", no_argument, NULL, FORCE },
	{ "force-after", required_argument, NULL, FORCE_AFTER },
	{ "timeout", required_argument, NULL, 't' },
	OPTIONS_COMMON,
	{ 0 },
};

struct wanted {
	struct options common;
	struct disconnect_options how;
	bool all;
	char owner[DISK_OWNER_BYTES_MAX + 1]; /* "": any */
	json_t *results;		      /* of each device; with -o json only */
};

static bool take_option(struct wanted *wanted, int option)
{
	struct disk_limit limit = { .minimum = TIMEOUT_MS_MIN, .maximum = TIMEOUT_MS_MAX };

	switch (option) {
	case ALL:
		wanted->all = true;
		return true;
	case FORCE:
		wanted->how.force = true;
		return true;
	case FORCE_AFTER:
		return option_duration_ms(&wanted->common, "--force-after", optarg, &limit,
					  &wanted->how.force_after_ms);
	case OWNER:
		return owner_take(&wanted->common, optarg, wanted->owner);
	default:
		return option_duration_ms(&wanted->common, "--timeout", optarg, &limit,
					  &wanted->how.timeout_ms);
	}
}

static bool is_owned(uint32_t number, const char *owner)
{
	struct disk_record record;
	char error[400];
	bool same;

	if (!owner[0])
		return true;
	if (disk_record_load(number, &record, error, sizeof(error)))
		return false;
	same = !strcmp(record.config.owner, owner);
	disk_record_clear(&record);
	return same;
}

static enum exit_code disconnect_one(const struct wanted *wanted, uint32_t number)
{
	enum exit_code exit_code = disconnect_device(number, &wanted->how);
	char device[32];

	if (!wanted->results)
		return exit_code;
	snprintf(device, sizeof(device), "/dev/ublkb%u", number);
	json_array_append_new(wanted->results,
			      json_pack("{s:s, s:i}", "device", device, "exit", (int)exit_code));
	return exit_code;
}

/* Each in turn; one that cannot be removed does not spare the others. The first failure's exit
 * code. */
static int disconnect_all(const struct wanted *wanted)
{
	enum exit_code first = EXIT_CODE_OK;
	uint32_t *numbers;
	size_t count;
	int error = disks_list(&numbers, &count);

	if (error) {
		output_error(VERB, "the disks of this machine cannot be listed: %s; try sudo",
			     strerror(-error));
		return EXIT_CODE_SYSTEM;
	}
	for (size_t i = 0; i < count; i++) {
		enum exit_code exit_code;

		if (!is_owned(numbers[i], wanted->owner))
			continue;
		exit_code = disconnect_one(wanted, numbers[i]);
		if (first == EXIT_CODE_OK)
			first = exit_code;
	}
	free(numbers);
	return (int)first;
}

/* The results are printed, whatever they are. */
static int finish(struct wanted *wanted, int exit_code)
{
	int printed = wanted->common.json ? output_json(VERB, wanted->results) : EXIT_CODE_OK;

	return exit_code == EXIT_CODE_OK ? printed : exit_code;
}

int cmd_disconnect(int argc, char **argv)
{
	struct wanted wanted = {
		.common = { .verb = VERB, .help = help, .longs = longs },
		.how = { .timeout_ms = DISCONNECT_TIMEOUT_MS },
	};
	enum exit_code exit_code;
	uint32_t number;
	int option;

	while ((option = options_next(&wanted.common, argc, argv)) >= 0) {
		if (!take_option(&wanted, option))
			return EXIT_CODE_USAGE;
	}
	if (option == OPTION_EXIT)
		return wanted.common.exit_code;
	if (!options_check_words(&wanted.common, argc, !wanted.all, !wanted.all, "DEVICE"))
		return EXIT_CODE_USAGE;
	wanted.how.verbose = wanted.common.verbose;
	if (!wanted.all && wanted.owner[0]) {
		output_error(VERB, "--owner goes with --all");
		return EXIT_CODE_USAGE;
	}
	if (!wanted.all)
		exit_code = device_find_anyway(VERB, argv[optind], &number);
	else
		exit_code = disks_may_look(VERB) ? EXIT_CODE_OK : EXIT_CODE_SYSTEM;
	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	wanted.results = wanted.common.json ? json_array() : NULL;
	if (wanted.all)
		return finish(&wanted, disconnect_all(&wanted));
	return finish(&wanted, (int)disconnect_one(&wanted, number));
}
