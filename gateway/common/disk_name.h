/* SPDX-License-Identifier: MIT */
/*
 * disk_name.h - the name that a user gives a disk (connect --name). It stands where a device is named, and
 * is the disk's link, so it is a plain word that no device node has.
 */
#ifndef GATEWAY_COMMON_DISK_NAME_H
#define GATEWAY_COMMON_DISK_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define DISK_NAME_BYTES_MAX 40
/* For a sentence: "'1a' is not a valid disk name: ...". */
#define DISK_NAME_RULE                                                                             \
	"1 to 40 letters, digits and _ . -, beginning with a letter, and not with ublkb or ublkc"

/* Whether text is 1 to DISK_NAME_BYTES_MAX letters, digits and _ . -, begins with a letter and not with ublkb
 * or ublkc. */
bool disk_name_is_valid(const char *text);

/* Whether two disks cannot have these names: they are the same, or one is the link of the other's
 * partition, "data" and "data-part1". */
bool disk_name_collides(const char *one, const char *other);

/* How much of name is left without the ends that a partition's link has: names that collide have the same. */
size_t disk_name_stem_bytes(const char *name);

#endif
