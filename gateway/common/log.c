/* SPDX-License-Identifier: MIT */
#include "gateway/common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/common/log_ring.h"
#include "gateway/common/log_writer.h"
#include "tls/clock.h"

/* A log that is a plain file (no journal on this machine) is not let grow beyond this. */
#define FILE_BYTES_MAX (4 << 20)
#define CLOSE_PAUSE_MS 2
/* Not below this: a program that we start has its place there for something else. */
#define STDERR_HIGH 16

static struct {
	const char *name;
	char device[32];
	bool verbose;
	bool journal_prefix;
	bool is_file;
	atomic_uint lost;      /* lines that stderr did not take; while there is no ring */
	struct log_ring *ring; /* NULL: lines are written by who logs */
	int wake_fd;
	int stderr_fd; /* what was standard error before log_detach(); -1 once it was let go of */
	char lost_format[120];
} state = { .name = "ublk-nbd", .wake_fd = -1, .stderr_fd = STDERR_FILENO };

void log_open(const char *name, bool verbose, bool journal_prefix)
{
	struct stat st;

	state.name = name;
	state.verbose = verbose;
	state.journal_prefix = journal_prefix;
	if (fstat(STDERR_FILENO, &st) == 0)
		state.is_file = S_ISREG(st.st_mode);
}

int log_stderr_fd(void)
{
	return state.stderr_fd >= 0 ? state.stderr_fd : STDERR_FILENO;
}

/* From here on the pipe is our standard error: what libraries print does not wait either. */
static int take_strays(int pipe_fd)
{
	state.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_HIGH);
	if (state.stderr_fd < 0 || dup2(pipe_fd, STDERR_FILENO) < 0)
		return -errno;
	return 0;
}

int log_detach(void (*settle)(void))
{
	struct log_writer writer = { .stderr_fd = STDERR_FILENO, .settle = settle };
	int strays[2], error;

	snprintf(state.lost_format, sizeof(state.lost_format),
		 "%s%s%%u lines were lost here: nobody took them in time\n",
		 state.journal_prefix ? "<4>" : state.name, state.journal_prefix ? "" : ": ");
	writer.lost_format = state.lost_format;
	writer.ring = log_ring_create();
	if (!writer.ring)
		return -ENOMEM;
	writer.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (writer.wake_fd < 0)
		return -errno;
	if (pipe2(strays, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	writer.strays_fd = strays[0];
	error = log_writer_start(&writer);
	if (!error)
		error = take_strays(strays[1]);
	close(strays[0]);
	close(strays[1]);
	if (error) {
		close(writer.wake_fd);
		return error;
	}
	state.wake_fd = writer.wake_fd;
	state.ring = writer.ring;
	return 0;
}

void log_release_stderr(void)
{
	if (state.stderr_fd > STDERR_FILENO)
		close(state.stderr_fd);
	state.stderr_fd = -1;
}

void log_close(uint32_t wait_ms)
{
	if (!state.ring)
		return;
	for (uint32_t waited_ms = 0; waited_ms < wait_ms && !log_ring_is_empty(state.ring);
	     waited_ms += CLOSE_PAUSE_MS)
		clock_pause_ms(CLOSE_PAUSE_MS);
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

/* Whoever reads our stderr through a pipe or a terminal may stop reading. */
static bool stderr_takes_a_line(void)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return state.is_file || (poll(&fd, 1, 0) > 0 && fd.revents & POLLOUT);
}

/* The ring's line is the writer's to write; waking it waits for nobody. */
static bool hand_over(const char *line, size_t bytes)
{
	const uint64_t one = 1;

	if (!log_ring_put(state.ring, line, bytes))
		return false;
	if (write(state.wake_fd, &one, sizeof(one)) < 0) {
		/* Full: it has been woken already. */
	}
	return true;
}

/* One write(2) a line, so that lines of several threads and processes do not mix. */
static void put_line(enum log_level level, const char *format, va_list arguments)
{
	char line[LOG_LINE_BYTES_MAX];
	size_t used = 0, room = sizeof(line) - 1; /* the newline's place */
	int saved_errno = errno;
	atomic_uint *lost_count = state.ring ? &state.ring->lost : &state.lost;
	unsigned int lost;
	bool taken;
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
	/* Each is told of once, by whoever has a line that goes out. */
	lost = atomic_exchange_explicit(lost_count, 0, memory_order_relaxed);
	if (lost && used + 40 < room)
		used += (size_t)snprintf(line + used, room - used, " (%u lines lost before)", lost);
	line[used++] = '\n';
	if (state.ring)
		taken = hand_over(line, used);
	else
		taken = !file_is_full() && stderr_takes_a_line() &&
			write(STDERR_FILENO, line, used) == (ssize_t)used;
	if (!taken)
		atomic_fetch_add_explicit(lost_count, lost + 1, memory_order_relaxed);
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
	int64_t now_ms = clock_now_ms();

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
