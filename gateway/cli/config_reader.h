/* SPDX-License-Identifier: MIT */
/*
 * config_reader.h - the text of one configuration file, into a struct config. libinih reads it line by line, behind a
 * guard: what the library would take for something else without a word is refused with file and line, and the
 * rest reaches it in one plain form. (Debian's cuts lines at 199 bytes and sections at 49, joins an indented line to
 * the one above, and ends a value at " ;".)
 */
#ifndef GATEWAY_CLI_CONFIG_READER_H
#define GATEWAY_CLI_CONFIG_READER_H

#include <stddef.h>

#include "gateway/cli/config.h"

#define CONFIG_LINE_BYTES_MAX 190

/*
 * Reads count bytes, the text of file (a string of config_file_add()). Faults are added to config: a line's to the
 * section that it stands in. A section of an earlier file goes on here; one that stands twice in this file is a fault,
 * and so is a key that stands twice in a section of it.
 */
void config_reader_read(struct config *config, const char *file, const char *bytes, size_t count);

#endif
