/* SPDX-License-Identifier: MIT */
/*
 * holders_aside.h - who has a disk in use, for a command that must end: looking into other processes' files can hang
 * on a file system that has nothing to do with the disk (a network file system whose server is gone, FUSE).
 */
#ifndef GATEWAY_CLI_HOLDERS_ASIDE_H
#define GATEWAY_CLI_HOLDERS_ASIDE_H

#include "gateway/common/holders.h"

/* As long as that may take: it is a matter of milliseconds, or of for ever. */
#define HOLDERS_ASIDE_MS 5000

/* As holders_find(), in a child process. Where it does not come back the disk counts as in use, lastingly, and not
 * all processes as seen: text says why. */
void holders_find_aside(uint32_t number, struct holders *holders);

#endif
