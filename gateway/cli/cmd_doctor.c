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
	"  -t, --timeout TIME          for each of the reads that it tries (30s)\n"
	"      --tls, --tls-..., --ktls  TLS: see ublk-nbd-connect(1)\n"
	"  -o, --output FORMAT         text or json\n"
	"  -v, --verbose               (everything is said anyway)\n"
	"  -h, --help                  this\n"
	"\n"
	"Example: ublk-nbd doctor nbd://server/disk\n"
	"See ublk-nbd-doctor(1).\n";

static int doctor_run(struct look *look, const struct options *options)
{
	struct checks checks;
	int exit_code;

	checks_init(&checks, options->json);
	doctor_machine(&checks);
	if (look->given)
		doctor_server(&checks, look);
	exit_code = checks_finish(&checks, look->verb);
	checks_clear(&checks);
	return exit_code;
}

int cmd_doctor(int argc, char **argv)
{
	return look_command(help, LOOK_TARGET_OPTIONAL, doctor_run, argc, argv);
}
