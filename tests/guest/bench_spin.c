/* SPDX-License-Identifier: MIT */
/*
 * bench_spin.c - a loop of exactly two instructions, N times: what tests/bench/guest.sh checks its
 * way of counting with.
 *
 *   bench_spin N
 */
#include <stdint.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	uint64_t turns = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

	if (turns == 0)
		return 2;
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns)::"cc");
	return 0;
}
