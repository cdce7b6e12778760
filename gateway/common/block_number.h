/* SPDX-License-Identifier: MIT */
/*
 * block_number.h - a device's number, "major:minor", as the kernel's text files have it.
 */
#ifndef GATEWAY_COMMON_BLOCK_NUMBER_H
#define GATEWAY_COMMON_BLOCK_NUMBER_H

#include <stdbool.h>
#include <sys/types.h>

/* All of text; base: 10, or 16 as in /proc/PID/maps. */
bool block_number_parse(const char *text, int base, dev_t *dev);

/* From the file "dev" of a device's directory of sysfs. false: there is none (any more). */
bool block_number_read(const char *directory, dev_t *dev);

#endif
