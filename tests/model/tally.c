/* SPDX-License-Identifier: MIT */
/* Each counter by its name. */
#include "tests/model/tally.h"

#include <stdio.h>

struct tally tally;

struct named {
	const char *name;
	const _Atomic uint64_t *count;
};

static const struct named counters[] = {
#define NAMED(name) { #name, &tally.name },
	TALLY_COUNTERS(NAMED)
#undef NAMED
};

#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

void tally_print(void)
{
	for (uint32_t i = 0; i < COUNTERS; i++)
		printf("%s%s %llu", i ? ", " : "", counters[i].name,
		       (unsigned long long)atomic_load(counters[i].count));
	printf("\n");
}

bool tally_is_complete(void)
{
	bool complete = true;

	for (uint32_t i = 0; i < COUNTERS; i++) {
		if (atomic_load(counters[i].count) > 0)
			continue;
		printf("not ok: %s never came to pass\n", counters[i].name);
		complete = false;
	}
	return complete;
}
