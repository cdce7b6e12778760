/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"

#define LINE_BYTES_MAX 2048
#define LABEL_COLUMNS  18

/* --- text -------------------------------------------------------------------------------------------- */

/* How many of the bytes at text (not empty) a terminal shows as one harmless character; 0: none. */
static size_t printable_sequence(const unsigned char *text)
{
	size_t want = text[0] < 0x80		 ? 1
		      : (text[0] & 0xe0) == 0xc0 ? 2
		      : (text[0] & 0xf0) == 0xe0 ? 3
		      : (text[0] & 0xf8) == 0xf0 ? 4
						 : 0;

	if (want == 1)
		return text[0] >= 0x20 && text[0] != 0x7f;
	/* C1 controls (U+0080 to U+009F) move terminals as well. */
	if (text[0] == 0xc2 && text[1] < 0xa0)
		return 0;
	for (size_t i = 1; i < want; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return want;
}

const char *output_text(char *buf, size_t buf_bytes, const char *text)
{
	size_t used = 0;

	while (*text) {
		size_t bytes = printable_sequence((const unsigned char *)text);

		if (used + (bytes ? bytes : 1) >= buf_bytes)
			break;
		if (bytes)
			memcpy(buf + used, text, bytes);
		else
			buf[used] = '?';
		used += bytes ? bytes : 1;
		text += bytes ? bytes : 1;
	}
	if (buf_bytes)
		buf[used] = '\0';
	return buf;
}

/* --- complaints -------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static void complain(const char *verb, const char *kind,
							   const char *format, va_list arguments)
{
	char raw[LINE_BYTES_MAX], line[LINE_BYTES_MAX];

	vsnprintf(raw, sizeof(raw), format, arguments);
	fprintf(stderr, "ublk-nbd: %s%s%s%s\n", verb ? verb : "", verb ? ": " : "", kind,
		output_text(line, sizeof(line), raw));
}

void output_error(const char *verb, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(verb, "", format, arguments);
	va_end(arguments);
}

void output_warning(const char *verb, const char *format, ...)
{
	va_list arguments;

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

int output_json(const char *verb, json_t *value)
{
	if (!value) {
		output_error(verb, "out of memory");
		return EXIT_CODE_FAILURE;
	}
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(value);
	return output_finish(verb);
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
