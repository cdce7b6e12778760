/* SPDX-License-Identifier: MIT */
/*
 * Goal: a path that /proc wrote between blanks is read as it is, and nothing else of it changes. Method: a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/common/proc_text.h"

static void octal_digits_become_their_byte(void **state)
{
	static const struct {
		const char *written, *path;
	} cases[] = {
		{ "", "" },
		{ "/mnt/disk", "/mnt/disk" },
		{ "/a\\040b\\011c\\012d\\134e", "/a b\tc\nd\\e" },
		{ "\\303\\244", "\303\244" },
		/* Not octal, more than a byte holds, or cut short: not what the kernel writes. */
		{ "\\089", "\\089" },
		{ "\\777", "\\777" },
		{ "/a\\04", "/a\\04" },
		{ "/a\\", "/a\\" },
		{ "\\134040", "\\040" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(text, cases[i].written);
		proc_unescape(text);
		assert_string_equal(text, cases[i].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octal_digits_become_their_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
