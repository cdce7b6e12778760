/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd: the command line. Finds the verb; the rest is in cmd_VERB.c.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/output.h"
#include "gateway/cli/verb.h"
#include "gateway/common/exit_code.h"

struct verb {
	const char *name;
	const char *words;   /* what follows it */
	const char *summary; /* one line of --help */
	int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{ "connect", "TARGET", "make a block device of an NBD export, print its path",
	  cmd_connect },
	{ "disconnect", "DEVICE", "flush and remove a device (--all: every one)", cmd_disconnect },
	{ "list", "", "the devices of this machine", cmd_list },
	{ "status", "DEVICE", "all about one device", cmd_status },
	{ "set", "DEVICE", "other times for a device in use", cmd_set },
	{ "reconnect", "DEVICE", "dial a lost server now", cmd_reconnect },
	{ "resize", "DEVICE", "take over the export's new size", cmd_resize },
	{ "config", "ACTION", "check, show or apply the configured disks", cmd_config },
	{ "exports", "TARGET", "what a server exports", cmd_exports },
	{ "map", "TARGET", "which parts of an export hold data", cmd_map },
	{ "info", "TARGET", "what connect would get from a server", cmd_info },
	{ "doctor", "[TARGET]", "what works here and there, what not, what to do", cmd_doctor },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(void)
{
	puts("Usage: ublk-nbd VERB [OPTION...] [TARGET | DEVICE]\n"
	     "NBD exports as block devices, through ublk.\n");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-10s %-9s %s\n", verbs[i].name, verbs[i].words, verbs[i].summary);
	puts("\n"
	     "TARGET  nbd://host[:port]/export, nbd+unix:///export?socket=PATH,\n"
	     "        nbd+vsock://cid/export, host[:port][/export], or a server\n"
	     "        to start: [ nbdkit memory 1G ]\n"
	     "DEVICE  0, ublkb0, /dev/ublkb0, or the NAME that --name gave it\n"
	     "\n"
	     "ublk-nbd VERB --help has a verb's options; all verbs know -o json, --verbose.\n"
	     "Example: ublk-nbd connect nbd://server/disk");
}

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct verb *verb = verb_find(name);

	if (verb_prepare())
		return EXIT_CODE_FAILURE;
	if (verb)
		return verb_run(verb->run, argc - 1, argv + 1);
	if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
		print_help();
		return output_finish(NULL);
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("ublk-nbd " VERSION);
		return output_finish(NULL);
	}
	if (name[0])
		output_error(NULL, "'%s' is not a verb; see 'ublk-nbd --help'", name);
	else
		output_error(NULL, "what is to be done? See 'ublk-nbd --help'");
	return EXIT_CODE_USAGE;
}
