/* SPDX-License-Identifier: MIT */
/*
 * Goal: what people write for devices, numbers, sizes and times is understood, or refused; and what
 * is shown to them is right and cannot harm their terminal.
 * Method: tables. (tests/cli has the messages.)
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/device_name.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_device_names(void **state)
{
	static const struct {
		const char *text;
		int number; /* -1: refused */
	} cases[] = {
		{ "0", 0 },	      { "7", 7 },
		{ "65535", 65535 },   { "ublkb0", 0 },
		{ "ublkb12", 12 },    { "ublkc3", 3 },
		{ "/dev/ublkb4", 4 }, { "/dev/ublkc65535", 65535 },
		{ "", -1 },	      { "-1", -1 },
		{ "+1", -1 },	      { " 1", -1 },
		{ "1 ", -1 },	      { "01", -1 },
		{ "0x1", -1 },	      { "65536", -1 },
		{ "4294967296", -1 }, { "ublkb", -1 },
		{ "ublkb01", -1 },    { "ublkb65536", -1 },
		{ "ublkb0p1", -1 },   { "ublkb1x", -1 },
		{ "ublka1", -1 },     { "/dev/sda", -1 },
		{ "/dev/0", -1 },     { "dev/ublkb0", -1 },
		{ "/dev/ublkb", -1 }, { "/no/such/link", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char error[200] = "";
		uint32_t number = 99999;
		int result = device_name_parse(cases[i].text, &number, error, sizeof(error));

		if (cases[i].number < 0 ? result != -EINVAL || !error[0]
					: result != 0 || number != (uint32_t)cases[i].number)
			fail_msg("'%s': %d, number %u, %s", cases[i].text, result, number, error);
	}
}

static void test_device_links(void **state)
{
	char directory[] = "/tmp/test_cli_values.XXXXXX", link[64], error[200];
	uint32_t number = 0;
	int result;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(link, sizeof(link), "%s/disk", directory);
	/* To something else; to a disk, there or gone: tests/cli/test-no-disks.sh. */
	assert_int_equal(symlink("/dev/null", link), 0);
	result = device_name_parse(link, &number, error, sizeof(error));
	unlink(link);
	rmdir(directory);
	assert_int_equal(result, -EINVAL);
	assert_non_null(strstr(error, "not a ublk device"));
}

/* Complaints go to stderr, which is not wanted here. */
static int silence_stderr(void **state)
{
	static int saved;
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	saved = dup(STDERR_FILENO);
	*state = &saved;
	if (null_fd < 0 || dup2(null_fd, STDERR_FILENO) < 0)
		return -1;
	return close(null_fd);
}

static int restore_stderr(void **state)
{
	const int *saved = *state;

	return dup2(*saved, STDERR_FILENO) < 0 ? -1 : close(*saved);
}

static const struct options options = { .verb = "test" };

static void test_numbers(void **state)
{
	const struct disk_limit limit = { .minimum = 1, .maximum = 4096, .zero_too = true };
	static const struct {
		const char *text;
		int value; /* -1: refused */
	} cases[] = {
		{ "1", 1 },   { "4096", 4096 },	    { "007", 7 },
		{ "0", -1 },  { "4097", -1 },	    { "", -1 },
		{ "1K", -1 }, { "1.0", -1 },	    { "-1", -1 },
		{ "+1", -1 }, { "4294967297", -1 }, { "1e3", -1 },
		{ " 1", -1 }, { "0x10", -1 },	    { "18446744073709551617", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t value = 5;
		bool good = option_number(&options, "--x", cases[i].text, &limit, &value);

		assert_int_equal(good, cases[i].value >= 0);
		assert_int_equal(value, good ? cases[i].value : 5);
	}
}

static void test_bytes(void **state)
{
	const struct disk_limit limit = { .minimum = 4096,
					  .maximum = 1u << 30,
					  .power_of_two = true };
	static const struct {
		const char *text;
		long long value;
	} cases[] = {
		{ "4096", 4096 }, { "4K", 4096 },	{ "1M", 1 << 20 }, { "1G", 1 << 30 },
		{ "0", -1 },	  { "2K", -1 },		{ "4097", -1 },	   { "3M", -1 },
		{ "2G", -1 },	  { "4k", -1 },		{ "4KB", -1 },	   { "4 K", -1 },
		{ "K", -1 },	  { "999999999G", -1 }, { "1T", -1 },	   { "17179869184G", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t value = 5;
		bool good = option_bytes(&options, "--x", cases[i].text, &limit, &value);

		assert_int_equal(good, cases[i].value >= 0);
		assert_int_equal(value, good ? cases[i].value : 5);
	}
}

static void test_durations(void **state)
{
	const struct disk_limit limit = { .minimum = 100, .maximum = 24 * 3600 * 1000 };
	static const struct {
		const char *text;
		int value_ms;
	} cases[] = {
		{ "1", 1000 },	  { "30s", 30000 },	{ "500ms", 500 },      { "100ms", 100 },
		{ "2m", 120000 }, { "24h", 86400000 },	{ "86400", 86400000 }, { "99ms", -1 },
		{ "25h", -1 },	  { "0", -1 },		{ "1d", -1 },	       { "1.5s", -1 },
		{ "s", -1 },	  { "", -1 },		{ "5 s", -1 },	       { "1M", -1 },
		{ "1h1m", -1 },	  { "999999999h", -1 }, { "4294968", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t value_ms = 5;
		bool good = option_duration_ms(&options, "--x", cases[i].text, &limit, &value_ms);

		assert_int_equal(good, cases[i].value_ms >= 0);
		assert_int_equal(value_ms, good ? cases[i].value_ms : 5);
	}
}

static void test_sizes_shown(void **state)
{
	static const struct {
		uint64_t size_bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 bytes" },
		{ 512, "512 bytes" },
		{ 1023, "1023 bytes" },
		{ 1024, "1 KiB" },
		{ 1536, "1.5 KiB" },
		{ 1025, "1.0 KiB" },
		{ 1048575, "1023.99 KiB" },
		{ 1ull << 30, "1 GiB" },
		{ (1ull << 30) + (1ull << 29), "1.5 GiB" },
		{ 1572864000, "1.46 GiB" },
		{ 1ull << 50, "1 PiB" },
		{ INT64_MAX, "7.99 EiB" },
		{ UINT64_MAX, "15.99 EiB" },
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(output_size(out, sizeof(out), cases[i].size_bytes),
				    cases[i].text);
}

static void test_text_shown(void **state)
{
	static const struct {
		const char *raw, *text;
	} cases[] = {
		{ "plain", "plain" },
		{ "a\nb\tc", "a?b?c" },
		{ "\x1b[31mred", "?[31mred" },
		{ "\x7f", "?" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xbe", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xbe" },
		{ "\xff\xfe", "??" },
		{ "\xc3", "?" },
		{ "\xe2\x82", "??" },
		{ "\xc2\x9b"
		  "31m",
		  "??31m" }, /* CSI as one character */
		{ "\xa0"
		  "a",
		  "?a" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(output_text(out, sizeof(out), cases[i].raw), cases[i].text);
	/* What does not fit is marked, and nothing beyond the room is touched. */
	for (size_t room = 4; room <= 12; room++) {
		memset(out, 'X', sizeof(out));
		output_text(out, room, "abcdefghijklmnop");
		assert_int_equal(out[room], 'X');
		assert_int_equal(strlen(out), room - 1);
		assert_string_equal(out + room - 4, "...");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_names),
		cmocka_unit_test(test_device_links),
		cmocka_unit_test_setup_teardown(test_numbers, silence_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_bytes, silence_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_durations, silence_stderr, restore_stderr),
		cmocka_unit_test(test_sizes_shown),
		cmocka_unit_test(test_text_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
