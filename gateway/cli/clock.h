/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the clock that deadlines of the command line are kept by.
 */
#ifndef GATEWAY_CLI_CLOCK_H
#define GATEWAY_CLI_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC. */
static inline int64_t clock_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
