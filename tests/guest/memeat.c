/* SPDX-License-Identifier: MIT */
/*
 * memeat.c - goal: memory pressure that ends, and tells whether swap keeps what it is given.
 * method: MIB of anonymous memory, more than there is, in which each 8 bytes hold a value of their own
 * place and pass; each pass checks what the last one wrote, and writes anew.
 *
 *   memeat MIB [PASSES (1)]
 *
 * Prints a line for each 64 MiB, so that a machine that stops shows where. Exits 0 when every value was
 * right, 1 when one was not.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define STEP_WORDS ((64u << 20) / sizeof(uint64_t))

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t value_at(uint64_t place, uint64_t pass)
{
	return (place + 1) * 0x9e3779b97f4a7c15ull ^ pass;
}

/* How many words are not what the pass before has written; all are written anew. */
static uint64_t pass_over(uint64_t *words, uint64_t count, uint64_t pass)
{
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < count; i++) {
		if (pass > 0 && words[i] != value_at(i, pass - 1))
			wrong++;
		words[i] = value_at(i, pass);
		if (i % STEP_WORDS == STEP_WORDS - 1) {
			printf("%.1f pass %llu: %llu MiB\n", now_s(), (unsigned long long)pass,
			       (unsigned long long)((i + 1) * sizeof(*words) >> 20));
			fflush(stdout);
		}
	}
	return wrong;
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc > 1 ? strtoull(argv[1], NULL, 10) << 20 : 0;
	uint64_t passes = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, wrong = 0;
	uint64_t *words;

	if (!bytes || !passes) {
		fprintf(stderr, "usage: memeat MIB [PASSES]\n");
		return 2;
	}
	words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED) {
		perror("memeat: mmap");
		return 1;
	}
	for (uint64_t pass = 0; pass < passes; pass++)
		wrong += pass_over(words, bytes / sizeof(*words), pass);
	printf("%llu wrong\n", (unsigned long long)wrong);
	return wrong ? 1 : 0;
}
