/* SPDX-License-Identifier: MIT */
/*
 * memory_room.h - how much memory this process can still take: what the machine has available, or less,
 * where a control group limits it, its own or any above it (cgroup v2: memory.max, memory.high; v1:
 * memory.limit_in_bytes). Groups are looked for where they are mounted, as this process sees them: in a
 * container its own group is often the top.
 */
#ifndef GATEWAY_DISK_MEMORY_ROOM_H
#define GATEWAY_DISK_MEMORY_ROOM_H

#include <stdint.h>

struct memory_room {
	uint64_t bytes;	      /* that can be had; UINT64_MAX: nothing tells */
	uint64_t limit_bytes; /* of the group's limit that allows the least; 0: the machine does */
	char limit_path[512]; /* its file; "" likewise */
};

/* root: "", or a folder that stands for / (tests). What cannot be read limits nothing. */
void memory_room_look(const char *root, struct memory_room *room);

#endif
