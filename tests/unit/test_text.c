/* SPDX-License-Identifier: MIT */
/*
 * Goal: nothing a server sends as text can control a terminal, break JSON or overflow a buffer.
 * Method: tables; then each byte value and each two-byte string through the copy, whose output
 * must be printable UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "proto/text.h"

static const struct {
	const char *bytes;
	size_t len;
	bool is_string;
	const char *shown;
} cases[] = {
	{ "", 0, true, "" },
	{ "plain text", 10, true, "plain text" },
	{ "a\0b", 3, false, "a?b" },
	{ "tab\tnl\nesc\033[2J\177", 15, true, "tab?nl?esc?[2J?" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe", 9, true, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe" },
	{ "\xc2\x9b"
	  "31m",
	  5, true, "??31m" },			  /* C1: control sequence introducer */
	{ "\xc0\x80", 2, false, "??" },		  /* overlong NUL */
	{ "\xe0\x80\xaf", 3, false, "???" },	  /* overlong */
	{ "\xf0\x80\x80\xaf", 4, false, "????" }, /* overlong */
	{ "\xed\xa0\x80", 3, false, "???" },	  /* surrogate */
	{ "\xf4\x90\x80\x80", 4, false, "????" }, /* beyond U+10FFFF */
	{ "\xf5\x80\x80\x80", 4, false, "????" },
	{ "\xff\xfe", 2, false, "??" },
	{ "cut \xe2\x82", 6, false, "cut ??" },
	{ "\x80mid\xbf", 5, false, "?mid?" },
	{ "\xff", 1, false, "?" },
	{ "\xe2\x82"
	  "A",
	  3, false, "??A" },
	/* the first and last of each length, and around the surrogates and C1 */
	{ "\xc2\xa0", 2, true, "\xc2\xa0" },
	{ "\xc2\x80", 2, true, "??" },
	{ "\xdf\xbf", 2, true, "\xdf\xbf" },
	{ "\xe0\xa0\x80", 3, true, "\xe0\xa0\x80" },
	{ "\xed\x9f\xbf", 3, true, "\xed\x9f\xbf" },
	{ "\xee\x80\x80", 3, true, "\xee\x80\x80" },
	{ "\xef\xbf\xbf", 3, true, "\xef\xbf\xbf" },
	{ "\xf0\x90\x80\x80", 4, true, "\xf0\x90\x80\x80" },
	{ "\xf4\x8f\xbf\xbf", 4, true, "\xf4\x8f\xbf\xbf" },
};

static void strings_are_told_from_garbage(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(nbd_text_is_string(cases[i].bytes, cases[i].len),
				 cases[i].is_string);
}

static void what_is_shown_is_printable(void **state)
{
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_ptr_equal(nbd_text_printable(out, sizeof(out), cases[i].bytes, cases[i].len),
				 out);
		assert_string_equal(out, cases[i].shown);
	}
}

static void every_two_bytes_come_out_printable(void **state)
{
	char in[2], out[8];

	(void)state;
	for (unsigned int value = 0; value < 0x10000; value++) {
		in[0] = (char)(value >> 8);
		in[1] = (char)value;
		nbd_text_printable(out, sizeof(out), in, 2);
		assert_int_equal(strlen(out), 2);
		assert_true(nbd_text_is_string(out, 2));
		for (size_t i = 0; i < 2; i++)
			assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
	}
}

static void long_text_is_cut_between_characters(void **state)
{
	static const char euros[] = "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac";
	char out[16];

	(void)state;
	for (size_t room = 4; room <= 13; room++) {
		memset(out, 'x', sizeof(out));
		nbd_text_printable(out, room, euros, 12);
		assert_true(strlen(out) < room);
		assert_true(nbd_text_is_string(out, strlen(out)));
		assert_int_equal(out[room], 'x');
		if (room < 13)
			assert_string_equal(out + strlen(out) - 3, "...");
		else
			assert_string_equal(out, euros);
	}
	nbd_text_printable(out, 8, "1234567", 7);
	assert_string_equal(out, "1234567");
	nbd_text_printable(out, 8, "12345678", 8);
	assert_string_equal(out, "1234...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_told_from_garbage),
		cmocka_unit_test(what_is_shown_is_printable),
		cmocka_unit_test(every_two_bytes_come_out_printable),
		cmocka_unit_test(long_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
