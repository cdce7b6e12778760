/* SPDX-License-Identifier: MIT */
/*
 * config_files.h - which configuration files there are, and in which order they count: as systemd does it.
 *
 *   ublk-nbd.conf      of the first directory that has one
 *   conf.d/NAME.conf   of all directories, in the order of their names; of two with one name the one in the earlier
 *                      directory counts alone
 */
#ifndef GATEWAY_CLI_CONFIG_FILES_H
#define GATEWAY_CLI_CONFIG_FILES_H

#include "gateway/cli/config.h"

#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_FILES_MAX      1000

/*
 * Reads all files of count directories (from), the one that counts most first, into *config, which it initializes. A
 * file that is not there is no fault; a link to /dev/null is an empty one. A fault of CONFIG_ALL is one that cannot be
 * read, is no file, is too large, or that somebody else may write to: it must be root's or the caller's, and so must
 * its directory. 0; -ENOMEM, and *config is cleared.
 */
int config_load_from(const char *const *from, size_t count, struct config *config);

/* The same for directory alone, which must be there, or (NULL) for /etc/ublk-nbd, /run/ublk-nbd and /usr/lib/ublk-nbd. */
int config_load(const char *directory, struct config *config);

#endif
