/* SPDX-License-Identifier: MIT */
/*
 * Goal: an ADD_DEV that fails by a limit of the driver's names the limit and the remedy, and one that fails for
 * lack of rights does not. Current kernels do not count our devices against ublks_max, so that no guest has
 * such a failure.
 * Method: a folder that stands for /sys, with a limit and devices.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/common/device_limit.h"

static char root[] = "/tmp/device-limit-XXXXXX";
static char sentence[512];

static void folder_make(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void limit_write(const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/module/ublk_drv/parameters/ublks_max", root);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static bool explain(int error)
{
	sentence[0] = '\0';
	return device_limit_explain(error, root, sentence, sizeof(sentence));
}

static void test_before_the_driver(void **state)
{
	(void)state;
	assert_false(explain(EACCES));
	assert_false(explain(EPERM));
	assert_string_equal(sentence, "");
}

static void test_limit(void **state)
{
	static const char *const folders[] = { "module", "module/ublk_drv",
					       "module/ublk_drv/parameters", "class",
					       "class/ublk-char" };

	(void)state;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		folder_make(folders[i]);
	assert_false(explain(EACCES));
	limit_write("2\n");
	folder_make("class/ublk-char/ublkc0");
	assert_false(explain(EACCES)); /* one more is allowed: it is a right that lacks */
	folder_make("class/ublk-char/ublkc12");
	assert_true(explain(EACCES));
	assert_string_equal(sentence,
			    "the kernel's ublk driver allows 2 devices (module parameter "
			    "ublks_max), and 2 exist: disconnect one, or write a larger number to "
			    "/sys/module/ublk_drv/parameters/ublks_max");
	assert_true(explain(EPERM));
	assert_false(explain(EINVAL));
	assert_false(explain(EEXIST));
	limit_write("3\n");
	assert_false(explain(EACCES));
	limit_write("?\n");
	assert_false(explain(EACCES));
}

static void test_numbers(void **state)
{
	(void)state;
	assert_true(explain(ENOSPC));
	assert_string_equal(sentence, "the kernel's ublk driver has no free device number (2 "
				      "devices exist): disconnect a disk first");
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const made[] = { "module/ublk_drv/parameters/ublks_max",
					    "module/ublk_drv/parameters",
					    "module/ublk_drv",
					    "module",
					    "class/ublk-char/ublkc0",
					    "class/ublk-char/ublkc12",
					    "class/ublk-char",
					    "class",
					    "" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, made[i]);
		if (remove(path))
			return -1;
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_the_driver),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
