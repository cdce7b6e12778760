/* SPDX-License-Identifier: MIT */
/*
 * ublk_hazards.c - goal: each way in which a ublk driver is known to go wrong has a test, by name.
 * method: the cases of tests/guest/ublk/cases_*.c, each a daemon driven by hand (ublk/probe.h).
 *
 *   ublk_hazards --list     names, one a line
 *   ublk_hazards NAME       runs one; what it has to say goes to standard output
 *
 * Exit status: 0; 77 the driver does not list the feature (it says which); 1 with a sentence on
 * standard error; 2 called wrongly. kernel/README.md has the hazards, with their cases.
 */
#include <stdio.h>
#include <string.h>

#include "tests/guest/ublk/probe.h"

static const struct probe_case *const tables[] = {
	cases_commands,	    cases_operations, cases_answers, cases_copies,  cases_control,
	cases_unprivileged, cases_death,      cases_per_io,  cases_batches, cases_races
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

int main(int argc, char **argv)
{
	setbuf(stdout, NULL);
	if (argc != 2) {
		fputs("ublk_hazards: which case?\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < TABLES; i++) {
		for (const struct probe_case *row = tables[i]; row->name; row++) {
			if (!strcmp(argv[1], "--list")) {
				puts(row->name);
			} else if (!strcmp(argv[1], row->name)) {
				row->run();
				return 0;
			}
		}
	}
	if (!strcmp(argv[1], "--list"))
		return 0;
	fprintf(stderr, "ublk_hazards: there is no case %s\n", argv[1]);
	return 2;
}
