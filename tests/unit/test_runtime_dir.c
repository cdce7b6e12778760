/* SPDX-License-Identifier: MIT */
/*
 * Goal: what running disks have lies in a directory that we made for us alone; one that was there keeps its
 * permissions, and what others made, own, may write to or lead elsewhere is refused with the remedy.
 * Method: directories of each kind; who is not root skips what takes another user.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/common/runtime_dir.h"

#define STRANGER 65534

static char folder[] = "/tmp/test-runtime-XXXXXX";
static char runtime[64], state_path[80];
static char sentence[512];

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static int prepare(void)
{
	sentence[0] = '\0';
	return runtime_dir_prepare(sentence, sizeof(sentence));
}

/* Both, and the sentence, which names path and holds word; no path leads there either. */
static void assert_refused(int error, const char *path, const char *word)
{
	char out[128];

	assert_int_equal(prepare(), error);
	if (!strstr(sentence, path) || !strstr(sentence, word))
		fail_msg("'%s' does not say '%s' of %s", sentence, word, path);
	sentence[0] = '\0';
	assert_int_equal(runtime_dir_check(sentence, sizeof(sentence)), error);
	assert_non_null(strstr(sentence, word));
	assert_int_equal(runtime_dir_file(out, sizeof(out), 0, "sock"), error);
}

static void test_made(void **state)
{
	char out[128];

	(void)state;
	assert_int_equal(runtime_dir_check(sentence, sizeof(sentence)), 0);
	assert_int_equal(access(runtime, F_OK), -1);
	assert_int_equal(prepare(), 0);
	assert_int_equal(mode_of(runtime), 0700);
	assert_int_equal(mode_of(state_path), 0700);
	assert_int_equal(prepare(), 0);
	assert_int_equal(runtime_dir_check(sentence, sizeof(sentence)), 0);
	assert_int_equal(runtime_dir_file(out, sizeof(out), 65535, "sock"), 0);
	assert_string_equal(out + strlen(state_path), "/65535.sock");
	assert_int_equal(runtime_dir_join(out, sizeof(out), ""), 0);
	assert_string_equal(out, state_path);
	assert_int_equal(runtime_dir_join(out, strlen(state_path), ""), -ENAMETOOLONG);
}

static void test_there_before(void **state)
{
	static const mode_t modes[] = { 0700, 0755, 01777, 02755, 0711 };

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(mkdir(runtime, 0700), 0);
		assert_int_equal(chmod(runtime, modes[i]), 0);
		assert_int_equal(prepare(), 0);
		assert_int_equal(mode_of(runtime), modes[i]);
		assert_int_equal(mode_of(state_path) & 0777, 0700);
		assert_int_equal(runtime_dir_check(sentence, sizeof(sentence)), 0);
		assert_int_equal(rmdir(state_path) || rmdir(runtime), 0);
	}
}

static void test_umask(void **state)
{
	mode_t before = umask(0377);
	int error;

	(void)state;
	assert_int_equal(mkdir(runtime, 0700) || chmod(runtime, 0755), 0);
	error = prepare();
	umask(before);
	assert_int_equal(error, 0);
	assert_int_equal(mode_of(state_path), 0700);
}

static void test_others_may_write(void **state)
{
	static const mode_t modes[] = { 0777, 0775, 0722 };

	(void)state;
	assert_int_equal(mkdir(runtime, 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(runtime, modes[i]), 0);
		assert_refused(-EPERM, runtime, "chmod go-w");
		assert_int_equal(mode_of(runtime), modes[i]);
		assert_int_equal(access(state_path, F_OK), -1);
	}
}

static void test_state_of_others(void **state)
{
	static const mode_t modes[] = { 0755, 0777, 0750, 0701, 0500 };

	(void)state;
	assert_int_equal(mkdir(runtime, 0755) || mkdir(state_path, 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(state_path, modes[i]), 0);
		assert_refused(-EPERM, state_path, "chmod it to 0700");
		assert_int_equal(mode_of(state_path), modes[i]);
	}
	assert_int_equal(chmod(state_path, 0700), 0);
	assert_int_equal(prepare(), 0);
	if (geteuid())
		skip();
	assert_int_equal(chown(state_path, STRANGER, STRANGER), 0);
	assert_refused(-EPERM, state_path, "belongs to uid 65534");
	assert_int_equal(chown(state_path, 0, 0), 0);
	assert_int_equal(chown(runtime, STRANGER, STRANGER), 0);
	assert_refused(-EPERM, runtime, "belongs to uid 65534");
}

static void test_links(void **state)
{
	char elsewhere[80];

	(void)state;
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", folder);
	assert_int_equal(mkdir(elsewhere, 0700) || mkdir(runtime, 0700), 0);
	assert_int_equal(symlink(elsewhere, state_path), 0);
	assert_refused(-ENOTDIR, state_path, "a link");
	assert_int_equal(unlink(state_path), 0);
	assert_int_equal(rmdir(runtime) || symlink(elsewhere, runtime), 0);
	assert_refused(-ENOTDIR, runtime, "a link");
	assert_int_equal(unlink(runtime) || rmdir(elsewhere), 0);
	assert_int_equal(close(creat(runtime, 0600)), 0);
	assert_refused(-ENOTDIR, runtime, "not a directory");
	assert_int_equal(unlink(runtime), 0);
}

static void test_paths(void **state)
{
	char longest[120];

	(void)state;
	setenv("UBLK_NBD_RUNTIME_DIR", "run/here", 1);
	assert_refused(-EINVAL, "run/here", "not an absolute path");
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[91] = '\0'; /* with /state/65535.sock one more than sun_path takes */
	setenv("UBLK_NBD_RUNTIME_DIR", longest, 1);
	assert_refused(-ENAMETOOLONG, "UBLK_NBD_RUNTIME_DIR", "90 are allowed");
	longest[90] = '\0';
	setenv("UBLK_NBD_RUNTIME_DIR", longest, 1);
	assert_int_equal(runtime_dir_check(sentence, sizeof(sentence)), 0);
	setenv("UBLK_NBD_RUNTIME_DIR", runtime, 1);
}

/* 0.1.0's files count only where nobody else may have put them. */
static void test_old_files(void **state)
{
	char out[128];

	(void)state;
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(runtime_dir_old_file(out, sizeof(out), 7, "json"), 0);
	assert_string_equal(out + strlen(runtime), "/7.json");
	assert_int_equal(chmod(runtime, 01777), 0);
	assert_int_equal(runtime_dir_old_file(out, sizeof(out), 7, "json"), -ENOENT);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(runtime, sizeof(runtime), "%s/run", folder);
	snprintf(state_path, sizeof(state_path), "%s/state", runtime);
	return setenv("UBLK_NBD_RUNTIME_DIR", runtime, 1);
}

static int tear_down(void **state)
{
	(void)state;
	rmdir(state_path);
	rmdir(runtime);
	return 0;
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_made),  TEST(test_there_before),    TEST(test_umask),
		TEST(test_paths), TEST(test_old_files),	      TEST(test_others_may_write),
		TEST(test_links), TEST(test_state_of_others),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
