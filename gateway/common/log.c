/* SPDX-License-Identifier: MIT */
#include "gateway/common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 1024
/* A log that is a plain file (no journal on this machine) is not let grow beyond this. */
#define FILE_BYTES_MAX (4 << 20)

static struct {
	const char *name;
	char device[32];
	bool verbose;
	bool journal_prefix;
	bool is_file;
	atomic_uint lost; /* lines that stderr did not take */
} state = { .name = "ublk-nbd" };

void log_open(const char *name, bool verbose, bool journal_prefix)
{
	struct stat st;

	state.name = name;
	state.verbose = verbose;
	state.journal_prefix = journal_prefix;
	if (fstat(STDERR_FILENO, &st) == 0)
		state.is_file = S_ISREG(st.st_mode);
	if (journal_prefix)
		fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
}

void log_set_device(const char *device)
{
	snprintf(state.device, sizeof(state.device), "%s", device);
}

static bool file_is_full(void)
{
	struct stat st;

	return state.is_file && fstat(STDERR_FILENO, &st) == 0 && st.st_size > FILE_BYTES_MAX;
}

/* Whoever reads our stderr through a pipe or a terminal may stop reading; a queue's thread must not
 * wait for that. (Non-blocking is no way out: a descriptor that was inherited shares it.) */
static bool stderr_takes_a_line(void)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return state.is_file || (poll(&fd, 1, 0) > 0 && fd.revents & POLLOUT);
}

/* One write(2) a line, so that lines of several threads and processes do not mix. */
static void put_line(enum log_level level, const char *format, va_list arguments)
{
	char line[LINE_BYTES_MAX];
	size_t used = 0, room = sizeof(line) - 1; /* the newline's place */
	int saved_errno = errno;
	unsigned int lost;
	int n;

	if (state.journal_prefix)
		used += (size_t)snprintf(line, room, "<%d>", (int)level);
	else
		used += (size_t)snprintf(line, room, "%s: ", state.name);
	if (state.device[0])
		used += (size_t)snprintf(line + used, room - used, "%s: ", state.device);
	n = vsnprintf(line + used, room - used, format, arguments);
	if (n > 0)
		used += (size_t)n < room - used ? (size_t)n : room - used - 1;
	lost = atomic_load_explicit(&state.lost, memory_order_relaxed);
	if (lost && used + 40 < room)
		used += (size_t)snprintf(line + used, room - used, " (%u line%s lost before)", lost,
					 lost == 1 ? "" : "s");
	line[used++] = '\n';
	if (file_is_full() || !stderr_takes_a_line() ||
	    write(STDERR_FILENO, line, used) != (ssize_t)used)
		atomic_fetch_add_explicit(&state.lost, 1, memory_order_relaxed);
	else if (lost)
		atomic_fetch_sub_explicit(&state.lost, lost, memory_order_relaxed);
	errno = saved_errno;
}

#define LOG_FUNCTION(function, level)                                                              \
	void function(const char *format, ...)                                                     \
	{                                                                                          \
		va_list arguments;                                                                 \
                                                                                                   \
		va_start(arguments, format);                                                       \
		put_line(level, format, arguments);                                                \
		va_end(arguments);                                                                 \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)

void log_debug(const char *format, ...)
{
	va_list arguments;

	if (!state.verbose)
		return;
	va_start(arguments, format);
	put_line(LOG_LEVEL_DEBUG, format, arguments);
	va_end(arguments);
}

bool log_limit_pass(struct log_limit *limit, uint32_t *held)
{
	struct timespec ts;
	int64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	if (limit->started_ms == 0 || now_ms - limit->started_ms >= limit->interval_ms) {
		limit->started_ms = now_ms;
		limit->used = 0;
	}
	if (limit->used >= limit->burst) {
		limit->held++;
		return false;
	}
	limit->used++;
	*held = limit->held;
	limit->held = 0;
	return true;
}

const char *log_limit_held_text(uint32_t held)
{
	static _Thread_local char text[64];

	text[0] = '\0';
	if (held > 0)
		snprintf(text, sizeof(text), "; %u such message%s held back", held,
			 held == 1 ? " was" : "s were");
	return text;
}
