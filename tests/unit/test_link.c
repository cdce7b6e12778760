/* SPDX-License-Identifier: MIT */
/*
 * Goal: a link's text is made of what the user asked for, in full, and of two targets it is never the same; names are
 * what is promised.
 * Method: tables; each pair of the targets is compared.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/common/disk_name.h"
#include "gateway/disk/link.h"
#include "proto/uri.h"

static const struct {
	const char *target, *text;
} cases[] = {
	{ "localhost", "localhost:10809:" },
	{ "127.0.0.1", "127.0.0.1:10809:" },
	{ "nbd://localhost:10813/a/b", "localhost:10813:a=2Fb" },
	{ "nbd://localhost:10813/a_b", "localhost:10813:a_b" },
	{ "nbd://localhost:10813/a=2Fb", "localhost:10813:a=3D2Fb" },
	{ "nbd://localhost:10814/a_b", "localhost:10814:a_b" },
	{ "nbd://localhost/../../etc/passwd", "localhost:10809:..=2F..=2Fetc=2Fpasswd" },
	{ "nbd://localhost/10:20", "localhost:10809:10=3A20" },
	{ "nbd://[::1]/x", "=3A=3A1:10809:x" },
	{ "nbd://localhost/a-b", "localhost:10809:a-b" },
	{ "nbd://localhost/a-part1", "localhost:10809:a=2Dpart1" },
	{ "nbd://localhost/-part1", "localhost:10809:=2Dpart1" },
	{ "nbd://localhost/%C3%A4%20%0a", "localhost:10809:=C3=A4=20=0A" },
	{ "nbd+unix:///x?socket=/run/nbd.sock", "unix+=2Frun=2Fnbd.sock:x" },
	{ "nbd+unix:///?socket=/run/nbd.sock", "unix+=2Frun=2Fnbd.sock:" },
	{ "nbd+vsock://2:10809/x", "vsock+2+10809:x" },
	{ "nbd://vsock/x", "vsock:10809:x" },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static int text_of(const char *target, char out[LINK_TEXT_BYTES_MAX + 1])
{
	static struct disk_config config;
	char error[400];

	disk_config_init(&config);
	if (nbd_uri_parse(&config.target, target, 0, error, sizeof(error)))
		fail_msg("%s: %s", target, error);
	return link_text(&config, out);
}

static void test_texts(void **state)
{
	char text[LINK_TEXT_BYTES_MAX + 1];

	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		assert_int_equal(text_of(cases[i].target, text), 0);
		assert_string_equal(text, cases[i].text);
		/* No name is a text, and no part of a path. */
		assert_false(disk_name_is_valid(text));
		assert_null(strchr(text, '/'));
		assert_true(text[0] != '.');
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(text, cases[j].text);
	}
}

/* 255 bytes less what a partition's link has more. */
static void test_longest(void **state)
{
	char target[400] = "nbd://h/", text[LINK_TEXT_BYTES_MAX + 1];
	const size_t before = strlen("h:10809:");

	(void)state;
	memset(target + 8, 'x', LINK_TEXT_BYTES_MAX - before);
	assert_int_equal(text_of(target, text), 0);
	assert_int_equal(strlen(text), LINK_TEXT_BYTES_MAX);
	target[8 + LINK_TEXT_BYTES_MAX - before] = 'x';
	assert_int_equal(text_of(target, text), -ENAMETOOLONG);
	assert_string_equal(text, "");
	target[8 + LINK_TEXT_BYTES_MAX - before] = '\0';
	target[8] = ' '; /* three bytes */
	memcpy(target + 8, "%20", 3);
	assert_int_equal(text_of(target, text), 0);
}

static void test_names_and_commands(void **state)
{
	static struct disk_config config;
	char text[LINK_TEXT_BYTES_MAX + 1];

	(void)state;
	disk_config_init(&config);
	config.command[0] = (char[]){ "nbdkit" };
	assert_int_equal(link_text(&config, text), -ENOENT);
	assert_string_equal(text, "");
	strcpy(config.name, "data");
	assert_int_equal(link_text(&config, text), 0);
	assert_string_equal(text, "data");
}

static void test_names(void **state)
{
	static const char *const good[] = {
		"a",	 "Z",	  "data", "a-b_c.d",   "ublk",
		"ublka", "Ublkb", "x..",  "abc-part1", "a234567890123456789012345678901234567890",
	};
	static const char *const bad[] = {
		"",	  "1a",	      ".a",	"-a",
		"_a",	  "a b",      "a/b",	"a:b",
		"a=b",	  "ublkb",    "ublkb0", "ublkc7",
		"ublkbx", "\xc3\xa4", "a\n",	"a234567890123456789012345678901234567890x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!disk_name_is_valid(good[i]))
			fail_msg("'%s' is refused", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (disk_name_is_valid(bad[i]))
			fail_msg("'%s' is taken", bad[i]);
}

static void test_collisions(void **state)
{
	(void)state;
	assert_true(disk_name_collides("a", "a"));
	assert_true(disk_name_collides("a-part1", "a"));
	assert_true(disk_name_collides("a", "a-part12"));
	assert_false(disk_name_collides("a", "a-part"));
	assert_false(disk_name_collides("a", "a-part1x"));
	assert_false(disk_name_collides("a", "A"));
	assert_false(disk_name_collides("a-part1", "a-part2"));
	assert_int_equal(disk_name_stem_bytes("a"), 1);
	assert_int_equal(disk_name_stem_bytes("a12"), 3);
	assert_int_equal(disk_name_stem_bytes("a-part"), 6);
	assert_int_equal(disk_name_stem_bytes("a-part12"), 1);
	assert_int_equal(disk_name_stem_bytes("a-part1-part2"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_names_and_commands),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_collisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
