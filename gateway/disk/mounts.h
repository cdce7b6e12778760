/* SPDX-License-Identifier: MIT */
/*
 * mounts.h - a mount namespace for the daemon alone, in which it keeps no filesystem alive that it
 * does not need.
 */
#ifndef GATEWAY_DISK_MOUNTS_H
#define GATEWAY_DISK_MOUNTS_H

#define MOUNTS_PATHS_MAX 16

/*
 * Leaves the mount namespace of whoever started us for one of our own. It has the mounts that the
 * system's folders (/dev, /proc, /sys, /etc, /run, /usr) and the given paths lie on, and where their
 * links lead, and no other; what is mounted later does not come in. paths: absolute or "" (passed over),
 * MOUNTS_PATHS_MAX at most, NULL-terminated; not kept.
 * Before any thread. What is not permitted is logged and left out: then we stay where we are.
 */
void mounts_leave(const char *const *paths);

#endif
