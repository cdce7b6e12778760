/* SPDX-License-Identifier: MIT */
/*
 * config_difference.h - in what a disk that is there is another than the one that is configured.
 */
#ifndef GATEWAY_CLI_CONFIG_DIFFERENCE_H
#define GATEWAY_CLI_CONFIG_DIFFERENCE_H

#include <jansson.h>

#include "gateway/cli/disks.h"
#include "gateway/common/disk_config.h"

/* A new array of the keys (ublk-nbd.conf(5)) that differ, empty where it is the same disk; NULL: no memory. What no
 * disk has for good does not count: verbose, foreground; nor do a number and an owner that are not asked for. */
json_t *config_difference(const struct disk_config *wanted, const struct disk_record *there);

#endif
