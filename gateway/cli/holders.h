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

#endif
