/* SPDX-License-Identifier: MIT */
/*
 * Goal: each wire error becomes the right errno, and never success.
 * Method: the protocol's table, then values beside and far from it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proto/error.h"
#include "proto/wire.h"

static void protocol_table(void **state)
{
	static const struct {
		uint32_t wire;
		int errnum;
		const char *name;
	} cases[] = {
		{ 1, EPERM, "NBD_EPERM" },	   { 5, EIO, "NBD_EIO" },
		{ 12, ENOMEM, "NBD_ENOMEM" },	   { 22, EINVAL, "NBD_EINVAL" },
		{ 28, ENOSPC, "NBD_ENOSPC" },	   { 75, EOVERFLOW, "NBD_EOVERFLOW" },
		{ 95, EOPNOTSUPP, "NBD_ENOTSUP" }, { 108, ESHUTDOWN, "NBD_ESHUTDOWN" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(nbd_error_to_errno(cases[i].wire), cases[i].errnum);
		assert_string_equal(nbd_error_name(cases[i].wire), cases[i].name);
	}
}

static void unknown_values_are_einval(void **state)
{
	static const uint32_t values[] = { 2,	4,   6,	   11,	       13,	  107,
					   109, 133, 4096, 0x80000005, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		assert_int_equal(nbd_error_to_errno(values[i]), EINVAL);
		assert_string_equal(nbd_error_name(values[i]), "unknown");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocol_table),
		cmocka_unit_test(unknown_values_are_einval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
