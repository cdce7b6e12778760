/* SPDX-License-Identifier: MIT */
/*
 * map.h - the verb map, all of it. It needs libnbd, so it is a program of its own (main.c here), which
 * ublk-nbd becomes (gateway/cli/cmd_map.c).
 */
#ifndef GATEWAY_MAP_MAP_H
#define GATEWAY_MAP_MAP_H

/* As the verbs of gateway/cli/commands.h: argv[0] is "map". Returns an enum exit_code. */
int map_command(int argc, char **argv);

#endif
