/* SPDX-License-Identifier: MIT */
/*
 * holders.h - who has a disk in use, for a person who wants to end that.
 */
#ifndef GATEWAY_CLI_HOLDERS_H
#define GATEWAY_CLI_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Describes the users of /dev/ublkbN and its partitions that can be found: mounts (of our mount
 * namespace), swap, other block devices on top, and where there is none of these, processes that
 * have it open. Writes "mounted on /mnt; swap space", false and "" when none was found.
 */
bool holders_describe(uint32_t number, char *out, size_t out_bytes);

/* Whether a mount, swap or another block device holds it: what a process has open may be closed in a
 * moment (udev looks into a disk that was just unmounted). */
bool holders_are_lasting(uint32_t number);

#endif
