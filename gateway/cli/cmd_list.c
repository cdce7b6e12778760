/* SPDX-License-Identifier: MIT */
/* cmd_list.c - the verb "list": a line for each device of this machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/disk_state.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"
#include "gateway/cli/owner.h"

#define VERB "list"

static const char help[] =
	"Usage: ublk-nbd list [OPTION...]\n"
	"Shows the disks of this machine that ublk-nbd made.\n"
	"\n"
	"      --owner NAME        only those connected with this --owner\n"
	"  -o, --output json|text  json: an array, one object for each disk\n"
	"  -v, --verbose           tell each step\n"
	"  -h, --help              this text; ublk-nbd-list(1) has more\n"
	"\n"
	"STATE is live; starting; stopping; degraded: some connections to its server are\n"
	"lost; waiting: all are, and I/O waits; failing: I/O fails until the server is\n"
	"back; refused: a server answers, but not with this disk; silent: its daemon\n"
	"does not answer; dead: its daemon is gone; unseen: its daemon is in a container,\n"
	"or has another runtime directory.\n"
	"'ublk-nbd disconnect' removes a disk in each of these, if it can be flushed.\n";

enum { OWNER = OPTION_OWN };

static const struct option longs[] = {
	{ "owner", required_argument, NULL, OWNER },
	OPTIONS_COMMON,
	{ 0 },
};

static const char *string_of(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* "waiting 12s": how long it has been like that says whether to worry. */
static const char *state_text(const json_t *disk, char *out, size_t out_bytes)
{
	const json_t *since = json_object_get(disk, "state_since_ms");
	char state[32];

	output_text(state, sizeof(state), disk_state_word(disk));
	if (json_is_integer(since))
		snprintf(out, out_bytes, "%s %llds", state,
			 (long long)json_integer_value(since) / 1000);
	else
		snprintf(out, out_bytes, "%s", state);
	return out;
}

static void print_row(const json_t *disk)
{
	json_int_t size_bytes = json_integer_value(json_object_get(disk, "size_bytes"));
	const char *owner = string_of(disk, "owner"), *name = string_of(disk, "name");
	char size[32], target[600], state[64], clean_owner[80], clean_name[80];

	printf("%-13s %-12s %-11s %-13s %-3s %-12s %s\n", string_of(disk, "device"),
	       name[0] ? output_text(clean_name, sizeof(clean_name), name) : "-",
	       size_bytes > 0 ? output_size(size, sizeof(size), (uint64_t)size_bytes) : "-",
	       state_text(disk, state, sizeof(state)),
	       json_is_true(json_object_get(disk, "read_only")) ? "ro" : "rw",
	       owner[0] ? output_text(clean_owner, sizeof(clean_owner), owner) : "-",
	       output_text(target, sizeof(target), string_of(disk, "target")));
}

static int print_table(const json_t *disks)
{
	const json_t *disk;
	size_t i;

	if (json_array_size(disks))
		printf("%-13s %-12s %-11s %-13s %-3s %-12s %s\n", "DEVICE", "NAME", "SIZE", "STATE",
		       "", "OWNER", "TARGET");
	json_array_foreach(disks, i, disk) print_row(disk);
	return output_finish(VERB);
}

static json_t *collect(const uint32_t *numbers, size_t count, const char *owner)
{
	json_t *disks = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *disk = disk_state_brief(numbers[i]);

		if (owner[0] && strcmp(string_of(disk, "owner"), owner))
			json_decref(disk);
		else if (disk)
			json_array_append_new(disks, disk);
	}
	return disks;
}

int cmd_list(int argc, char **argv)
{
	struct options options = { .verb = VERB, .help = help, .longs = longs };
	char owner[DISK_OWNER_BYTES_MAX + 1] = "";
	uint32_t *numbers;
	size_t count;
	json_t *disks;
	int option, exit_code, error;

	while ((option = options_next(&options, argc, argv)) >= 0) {
		if (!owner_take(&options, optarg, owner))
			return EXIT_CODE_USAGE;
	}
	if (option == OPTION_EXIT)
		return options.exit_code;
	if (!options_check_words(&options, argc, 0, 0, ""))
		return EXIT_CODE_USAGE;
	if (!disks_may_look(VERB))
		return EXIT_CODE_SYSTEM;
	error = disks_list(&numbers, &count);
	if (error) {
		output_error(VERB, "the disks of this machine cannot be listed: %s%s",
			     strerror(-error), error == -EACCES ? ": only root may, try sudo" : "");
		return EXIT_CODE_SYSTEM;
	}
	disks = collect(numbers, count, owner);
	free(numbers);
	if (options.json || !disks)
		return output_json(VERB, disks);
	exit_code = print_table(disks);
	json_decref(disks);
	return exit_code;
}
