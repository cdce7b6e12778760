/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd doctor: would a connect work? This machine first, then, when one is named, the server.
 */
#include "gateway/cli/commands.h"
#include "gateway/cli/doctor.h"

static const char help[] =
	"Usage: ublk-nbd doctor [OPTION...] [TARGET]\n"
	"       ublk-nbd doctor [OPTION...] [ COMMAND WORD... ]\n"
	"What works on this machine, and with a server; what does not, what to do.\n"
	"Exits 0 only when a connect would work.\n"
	"\n"
	"      --export NAME           the export, instead of the one in TARGET\n"
	"      --connect-timeout TIME  for name, dial and handshake (30s)\n"
	"      --tls, --tls-..., --ktls  TLS: see ublk-nbd-connect(1)\n"
	"  -o, --output FORMAT         text or json\n"
	"  -v, --verbose               (everything is said anyway)\n"
	"  -h, --help                  this\n"
	"\n"
	"Example: ublk-nbd doctor nbd://server/disk\n"
	"See ublk-nbd-doctor(1).\n";

static int doctor_run(struct look *look, const struct options *options, bool with_server)
{
	struct checks checks;
	int exit_code;

	checks_init(&checks, options->json);
	doctor_machine(&checks);
	if (with_server)
		doctor_server(&checks, look);
	exit_code = checks_finish(&checks, look->verb);
	checks_clear(&checks);
	return exit_code;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option longs[] = { TARGET_OPTIONS, OPTIONS_COMMON, { 0 } };
	struct options options = { .verb = argv[0], .help = help, .longs = longs };
	struct target_options wanted;
	struct look look;
	int option, exit_code = look_take_command(&look, &options, &argc, argv);
	bool with_server;

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	target_options_init(&wanted);
	while ((option = options_next(&options, argc, argv)) >= 0)
		if (!target_option_take(&options, &wanted, option))
			return EXIT_CODE_USAGE;
	if (option == OPTION_EXIT)
		return options.exit_code;
	with_server = look_is_given(&look, argc);
	if (with_server)
		exit_code = look_open(&look, &options, &wanted, argc, argv);
	if (exit_code == EXIT_CODE_OK)
		exit_code = doctor_run(&look, &options, with_server);
	look_close(&look);
	return exit_code;
}
