/* SPDX-License-Identifier: MIT */
/*
 * log.h - the daemon's messages: one line, one write(2), to standard error, which is a person's terminal,
 * a supervisor's pipe, a file or the journal's stream. Any of them may hang, on the disk itself even, and
 * whoever has trouble with a disk must not: after log_detach() a line is put into memory, and a process
 * beside ours writes it (log_writer.h). A line for which there is no room is counted, and the count is said
 * with the next, or once the others are out. Nothing is allocated. Any thread may log.
 */
#ifndef GATEWAY_COMMON_LOG_H
#define GATEWAY_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* name goes before each line. journal_prefix: lines begin with "<N>" as sd-daemon(3) has it. */
void log_open(const char *name, bool verbose, bool journal_prefix);
/* From here on nobody who logs waits, our forked processes included; nor does a library that prints. Before
 * any thread. settle, if there is one, is called in the process that writes, before it does. 0, or -errno:
 * lines are written as before. */
int log_detach(void (*settle)(void));
/* What standard error was: for a program that we start. */
int log_stderr_fd(void);
/* No further program will be started: we keep the file or terminal no longer. */
void log_release_stderr(void);
/* At the end: gives what was put wait_ms to go out. */
void log_close(uint32_t wait_ms);

/* The device, once it has one: "ublkb0" goes into every further line. */
void log_set_device(const char *device);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A limit for messages that a peer can provoke: at most burst lines in each interval; what was
 * held back is counted and said with the next line that passes. One per place, static. */
struct log_limit {
	uint32_t burst;
	uint32_t interval_ms;
	int64_t started_ms;
	uint32_t used;
	uint32_t held;
};
#define LOG_LIMIT_INIT                                                                             \
	{                                                                                          \
		.burst = 10, .interval_ms = 5000                                                   \
	}
/* True when the line may go out. *held is how many were held back before it. Not thread-safe:
 * one limit belongs to one thread (_Thread_local). */
bool log_limit_pass(struct log_limit *limit, uint32_t *held);
/* What the line that passes ends with: "; 3 such messages were held back", or nothing. The thread's own, until
 * it calls this again. */
const char *log_limit_held_text(uint32_t held);

#endif
