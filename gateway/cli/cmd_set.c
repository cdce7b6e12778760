/* SPDX-License-Identifier: MIT */
/* cmd_set.c - the verb "set": other times for a live disk, or for all. */
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/control_client.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/option_time.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"

#define VERB	   "set"
#define TIMEOUT_MS 10000

static const char help[] =
	"Usage: ublk-nbd set OPTION... DEVICE | --all\n"
	"Changes the times of a disk while it is in use.\n"
	"\n"
	"  -t, --timeout TIME             what a request in flight may take\n"
	"      --dead-timeout TIME|never  how long I/O waits for a lost server\n"
	"      --all                      every disk of this machine that ublk-nbd made\n"
	"  -o, --output json|text         json: {\"ok\": true}\n"
	"  -v, --verbose                  tell each step\n"
	"  -h, --help                     this text; ublk-nbd-set(1) has more\n"
	"\n"
	"DEVICE is 0, ublkb0, /dev/ublkb0 or a NAME. TIME is 30, 500ms, 2m or 1h.\n";

enum { ALL = OPTION_OWN, DEAD_TIMEOUT };

static const struct option longs[] = {
	{ "timeout", required_argument, NULL, 't' },
	{ "dead-timeout", required_argument, NULL, DEAD_TIMEOUT },
	{ "all", no_argument, NULL, ALL },
	OPTIONS_COMMON,
	{ 0 },
};

struct wanted {
	struct options common;
	json_t *settings; /* the request, but for its verb */
	bool all;
};

static bool take_time(struct wanted *wanted, const char *field, uint32_t ms)
{
	return json_object_set_new(wanted->settings, field, json_integer(ms)) == 0;
}

static bool take_option(struct wanted *wanted, int option)
{
	struct disk_limit limit = disk_config_limit("timeout_ms");
	uint32_t ms;

	switch (option) {
	case ALL:
		wanted->all = true;
		return true;
	case DEAD_TIMEOUT:
		return option_dead_timeout(&wanted->common, optarg, &ms) &&
		       take_time(wanted, "dead_timeout_ms", ms);
	default:
		return option_duration_ms(&wanted->common, "--timeout", optarg, &limit, &ms) &&
		       take_time(wanted, "timeout_ms", ms);
	}
}

static int set_one(const struct wanted *wanted, uint32_t number)
{
	json_t *request = json_deep_copy(wanted->settings), *answer = NULL;
	int exit_code = EXIT_CODE_OK, error;
	uint64_t tag;

	json_object_set_new(request, "verb", json_string(VERB));
	error = disk_tag(number, &tag);
	if (error)
		json_decref(request);
	else
		error = control_client_call(number, tag, request, TIMEOUT_MS, &answer);
	if (error)
		return control_client_explain(VERB, number, error);
	if (!json_is_true(json_object_get(answer, "ok")))
		exit_code = control_client_refused(VERB, answer);
	json_decref(answer);
	return exit_code;
}

/* One that fails does not spare the others; the first failure's exit code. */
static int set_all(const struct wanted *wanted)
{
	uint32_t *numbers = NULL;
	size_t count = 0;
	int error = disks_list(&numbers, &count), first = EXIT_CODE_OK;

	if (error) {
		output_error(VERB, "the disks of this machine cannot be listed: %s; try sudo",
			     strerror(-error));
		return EXIT_CODE_SYSTEM;
	}
	for (size_t i = 0; i < count; i++) {
		int exit_code = set_one(wanted, numbers[i]);

		if (first == EXIT_CODE_OK)
			first = exit_code;
	}
	free(numbers);
	return first;
}

static int run(const struct wanted *wanted, char **argv)
{
	enum exit_code exit_code;
	uint32_t number;

	if (wanted->all)
		return disks_may_look(VERB) ? set_all(wanted) : EXIT_CODE_SYSTEM;
	exit_code = device_find(VERB, argv[optind], &number);
	return exit_code == EXIT_CODE_OK ? set_one(wanted, number) : (int)exit_code;
}

static int parse(struct wanted *wanted, int argc, char **argv)
{
	int option;

	while ((option = options_next(&wanted->common, argc, argv)) >= 0)
		if (!take_option(wanted, option))
			return OPTION_EXIT;
	if (option == OPTION_EXIT)
		return OPTION_EXIT;
	if (!options_check_words(&wanted->common, argc, !wanted->all, !wanted->all, "DEVICE"))
		return OPTION_EXIT;
	if (json_object_size(wanted->settings) > 0)
		return OPTION_END;
	output_error(VERB, "nothing is to be set: --timeout or --dead-timeout is missing");
	return OPTION_EXIT;
}

int cmd_set(int argc, char **argv)
{
	struct wanted wanted = {
		.common = { .verb = VERB,
			    .help = help,
			    .longs = longs,
			    .exit_code = EXIT_CODE_USAGE },
		.settings = json_object(),
	};
	int exit_code;

	if (parse(&wanted, argc, argv) == OPTION_EXIT) {
		exit_code = wanted.common.exit_code;
	} else {
		exit_code = run(&wanted, argv);
		if (exit_code == EXIT_CODE_OK && wanted.common.json)
			exit_code = output_json(VERB, json_pack("{s:b}", "ok", 1));
	}
	json_decref(wanted.settings);
	return exit_code;
}
