/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/open_files.h"
#include "proto/text.h"
#include "tls/clock.h"

#define LINE_BYTES_MAX 2048
#define LABEL_COLUMNS  18
#define HELD_BYTES_MAX (16 << 10)

const char *output_text(char *buf, size_t buf_bytes, const char *text)
{
	return nbd_text_printable(buf, buf_bytes, text, strlen(text));
}

/* --- complaints -------------------------------------------------------------------------------------- */

/* What standard error may not take at once. */
static struct {
	bool holds;
	char text[HELD_BYTES_MAX];
	size_t used;
	unsigned int lost;
} held;

/* A pipe that takes anything takes a line. A file takes anything at once, or hangs with its disk. */
static bool stderr_takes_a_line(void)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct stat st;

	return (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode)) && poll(&fd, 1, 0) > 0;
}

static void hold(const char *line, size_t bytes)
{
	if (bytes > sizeof(held.text) - held.used) {
		held.lost++;
		return;
	}
	memcpy(held.text + held.used, line, bytes);
	held.used += bytes;
}

void output_hold(void)
{
	held.holds = true;
}

void output_release(void)
{
	fwrite(held.text, 1, held.used, stderr);
	if (held.lost)
		fprintf(stderr, "ublk-nbd: %u more messages were lost\n", held.lost);
	held.used = 0;
	held.lost = 0;
}

void output_release_aside(void)
{
	if (held.used > 0 && fork() == 0) {
		output_release();
		_exit(0);
	}
	held.used = 0;
	held.lost = 0;
}

__attribute__((format(printf, 3, 0))) static void complain(const char *verb, const char *kind,
							   const char *format, va_list arguments)
{
	char raw[LINE_BYTES_MAX], line[LINE_BYTES_MAX], whole[LINE_BYTES_MAX + 100];
	int bytes;

	vsnprintf(raw, sizeof(raw), format, arguments);
	open_files_add_remedy(raw, sizeof(raw));
	bytes = snprintf(whole, sizeof(whole), "ublk-nbd: %s%s%s%s\n", verb ? verb : "",
			 verb ? ": " : "", kind, output_text(line, sizeof(line), raw));
	if (!held.holds || (held.used == 0 && stderr_takes_a_line()))
		fputs(whole, stderr);
	else
		hold(whole, (size_t)bytes);
}

static bool muted;

void output_mute(bool mute)
{
	muted = mute;
}

void output_error(const char *verb, const char *format, ...)
{
	va_list arguments;

	if (muted)
		return;
	va_start(arguments, format);
	complain(verb, "", format, arguments);
	va_end(arguments);
}

void output_warning(const char *verb, const char *format, ...)
{
	va_list arguments;

	if (muted)
		return;
	va_start(arguments, format);
	complain(verb, "warning: ", format, arguments);
	va_end(arguments);
}

void output_progress(bool verbose, const char *verb, const char *format, ...)
{
	va_list arguments;

	if (!verbose)
		return;
	va_start(arguments, format);
	complain(verb, "", format, arguments);
	va_end(arguments);
}

/* --- results ----------------------------------------------------------------------------------------- */

int output_finish(const char *verb)
{
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_CODE_OK;
	output_error(verb, "cannot write to standard output: %s", strerror(errno ? errno : EIO));
	return EXIT_CODE_FAILURE;
}

/* jansson's writer, which escapes all but DEL. */
static int json_write(const char *bytes, size_t count, void *context)
{
	(void)context;
	for (size_t i = 0; i < count; i++)
		if (bytes[i] == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(bytes[i]);
	return 0;
}

int output_await_reader(const char *verb, int interrupt_fd)
{
	int64_t deadline_ms = clock_now_ms() + OUTPUT_READER_MS, left_ms = OUTPUT_READER_MS;
	struct pollfd fds[] = {
		{ .fd = STDOUT_FILENO, .events = POLLOUT },
		{ .fd = interrupt_fd, .events = POLLIN },
	};

	do {
		poll(fds, 2, (int)left_ms);
		if (fds[1].revents)
			return EXIT_CODE_INTERRUPTED;
		if (fds[0].revents)
			return EXIT_CODE_OK; /* or it fails: the write says how */
		left_ms = deadline_ms - clock_now_ms();
	} while (left_ms > 0);
	output_error(verb, "cannot write to standard output: nobody has read from it for %d s",
		     OUTPUT_READER_MS / 1000);
	return EXIT_CODE_FAILURE;
}

int output_json(const char *verb, json_t *value)
{
	if (!value) {
		output_error(verb, "out of memory");
		return EXIT_CODE_FAILURE;
	}
	json_dump_callback(value, json_write, NULL, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(value);
	return output_finish(verb);
}

const char *output_quoted(char *buf, size_t buf_bytes, const char *word)
{
	size_t used = (size_t)snprintf(buf, buf_bytes, "$'");

	for (; *word; word++) {
		unsigned char byte = (unsigned char)*word;

		if (used + 8 > buf_bytes) {
			strcpy(buf + used, "...");
			return buf;
		}
		if (byte < 0x20 || byte >= 0x7f || byte == '\'' || byte == '\\')
			used += (size_t)sprintf(buf + used, "\\%03o", byte);
		else
			buf[used++] = (char)byte;
	}
	strcpy(buf + used, "'");
	return buf;
}

const char *output_size(char *buf, size_t buf_bytes, uint64_t size_bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;
	uint64_t hundredths;

	while (unit + 1 < sizeof(units) / sizeof(units[0]) && size_bytes >> (10 * (unit + 1)) != 0)
		unit++;
	if (unit == 0 || size_bytes % (1ULL << (10 * unit)) == 0) {
		snprintf(buf, buf_bytes, "%" PRIu64 " %s", size_bytes >> (10 * unit), units[unit]);
		return buf;
	}
	/* Two digits, rounded down: a disk is never shown larger than it is. */
	hundredths = (size_bytes >> (10 * (unit - 1))) * 100 >> 10;
	if (hundredths % 10)
		snprintf(buf, buf_bytes, "%" PRIu64 ".%02u %s", hundredths / 100,
			 (unsigned int)(hundredths % 100), units[unit]);
	else
		snprintf(buf, buf_bytes, "%" PRIu64 ".%u %s", hundredths / 100,
			 (unsigned int)(hundredths % 100 / 10), units[unit]);
	return buf;
}

void output_field(const char *label, const char *format, ...)
{
	char raw[LINE_BYTES_MAX], line[LINE_BYTES_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(raw, sizeof(raw), format, arguments);
	va_end(arguments);
	printf("%s:%*s%s\n", label, LABEL_COLUMNS - (int)strlen(label), "",
	       output_text(line, sizeof(line), raw));
}
