/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/open_files.h"
#include "proto/text.h"

#define LINE_BYTES_MAX 2048
#define LABEL_COLUMNS  18

const char *output_text(char *buf, size_t buf_bytes, const char *text)
{
	return nbd_text_printable(buf, buf_bytes, text, strlen(text));
}

/* --- complaints -------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static void complain(const char *verb, const char *kind,
							   const char *format, va_list arguments)
{
	char raw[LINE_BYTES_MAX], line[LINE_BYTES_MAX];

	vsnprintf(raw, sizeof(raw), format, arguments);
	open_files_add_remedy(raw, sizeof(raw));
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

json_t *output_json_text(const char *bytes, size_t count)
{
	char *text = malloc(3 * count + 1);
	json_t *string = NULL;

	if (text)
		string = json_string(nbd_text_repair(text, bytes, count));
	free(text);
	return string;
}

json_t *output_json_hex(const char *bytes, size_t count)
{
	char *text = malloc(2 * count + 1);
	json_t *string = NULL;

	if (!text)
		return NULL;
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		sprintf(text + 2 * i, "%02x", (unsigned char)bytes[i]);
	string = json_string(text);
	free(text);
	return string;
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
