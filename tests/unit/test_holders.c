// SPDX-License-Identifier: MIT
/*
 * Goal: device numbers are read as the kernel writes them, and nothing else is taken for one; a disk that is
 * not there has no users. Method: a table of texts; a number that no machine has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/sysmacros.h>

#include "gateway/common/block_number.h"
#include "gateway/common/holders.h"

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		int base;
		unsigned int major, minor;
	} good[] = {
		{ "259:3", 10, 259, 3 },
		{ "0:0", 10, 0, 0 },
		{ "103:1048575", 10, 103, 1048575 },
		{ "103:0fffff", 16, 259, 1048575 },
	};
	static const char *const bad[] = { "",	   ":",	     "259",	"259:",		":3",
					   "2x:3", "259:3 ", "259:3:4", "99999999999:1" };
	dev_t dev;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(block_number_parse(good[i].text, good[i].base, &dev));
		assert_int_equal(major(dev), good[i].major);
		assert_int_equal(minor(dev), good[i].minor);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(block_number_parse(bad[i], 10, &dev));
	assert_false(block_number_read("/sys/block/no-such-disk", &dev));
}

static void test_no_disk(void **state)
{
	struct holders holders;

	(void)state;
	holders_find(64999, &holders);
	assert_string_equal(holders.text, "");
	assert_false(holders.lasting);
	assert_false(holders.ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_no_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
