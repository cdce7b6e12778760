/* SPDX-License-Identifier: MIT */
#include "gateway/cli/option_time.h"

#include <string.h>

#define MOST_MS (30u * 24 * 3600 * 1000)

/* An option, and the words that it takes beside a time; NULL at their end. */
struct time_option {
	const char *name;
	struct {
		const char *word;
		uint32_t ms;
	} words[3];
};

static bool take(const struct options *options, const struct time_option *option, const char *text,
		 uint32_t *ms)
{
	const struct disk_limit limit = { .field = "", .minimum = 0, .maximum = MOST_MS };

	for (size_t i = 0; option->words[i].word; i++) {
		if (strcmp(text, option->words[i].word) != 0)
			continue;
		*ms = option->words[i].ms;
		return true;
	}
	return option_duration_ms(options, option->name, text, &limit, ms);
}

bool option_dead_timeout(const struct options *options, const char *text, uint32_t *ms)
{
	static const struct time_option option = { "--dead-timeout", { { "never", DISK_NEVER } } };

	return take(options, &option, text, ms);
}

bool option_quiet_time(const struct options *options, const char *text, uint32_t *ms)
{
	static const struct time_option option = {
		"--quiet-time", { { "auto", DISK_QUIET_AUTO }, { "never", DISK_NEVER } }
	};

	return take(options, &option, text, ms);
}

bool option_retry_for(const struct options *options, const char *text, uint32_t *ms)
{
	static const struct time_option option = { .name = "--retry-for" };

	return take(options, &option, text, ms);
}
