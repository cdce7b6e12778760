/* SPDX-License-Identifier: MIT */
/*
 * main.c - ublk-nbd-map, what `ublk-nbd map` becomes; not meant to be called by people.
 *
 *   ublk-nbd-map [OPTION...] TARGET
 */
#include "gateway/cli/verb.h"
#include "gateway/common/exit_code.h"
#include "gateway/map/map.h"

int main(int argc, char **argv)
{
	static char verb[] = "map";

	if (verb_prepare() || argc < 1)
		return EXIT_CODE_FAILURE;
	argv[0] = verb;
	return verb_run(map_command, argc, argv);
}
