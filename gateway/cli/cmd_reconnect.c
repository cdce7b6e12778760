/* SPDX-License-Identifier: MIT */
/* cmd_reconnect.c - the verb "reconnect": the daemon dials a lost server now, and is told what a loss means. */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/control_client.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"

#define VERB	   "reconnect"
#define TIMEOUT_MS 10000

static const char help[] =
	"Usage: ublk-nbd reconnect [OPTION...] DEVICE\n"
	"Has the daemon dial its lost server now, without the pause between two attempts.\n"
	"\n"
	"      --accept-loss       FLUSH works again, though writes that the server had\n"
	"                          acknowledged may be lost\n"
	"  -o, --output json|text  json: {\"ok\": true}\n"
	"  -v, --verbose           tell each step\n"
	"  -h, --help              this text; ublk-nbd-reconnect(1) has more\n"
	"\n"
	"DEVICE is 0, ublkb0, /dev/ublkb0 or a NAME. 'ublk-nbd status' shows the outcome.\n";

enum { ACCEPT_LOSS = OPTION_OWN };

static const struct option longs[] = {
	{ "accept-loss", no_argument, NULL, ACCEPT_LOSS },
	OPTIONS_COMMON,
	{ 0 },
};

static int reconnect(const struct options *options, uint32_t number, bool accept_loss)
{
	json_t *answer = NULL;
	uint64_t tag;
	int exit_code = EXIT_CODE_OK, error = disk_tag(number, &tag);

	if (!error)
		error = control_client_call(
			number, tag,
			json_pack("{s:s, s:b}", "verb", VERB, "accept_loss", (int)accept_loss),
			TIMEOUT_MS, &answer);
	if (error)
		return control_client_explain(VERB, number, error);
	if (!json_is_true(json_object_get(answer, "ok")))
		exit_code = control_client_refused(VERB, answer);
	else if (options->json)
		exit_code = output_json(VERB, json_pack("{s:b}", "ok", 1));
	json_decref(answer);
	return exit_code;
}

int cmd_reconnect(int argc, char **argv)
{
	struct options options = { .verb = VERB, .help = help, .longs = longs };
	enum exit_code exit_code;
	bool accept_loss = false;
	uint32_t number;
	int option;

	while ((option = options_next(&options, argc, argv)) >= 0)
		accept_loss |= option == ACCEPT_LOSS;
	if (option == OPTION_EXIT)
		return options.exit_code;
	if (!options_check_words(&options, argc, 1, 1, "DEVICE"))
		return EXIT_CODE_USAGE;
	exit_code = device_find(VERB, argv[optind], &number);
	return exit_code == EXIT_CODE_OK ? reconnect(&options, number, accept_loss)
					 : (int)exit_code;
}
