/* SPDX-License-Identifier: MIT */
/*
 * Goal: a disk that is swap is known as such: itself, a partition, a device that is made of it; and no
 * other one.
 * Method: folders that stand for /, with /proc/swaps and sysfs as the kernel has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/common/swap.h"

static char root[] = "/tmp/test-swap-XXXXXX";

static int set_up(void **state)
{
	/* A partition of ublkb1; a mapping of that; a mapping of the mapping; itself a slave of itself. */
	static const char *const folders[] = {
		"proc",
		"sys",
		"sys/class",
		"sys/class/block",
		"sys/devices",
		"sys/devices/ublkb1",
		"sys/devices/ublkb1/ublkb1p2",
		"sys/devices/dm-0",
		"sys/devices/dm-0/slaves",
		"sys/devices/dm-0/slaves/ublkb1p2",
		"sys/devices/dm-1",
		"sys/devices/dm-1/slaves",
		"sys/devices/dm-1/slaves/dm-0",
		"sys/devices/dm-2",
		"sys/devices/dm-2/slaves",
		"sys/devices/dm-2/slaves/dm-2",
	};
	static const char *const links[][2] = {
		{ "ublkb1", "ublkb1" }, { "ublkb1/ublkb1p2", "ublkb1p2" },
		{ "dm-0", "dm-0" },	{ "dm-1", "dm-1" },
		{ "dm-2", "dm-2" },
	};
	char path[300], target[300];

	(void)state;
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(target, sizeof(target), "../../devices/%s", links[i][0]);
		snprintf(path, sizeof(path), "%s/sys/class/block/%s", root, links[i][1]);
		assert_int_equal(symlink(target, path), 0);
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void what_is_swap(void **state)
{
	static const struct {
		const char *lines, *disk;
		bool is;
	} cases[] = {
		{ "", "ublkb1", false },
		{ "/dev/ublkb1 partition 100 0 -2\n", "ublkb1", true },
		{ "/dev/ublkb1 partition 100 0 -2\n", "ublkb0", false },
		{ "/dev/ublkb10 partition 100 0 -2\n", "ublkb1", false },
		{ "/dev/sda2 partition 1 0 -1\n/dev/ublkb1p2 partition 100 0 -2\n", "ublkb1",
		  true },
		{ "/dev/ublkb1p2 partition 100 0 -2\n", "ublkb", false },
		{ "/dev/dm-0 partition 100 0 -2\n", "ublkb1", true },
		{ "/dev/dm-1 partition 100 0 -2\n", "ublkb1", true },
		{ "/dev/dm-2 partition 100 0 -2\n", "ublkb1", false },
		{ "/mnt/ublkb1 file 100 0 -2\n", "ublkb1", false },
		{ "nonsense\n\n", "ublkb1", false },
	};
	char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/proc/swaps", root);
	assert_false(swap_is_on(root, "ublkb1"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *file = fopen(path, "we");

		assert_non_null(file);
		fprintf(file, "Filename Type Size Used Priority\n%s", cases[i].lines);
		fclose(file);
		if (swap_is_on(root, cases[i].disk) != cases[i].is)
			fail_msg("%s in %s", cases[i].disk, cases[i].lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_swap) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
