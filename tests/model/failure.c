/* SPDX-License-Identifier: MIT */
/* The last lines of the log are kept in a ring, and printed with a failure alone. */
#include "tests/model/failure.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/common/log.h"

#define LINES	   60u
#define LINE_BYTES 240

static struct {
	pthread_mutex_t lock;
	uint64_t seed;
	uint32_t next;
	char lines[LINES][LINE_BYTES];
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

void failure_begin_run(uint64_t seed)
{
	pthread_mutex_lock(&state.lock);
	state.seed = seed;
	state.next = 0;
	pthread_mutex_unlock(&state.lock);
}

static void keep(const char *format, va_list arguments)
{
	pthread_mutex_lock(&state.lock);
	vsnprintf(state.lines[state.next++ % LINES], LINE_BYTES, format, arguments);
	pthread_mutex_unlock(&state.lock);
}

void failure_report(const char *format, ...)
{
	va_list arguments;

	pthread_mutex_lock(&state.lock); /* and keeps it: the first failure is the one to look at */
	printf("--- the last lines of the log\n");
	for (uint32_t i = state.next > LINES ? state.next - LINES : 0; i < state.next; i++)
		printf("%s\n", state.lines[i % LINES]);
	printf("not ok: seed %llu: ", (unsigned long long)state.seed);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\nrepeat it with --seed %llu --runs 1 (threads may take turns differently)\n",
	       (unsigned long long)state.seed);
	fflush(stdout);
	_exit(1);
}

void failure_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	keep(format, arguments);
	va_end(arguments);
}

/* --- gateway/common/log.h ------------------------------------------------------------------------- */

#define LOG_FUNCTION(name)                                                                         \
	void name(const char *format, ...)                                                         \
	{                                                                                          \
		va_list arguments;                                                                 \
                                                                                                   \
		va_start(arguments, format);                                                       \
		keep(format, arguments);                                                           \
		va_end(arguments);                                                                 \
	}

LOG_FUNCTION(log_error)
LOG_FUNCTION(log_warning)
LOG_FUNCTION(log_info)
LOG_FUNCTION(log_debug)

bool log_limit_pass(struct log_limit *limit, uint32_t *held)
{
	(void)limit;
	*held = 0;
	return true;
}

const char *log_limit_held_text(uint32_t held)
{
	(void)held;
	return "";
}
