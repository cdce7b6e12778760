/* SPDX-License-Identifier: MIT */
/*
 * sanitizer_leak.c - goal: show that a leak in a disk's daemon would be reported although the daemon
 * gives up its rights. method: give up the same ones, then lose some memory, and end as it does. Built
 * without -fsanitize=address there is nobody to tell, and the exit status is 0.
 */
#include <stdlib.h>

#include "gateway/disk/process.h"

static void *volatile kept;

int main(void)
{
	static struct disk_config config;

	process_prepare(&config);
	process_lock(true);
	process_confine(NULL);
	kept = malloc(1000);
	kept = NULL;
	return 0;
}
