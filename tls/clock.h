/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the clock that every deadline is kept by, and a pause. Here, because a transport's deadlines are
 * the lowest ones. Safe between fork and exec, and in a signal's handler.
 */
#ifndef TLS_CLOCK_H
#define TLS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC: setting the time of day does not move it. */
static inline int64_t clock_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* So much later, as calls with an absolute deadline on CLOCK_MONOTONIC have it. */
static inline struct timespec clock_deadline(uint32_t ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += (long)(ms % 1000) * 1000000;
	deadline.tv_sec += ms / 1000 + deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	return deadline;
}

/* A signal whose handler runs ends the pause early: whoever waits for something looks again then. */
static inline void clock_pause_ms(uint32_t ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000,
					.tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

#endif
