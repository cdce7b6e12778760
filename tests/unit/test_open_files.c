/* SPDX-License-Identifier: MIT */
/*
 * Goal: whoever ends for lack of file descriptors, the process's or the machine's, says so and what to do.
 * Method: an open() of this test's, which fails as it is told; RLIMIT_NOFILE for the real one's EMFILE is what
 * tests/cli/test-no-disks.sh has. (ENFILE would take the whole machine's files.)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/common/open_files.h"

static int open_errno;

/* The linker gives this to open_files.c: a program's function comes before libc's. fcntl.h would make it
 * another one here. */
int open(const char *path, int flags, ...);

int open(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	errno = open_errno;
	return open_errno ? -1 : 1000;
}

static void test_shortage(void **state)
{
	(void)state;
	open_errno = ENFILE;
	assert_int_equal(open_files_shortage(), ENFILE);
	open_errno = EMFILE;
	assert_int_equal(open_files_shortage(), EMFILE);
	open_errno = ENOENT;
	assert_int_equal(open_files_shortage(), 0);
	open_errno = 0;
	assert_int_equal(open_files_shortage(), 0);
}

static void remedy(const char *before, const char *want)
{
	char sentence[200];

	snprintf(sentence, sizeof(sentence), "%s", before);
	open_files_add_remedy(sentence, sizeof(sentence));
	assert_string_equal(sentence, want);
}

static void test_sentences(void **state)
{
	char small[40];

	(void)state;
	remedy("cannot make a ring: Too many open files in system",
	       "cannot make a ring: Too many open files in system: raise the sysctl fs.file-max, "
	       "or end what holds so many");
	remedy("cannot make a ring: Too many open files",
	       "cannot make a ring: Too many open files: raise RLIMIT_NOFILE (ulimit -n)");
	remedy("Too many open files in system are there",
	       "Too many open files in system are there");
	remedy("no such thing", "no such thing");
	remedy("", "");
	/* Without room for the remedy the sentence stays whole. */
	snprintf(small, sizeof(small), "%s", strerror(ENFILE));
	open_files_add_remedy(small, sizeof(small));
	assert_string_equal(small, strerror(ENFILE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shortage),
		cmocka_unit_test(test_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
