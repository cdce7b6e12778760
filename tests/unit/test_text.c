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
	/* what turns, hides or breaks the text around it */
	{ "a\xe2\x80\xae"
	  "b\xe2\x80\xac",
	  8, true, "a???b???" },			   /* U+202E: right to left */
	{ "\xe2\x80\xaa\xe2\x80\xac", 6, true, "??????" }, /* U+202A */
	{ "\xe2\x81\xa6\xe2\x81\xa9", 6, true, "??????" }, /* U+2066: isolate */
	{ "\xe2\x81\xa9", 3, true, "???" },		   /* U+2069 */
	{ "\xe2\x80\x8b", 3, true, "???" },		   /* U+200B: zero width space */
	{ "\xe2\x80\x8f", 3, true, "???" },		   /* U+200F: right-to-left mark */
	{ "\xe2\x80\xa8", 3, true, "???" },		   /* U+2028: line separator */
	{ "\xe2\x80\xa9", 3, true, "???" },		   /* U+2029: paragraph separator */
	{ "\xd8\x9c", 2, true, "??" },			   /* U+061C: Arabic letter mark */
	{ "\xc2\xad", 2, true, "??" },			   /* U+00AD: soft hyphen */
	{ "\xef\xbb\xbf", 3, true, "???" },		   /* U+FEFF: byte order mark */
	{ "\xef\xbf\xb9", 3, true, "???" },		   /* U+FFF9: annotation */
	{ "\xe3\x85\xa4", 3, true, "???" },		   /* U+3164: a filler */
	{ "\xef\xb8\x8f", 3, true, "???" },		   /* U+FE0F: variation selector */
	{ "\xf3\xa0\x80\x81", 4, true, "????" },	   /* U+E0001: language tag */
	{ "\xf3\xa0\x81\xbf", 4, true, "????" },	   /* U+E007F: end of tags */
	{ "\xf3\xa0\x87\xaf", 4, true, "????" },	   /* U+E01EF: variation selector 256 */
	/* and their neighbours, which are text */
	{ "\xe2\x80\x8a", 3, true, "\xe2\x80\x8a" }, /* U+200A: hair space */
	{ "\xe2\x80\x90", 3, true, "\xe2\x80\x90" }, /* U+2010: hyphen */
	{ "\xe2\x80\xa7", 3, true, "\xe2\x80\xa7" }, /* U+2027 */
	{ "\xe2\x80\xaf", 3, true, "\xe2\x80\xaf" }, /* U+202F */
	{ "\xef\xbf\xbd", 3, true, "\xef\xbf\xbd" }, /* U+FFFD */
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

static void what_is_no_text_is_replaced(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *text;
	} rows[] = {
		{ "", 0, "" },
		{ "d\xc3\xbcnn\n\xe2\x80\xae\xe2\x80\xac", 12,
		  "d\xc3\xbcnn\n\xe2\x80\xae\xe2\x80\xac" },
		{ "a\0b", 3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xff\xe2\x82", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80x", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx" },
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_ptr_equal(nbd_text_repair(out, rows[i].bytes, rows[i].len), out);
		assert_string_equal(out, rows[i].text);
		assert_true(nbd_text_is_string(out, strlen(out)));
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
		cmocka_unit_test(what_is_no_text_is_replaced),
		cmocka_unit_test(every_two_bytes_come_out_printable),
		cmocka_unit_test(long_text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
