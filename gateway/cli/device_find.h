/* SPDX-License-Identifier: MIT */
/*
 * device_find.h - DEVICE as a command takes it: a number, a node, a link (device_name.h), or the NAME that
 * a disk was connected with.
 */
#ifndef GATEWAY_CLI_DEVICE_FIND_H
#define GATEWAY_CLI_DEVICE_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/exit_code.h"

/* EXIT_CODE_OK and the number; else it has complained: _USAGE it is no name of a device, _NO_DEVICE no disk
 * has this NAME, _SYSTEM the disks cannot be looked at (disks_may_look()). */
enum exit_code device_find(const char *verb, const char *text, uint32_t *number);
/* The same; a number counts, too, where the runtime directory does not answer (disks_directory_answers()). */
enum exit_code device_find_anyway(const char *verb, const char *text, uint32_t *number);

/* The disk that has this name, or one that collides with it (disk_name_collides()). 0; -ENOENT: none; else
 * -errno: the disks cannot be listed. */
int device_find_named(const char *name, bool collides, uint32_t *number);

#endif
