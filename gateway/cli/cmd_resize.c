/* SPDX-License-Identifier: MIT */
/* cmd_resize.c - the verb "resize": the daemon asks its server for the size again. */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/control_client.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"

#define VERB	       "resize"

#define TIMEOUT_MS     60000
#define TIMEOUT_MS_MIN 1000
#define TIMEOUT_MS_MAX (3600u * 1000)

static const char help[] =
	"Usage: ublk-nbd resize [OPTION...] DEVICE\n"
	"Asks the server for the export's size again and gives it to the device. A device\n"
	"never shrinks. Its file system is grown afterwards, with its own tool.\n"
	"\n"
	"  -t, --timeout TIME      how long it may take (60s)\n"
	"  -o, --output json|text  json: {\"old_size_bytes\": A, \"size_bytes\": B}\n"
	"  -v, --verbose           tell each step\n"
	"  -h, --help              this text; ublk-nbd-resize(1) has more\n"
	"\n"
	"DEVICE is 0, ublkb0, /dev/ublkb0 or a NAME. Needs Linux 6.16 or newer.\n";

static const struct option longs[] = {
	{ "timeout", required_argument, NULL, 't' },
	OPTIONS_COMMON,
	{ 0 },
};

static int print_sizes(uint32_t number, json_int_t before, json_int_t now, bool json)
{
	char old_size[32], new_size[32];

	if (json)
		return output_json(
			VERB, json_pack("{s:I, s:I}", "old_size_bytes", before, "size_bytes", now));
	output_size(new_size, sizeof(new_size), (uint64_t)now);
	if (before == now)
		printf("/dev/ublkb%u: still %s\n", number, new_size);
	else
		printf("/dev/ublkb%u: %s, was %s\n", number, new_size,
		       output_size(old_size, sizeof(old_size), (uint64_t)before));
	return output_finish(VERB);
}

static int resize(const struct options *options, uint32_t number, uint32_t timeout_ms)
{
	json_t *answer = NULL;
	json_int_t before, now;
	uint64_t tag;
	int exit_code, error = disk_tag(number, &tag);

	if (!error)
		error = control_client_call(number, tag, json_pack("{s:s}", "verb", "resize"),
					    timeout_ms, &answer);
	if (error)
		return control_client_explain(VERB, number, error);
	before = json_integer_value(json_object_get(answer, "old_size_bytes"));
	now = json_integer_value(json_object_get(answer, "size_bytes"));
	if (json_is_true(json_object_get(answer, "ok")))
		exit_code = print_sizes(number, before, now, options->json);
	else
		exit_code = control_client_refused(VERB, answer);
	json_decref(answer);
	return exit_code;
}

int cmd_resize(int argc, char **argv)
{
	struct disk_limit limit = { .minimum = TIMEOUT_MS_MIN, .maximum = TIMEOUT_MS_MAX };
	struct options options = { .verb = VERB, .help = help, .longs = longs };
	uint32_t number, timeout_ms = TIMEOUT_MS;
	enum exit_code exit_code;
	int option;

	while ((option = options_next(&options, argc, argv)) >= 0) {
		if (!option_duration_ms(&options, "--timeout", optarg, &limit, &timeout_ms))
			return EXIT_CODE_USAGE;
	}
	if (option == OPTION_EXIT)
		return options.exit_code;
	if (!options_check_words(&options, argc, 1, 1, "DEVICE"))
		return EXIT_CODE_USAGE;
	exit_code = device_find(VERB, argv[optind], &number);
	return exit_code == EXIT_CODE_OK ? resize(&options, number, timeout_ms) : (int)exit_code;
}
