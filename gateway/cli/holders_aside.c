/* SPDX-License-Identifier: MIT */
#include "gateway/cli/holders_aside.h"

#include <stdio.h>
#include <sys/mman.h>

#include "gateway/cli/aside.h"
#include "tls/clock.h"

struct search {
	uint32_t number;
	struct holders *holders; /* shared */
};

static void search_run(const void *argument)
{
	const struct search *search = argument;

	holders_find(search->number, search->holders);
}

static void note_unknown(struct holders *holders)
{
	*holders = (struct holders){ .lasting = true, .closed = 1 };
	snprintf(holders->text, sizeof(holders->text),
		 "perhaps: who uses it cannot be told, since a file system that some process uses "
		 "does not answer");
}

void holders_find_aside(uint32_t number, struct holders *holders)
{
	struct holders *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct search search = { number, shared };

	if (shared == MAP_FAILED) {
		note_unknown(holders);
		return;
	}
	if (aside_run(search_run, &search, clock_now_ms() + HOLDERS_ASIDE_MS) == 0)
		*holders = *shared;
	else
		note_unknown(holders);
	munmap(shared, sizeof(*shared));
}
