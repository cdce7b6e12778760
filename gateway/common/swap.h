/* SPDX-License-Identifier: MIT */
/*
 * swap.h - whether the kernel swaps to a disk of ours. Then memory can be needed to get memory: what this
 * program cannot rule out (ublk-nbd(1), SWAP).
 */
#ifndef GATEWAY_COMMON_SWAP_H
#define GATEWAY_COMMON_SWAP_H

#include <stdbool.h>

#define SWAPS_PATH "/proc/swaps" /* poll(2): POLLPRI when a line came or went */

/* Whether a line of /proc/swaps is the block device name ("ublkb0"), a partition of it, or a device that
 * is made of these (device mapper, RAID). A swap file on a filesystem of the disk is not seen. root: "",
 * or a folder that stands for / (tests). */
bool swap_is_on(const char *root, const char *name);

#endif
