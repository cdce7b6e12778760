/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the verbs of ublk-nbd, one file (cmd_VERB.c) each. main.c has the table.
 *
 * Each is called with argv[0] = the verb, parses its own options (options.h), prints its result to
 * stdout and its complaints to stderr (output.h), and returns an enum exit_code.
 */
#ifndef GATEWAY_CLI_COMMANDS_H
#define GATEWAY_CLI_COMMANDS_H

int cmd_connect(int argc, char **argv);
int cmd_disconnect(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reconnect(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_exports(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif
