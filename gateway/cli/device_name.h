/* SPDX-License-Identifier: MIT */
/*
 * device_name.h - DEVICE as people write it.
 */
#ifndef GATEWAY_CLI_DEVICE_NAME_H
#define GATEWAY_CLI_DEVICE_NAME_H

#include <stddef.h>
#include <stdint.h>

#define DEVICE_NUMBER_MAX 65535

/*
 * Reads N, ublkbN, ublkcN, either below /dev, or a link to such a node (/dev/disk/by-ublk-nbd/...).
 * The node need not exist. Returns 0; -EINVAL with a sentence in error that says what is allowed
 * (a partition gets one of its own).
 */
int device_name_parse(const char *text, uint32_t *number, char *error, size_t error_bytes);

#endif
