/* SPDX-License-Identifier: MIT */
/*
 * program.h - where the programs are that ublk-nbd starts: those of libexec.
 */
#ifndef GATEWAY_CLI_PROGRAM_H
#define GATEWAY_CLI_PROGRAM_H

#include <stddef.h>

/*
 * The path of the program of this name: beside our own program when that lies in a build tree
 * (../libexec/NAME) or was installed (../libexec/ublk-nbd/NAME), else where this was built to be installed;
 * never from PATH. So a tree can be moved, and installed under another PREFIX than it was built for.
 * 0; -errno: it cannot be run, and path is the last place that was looked at.
 */
int program_find(const char *name, char *path, size_t path_bytes);

#endif
