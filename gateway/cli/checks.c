/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/checks.h"
#include "gateway/cli/output.h"
#include "gateway/common/open_files.h"

void checks_init(struct checks *checks, bool json)
{
	memset(checks, 0, sizeof(*checks));
	checks->json = json;
	checks->area = "";
	if (json)
		checks->array = json_array();
}

void checks_init_quiet(struct checks *checks)
{
	checks_init(checks, false);
	checks->quiet = true;
}

void checks_clear(struct checks *checks)
{
	json_decref(checks->array);
	checks->array = NULL;
}

void checks_begin(struct checks *checks, const char *area, const char *title)
{
	char text[CHECK_BYTES_MAX];

	checks->area = area;
	if (!checks->json && !checks->quiet)
		printf("%s:\n", output_text(text, sizeof(text), title));
}

__attribute__((format(printf, 4, 0))) static void check_add(struct checks *checks,
							    enum check_result result,
							    const char *what, const char *format,
							    va_list arguments)
{
	static const char *const names[] = { "ok", "warn", "fail" };
	static const char *const labels[] = { "ok", "warn", "FAIL" };
	char raw[CHECK_BYTES_MAX], text[CHECK_BYTES_MAX];

	vsnprintf(raw, sizeof(raw), format, arguments);
	open_files_add_remedy(raw, sizeof(raw));
	output_text(text, sizeof(text), raw);
	if (checks->quiet) {
		if (result == CHECK_FAIL && !checks->first[0])
			snprintf(checks->first, sizeof(checks->first), "%s: %.2000s", what, text);
		return;
	}
	if (checks->json) {
		json_array_append_new(checks->array, json_pack("{s:s, s:s, s:s, s:s}", "area",
							       checks->area, "what", what, "result",
							       names[result], "text", text));
		return;
	}
	printf("  %-4s  %s: %s\n", labels[result], what, text);
	/* A check may take its time: what is known is shown before it begins. */
	fflush(stdout);
}

void check_ok(struct checks *checks, const char *what, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	check_add(checks, CHECK_OK, what, format, arguments);
	va_end(arguments);
}

void check_warn(struct checks *checks, const char *what, const char *format, ...)
{
	va_list arguments;

	checks->warnings++;
	va_start(arguments, format);
	check_add(checks, CHECK_WARN, what, format, arguments);
	va_end(arguments);
}

void check_fail(struct checks *checks, enum exit_code exit_code, const char *what,
		const char *format, ...)
{
	va_list arguments;

	if (checks->failures++ == 0)
		checks->exit_code = exit_code;
	va_start(arguments, format);
	check_add(checks, CHECK_FAIL, what, format, arguments);
	va_end(arguments);
}

int checks_finish(struct checks *checks, const char *verb)
{
	int printed;

	if (checks->json) {
		printed = output_json(
			verb,
			json_pack("{s:b, s:i, s:i, s:i, s:O}", "ok", (int)(checks->failures == 0),
				  "exit", (int)checks->exit_code, "failures", (int)checks->failures,
				  "warnings", (int)checks->warnings, "checks", checks->array));
	} else {
		printf("\n%s", checks->failures ? "A connect would not work" : "A connect works");
		if (checks->failures + checks->warnings > 0)
			printf(" (%u FAIL, %u warn)", checks->failures, checks->warnings);
		printf(".\n");
		printed = output_finish(verb);
	}
	return printed == EXIT_CODE_OK ? (int)checks->exit_code : printed;
}
