/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/cli/ready_reader.h"
#include "tls/clock.h"

#define LINE_BYTES_MAX (64u << 10)

/* What is known while it listens. */
struct listening {
	const struct ready_reader *reader;
	int64_t deadline_ms, last_deadline_ms;
	char *line; /* LINE_BYTES_MAX, used of which are filled */
	size_t used;
	json_t *status; /* set by "ok": true */
	bool done;	/* the last word was said */
	enum exit_code exit_code;
};

static void say_unreachable(const struct ready_reader *reader, const char *error)
{
	if (reader->said)
		output_progress(reader->verbose, reader->verb, "%s", error);
	else
		output_warning(reader->verb, "%s: trying again", error);
}

static void take_verdict(struct listening *listening, const json_t *object, bool good)
{
	const struct ready_reader *reader = listening->reader;
	const char *error = json_string_value(json_object_get(object, "error"));
	json_int_t exit_code = json_integer_value(json_object_get(object, "exit"));

	listening->done = true;
	if (good) {
		listening->status = json_incref(json_object_get(object, "status"));
		listening->exit_code = EXIT_CODE_OK;
		return;
	}
	listening->exit_code =
		exit_code > 0 && exit_code < 256 ? (enum exit_code)exit_code : EXIT_CODE_FAILURE;
	if (listening->exit_code == EXIT_CODE_UNREACHABLE && reader->tries_again)
		say_unreachable(reader, error ? error : "the server cannot be reached");
	else
		output_error(reader->verb, "%s",
			     error ? error : "the daemon failed without a reason");
}

static void take_line(struct listening *listening, const char *line)
{
	const struct ready_reader *reader = listening->reader;
	json_t *object = json_loads(line, 0, NULL);
	const char *progress = json_string_value(json_object_get(object, "progress"));
	const char *warning = json_string_value(json_object_get(object, "warning"));
	const json_t *ok = json_object_get(object, "ok");
	int64_t later_ms = clock_now_ms() + READY_QUIET_MS;

	if (progress)
		output_progress(reader->verbose, reader->verb, "%s", progress);
	if (warning)
		output_warning(reader->verb, "%s", warning);
	if (json_is_boolean(ok))
		take_verdict(listening, object, json_is_true(ok));
	if (listening->deadline_ms < later_ms)
		listening->deadline_ms = later_ms;
	if (listening->deadline_ms > listening->last_deadline_ms)
		listening->deadline_ms = listening->last_deadline_ms;
	json_decref(object);
}

/* Takes each whole line and keeps the rest. */
static void take_lines(struct listening *listening)
{
	char *newline;

	while (!listening->done &&
	       (newline = memchr(listening->line, '\n', listening->used)) != NULL) {
		size_t bytes = (size_t)(newline - listening->line) + 1;

		*newline = '\0';
		take_line(listening, listening->line);
		listening->used -= bytes;
		memmove(listening->line, listening->line + bytes, listening->used);
	}
}

/* Reads once. False: nothing more will come, and that was said. */
static bool read_more(struct listening *listening)
{
	const struct ready_reader *reader = listening->reader;
	char place[4200];
	ssize_t got = recv(reader->daemon->ready_fd, listening->line + listening->used,
			   LINE_BYTES_MAX - listening->used, MSG_DONTWAIT);

	if (got > 0) {
		listening->used += (size_t)got;
		take_lines(listening);
		return true;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	daemon_log_place(place, sizeof(place));
	output_error(
		reader->verb,
		"the daemon ended before the disk was usable, without saying why: its messages "
		"are in %s",
		place);
	listening->exit_code = EXIT_CODE_FAILURE;
	return false;
}

static void listen_on(struct listening *listening)
{
	const struct ready_reader *reader = listening->reader;

	while (!listening->done) {
		switch (interrupt_wait(reader->interrupt_fd, reader->daemon->ready_fd,
				       listening->deadline_ms)) {
		case 0:
			if (!interrupt_take(reader->interrupt_fd))
				break;
			listening->exit_code = EXIT_CODE_INTERRUPTED;
			return;
		case 1:
			if (!read_more(listening))
				return;
			break;
		default:
			output_error(
				reader->verb,
				"the disk was not usable in time: the daemon said nothing for "
				"long, and is ended; 'ublk-nbd doctor TARGET' tries the server "
				"step by step");
			listening->exit_code = EXIT_CODE_UNREACHABLE;
			return;
		}
	}
}

enum exit_code ready_reader_run(const struct ready_reader *reader, json_t **status, bool *ended)
{
	int64_t now_ms = clock_now_ms();
	struct listening listening = {
		.reader = reader,
		.deadline_ms = now_ms + reader->connect_timeout_ms + READY_QUIET_MS,
		.last_deadline_ms = now_ms + reader->connect_timeout_ms + READY_TOTAL_MS,
		.line = malloc(LINE_BYTES_MAX),
		.exit_code = EXIT_CODE_FAILURE,
	};

	if (listening.line)
		listen_on(&listening);
	else
		output_error(reader->verb, "out of memory");
	free(listening.line);
	*ended = listening.done;
	*status = listening.status;
	return listening.exit_code;
}
