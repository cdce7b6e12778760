/* SPDX-License-Identifier: MIT */
/*
 * program.h - where the parts of ublk-nbd are that are not its command: those of libexec.
 */
#ifndef GATEWAY_COMMON_PROGRAM_H
#define GATEWAY_COMMON_PROGRAM_H

#include <stddef.h>

/*
 * The path of the part of this name. From where our own program lies, that is ../libexec/NAME in a build tree,
 * ../libexec/ublk-nbd/NAME from an installed bin, ../ublk-nbd/NAME from an installed libexec/ublk-nbd; else where
 * this was built to be installed. Never from PATH. So a tree can be moved, and installed under another PREFIX than
 * it was built for. 0; -errno: it cannot be run, and path is the last place that was looked at.
 */
int program_find(const char *name, char *path, size_t path_bytes);

#endif
