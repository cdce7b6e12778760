/* SPDX-License-Identifier: MIT */
/*
 * holders.h - who has a disk in use: for a person who wants to end that, and for a kernel whose driver
 * cannot tell (no SAFE_STOP_DEV).
 *
 * The disk and its partitions are known by their device numbers, so that a node of another name, in a
 * container's own /dev perhaps, counts as well. What is found: mounts in the mount namespaces of all
 * visible processes, swap, other block devices and the kernel's own servers on top, and processes that
 * have it open or mapped. What no file of /proc tells is not: a file that is registered with an io_uring
 * or on its way through a socket, and closed otherwise.
 */
#ifndef GATEWAY_COMMON_HOLDERS_H
#define GATEWAY_COMMON_HOLDERS_H

#include <stdbool.h>
#include <stdint.h>

#define HOLDERS_TEXT_BYTES 1500

struct holders {
	char text
		[HOLDERS_TEXT_BYTES]; /* "mounted on /mnt; swap space on /dev/ublkb0"; "": none found */
	bool lasting; /* a mount, swap or a block device: what a process has open may be closed in a
			  * moment (udev looks into a disk that was just unmounted) */
	bool ours;    /* a daemon or command of ours has it open: another disconnect, on its way */
	bool others; /* processes that are not in our pid namespace may use it, and cannot be seen */
	uint32_t closed; /* processes that we were not permitted to look into */
};

/* Finds the users of /dev/ublkbN. Processes are looked at only where there is no lasting use. Any thread. */
void holders_find(uint32_t number, struct holders *holders);

#endif
