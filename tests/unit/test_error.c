/* SPDX-License-Identifier: MIT */
/*
 * Goal: each wire error becomes an errno that the block layer takes for a failure and nothing else, by the
 * command that failed. Method: the whole table of (command, error), then values beside and far from
 * the protocol's, and every errno that some kernel's block layer acts upon.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proto/error.h"
#include "proto/wire.h"

static const uint16_t plain[] = { NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_DISC, NBD_CMD_FLUSH,
				  NBD_CMD_CACHE };
static const uint16_t optional[] = { NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void protocol_table(void **state)
{
	static const struct {
		uint32_t wire;
		int plain_errnum, optional_errnum;
		const char *name;
	} cases[] = {
		{ 1, EIO, EIO, "NBD_EPERM" },		{ 5, EIO, EIO, "NBD_EIO" },
		{ 12, EIO, EIO, "NBD_ENOMEM" },		{ 22, EIO, EIO, "NBD_EINVAL" },
		{ 28, ENOSPC, ENOSPC, "NBD_ENOSPC" },	{ 75, EIO, EIO, "NBD_EOVERFLOW" },
		{ 95, EIO, EOPNOTSUPP, "NBD_ENOTSUP" }, { 108, EIO, EIO, "NBD_ESHUTDOWN" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t c = 0; c < COUNT(plain); c++)
			assert_int_equal(nbd_error_to_errno(plain[c], cases[i].wire),
					 cases[i].plain_errnum);
		for (size_t c = 0; c < COUNT(optional); c++)
			assert_int_equal(nbd_error_to_errno(optional[c], cases[i].wire),
					 cases[i].optional_errnum);
		assert_string_equal(nbd_error_name(cases[i].wire), cases[i].name);
	}
}

static void assert_is_unknown(uint32_t wire)
{
	for (size_t c = 0; c < COUNT(plain); c++)
		assert_int_equal(nbd_error_to_errno(plain[c], wire), EIO);
	for (size_t c = 0; c < COUNT(optional); c++)
		assert_int_equal(nbd_error_to_errno(optional[c], wire), EIO);
	assert_string_equal(nbd_error_name(wire), "unknown");
}

static void unknown_values_are_eio(void **state)
{
	static const uint32_t values[] = { 2,	6,   13,   76,	       94,	   96,	      107,
					   109, 133, 4096, 0x80000005, 0xffffffa1, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++)
		assert_is_unknown(values[i]);
}

/* A server may send its own system's errno as it is: a number that means something to the block layer and
 * nothing to the protocol is a failure like any other. */
static void what_the_block_layer_acts_upon_is_eio(void **state)
{
	static const int errnums[] = { ETIMEDOUT,   EREMOTEIO, EILSEQ, ENODATA, ENOLINK,
				       EBADE,	    EBUSY,     EAGAIN, EREMCHG, ETOOMANYREFS,
				       EINPROGRESS, ENODEV,    ETIME,  524 /* ENOTSUPP */ };

	(void)state;
	for (size_t i = 0; i < COUNT(errnums); i++)
		assert_is_unknown((uint32_t)errnums[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocol_table),
		cmocka_unit_test(unknown_values_are_eio),
		cmocka_unit_test(what_the_block_layer_acts_upon_is_eio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
