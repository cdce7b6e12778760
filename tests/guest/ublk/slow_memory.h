/* SPDX-License-Identifier: MIT */
/*
 * slow_memory.h - a page whose first touch, by anybody, waits until it is filled: who copies to or from
 * it stands still in the middle of the copy.
 */
#ifndef TESTS_GUEST_UBLK_SLOW_MEMORY_H
#define TESTS_GUEST_UBLK_SLOW_MEMORY_H

#define SLOW_MEMORY_BYTES 4096u

struct slow_memory {
	char *area;
	int fault_fd;
};

/* Ends the process with 77 where the kernel has no userfaultfd. */
struct slow_memory slow_memory_make(void);

/* Until somebody waits. */
void slow_memory_await(const struct slow_memory *memory);

/* With zeroes; whoever waits goes on. */
void slow_memory_fill(const struct slow_memory *memory);

#endif
