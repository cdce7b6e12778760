/* SPDX-License-Identifier: MIT */
/*
 * Goal: a disk's memory is weighed against what the process may really take: the machine's, or a control
 * group's, whichever is less, at every depth and as containers see it.
 * Method: folders that stand for /, with the files of /proc and of the groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/disk/memory_room.h"

#define FILES_MAX 12
#define MIB	  (UINT64_C(1) << 20)
#define UNLIMITED "9223372036854771712\n"
#define MACHINE                                                                                    \
	{                                                                                          \
		"/proc/meminfo", "MemTotal: 4096 kB\nMemAvailable:    1048576 kB\n"                \
	}
#define V2_MOUNT "25 22 0:21 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define OTHERS	 "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:5 / /dev rw - devtmpfs udev rw\n"

struct file {
	const char *path, *text;
};

static const struct {
	const char *name;
	struct file files[FILES_MAX];
	uint64_t room_mib, limit_mib;
	const char *limit_path;
} cases[] = {
	{ "no group", { MACHINE }, 1024, 0, "" },
	{ "nothing is limited",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a/b\n" },
	    { "/proc/self/mountinfo", OTHERS V2_MOUNT },
	    { "/sys/fs/cgroup/a/b/memory.max", "max\n" },
	    { "/sys/fs/cgroup/a/memory.max", "max\n" } },
	  1024,
	  0,
	  "" },
	{ "our own group",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a/b\n" },
	    { "/proc/self/mountinfo", OTHERS V2_MOUNT },
	    { "/sys/fs/cgroup/a/b/memory.max", "134217728\n" },
	    { "/sys/fs/cgroup/a/b/memory.current", "67108864\n" },
	    { "/sys/fs/cgroup/a/memory.max", "max\n" } },
	  64,
	  128,
	  "/sys/fs/cgroup/a/b/memory.max" },
	{ "what is cache can be had",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a\n" },
	    { "/proc/self/mountinfo", V2_MOUNT },
	    { "/sys/fs/cgroup/a/memory.max", "134217728\n" },
	    { "/sys/fs/cgroup/a/memory.current", "134217728\n" },
	    { "/sys/fs/cgroup/a/memory.stat",
	      "anon 1\nfile 1\ninactive_file 67108864\nactive_file 33554432\n" } },
	  96,
	  128,
	  "/sys/fs/cgroup/a/memory.max" },
	{ "a group above us",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a/b/c\n" },
	    { "/proc/self/mountinfo", V2_MOUNT },
	    { "/sys/fs/cgroup/a/b/c/memory.max", "536870912\n" },
	    { "/sys/fs/cgroup/a/b/memory.max", "max\n" },
	    { "/sys/fs/cgroup/a/memory.max", "33554432\n" },
	    { "/sys/fs/cgroup/a/memory.current", "0\n" } },
	  32,
	  32,
	  "/sys/fs/cgroup/a/memory.max" },
	{ "memory.high slows its group down",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a\n" },
	    { "/proc/self/mountinfo", V2_MOUNT },
	    { "/sys/fs/cgroup/a/memory.max", "134217728\n" },
	    { "/sys/fs/cgroup/a/memory.high", "16777216\n" } },
	  16,
	  16,
	  "/sys/fs/cgroup/a/memory.high" },
	{ "a container's own group is the top of its namespace",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/\n" },
	    { "/proc/self/mountinfo", V2_MOUNT },
	    { "/sys/fs/cgroup/memory.max", "67108864\n" },
	    { "/sys/fs/cgroup/memory.current", "134217728\n" } },
	  0,
	  64,
	  "/sys/fs/cgroup/memory.max" },
	{ "a container without a namespace sees its own group mounted",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/system.slice/docker-1.scope\n" },
	    { "/proc/self/mountinfo", "25 22 0:21 /system.slice/docker-1.scope /sys/fs/cgroup ro - "
				      "cgroup2 cgroup rw\n" },
	    { "/sys/fs/cgroup/memory.max", "67108864\n" } },
	  64,
	  64,
	  "/sys/fs/cgroup/memory.max" },
	{ "a namespace entered from outside",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/../other\n" },
	    { "/proc/self/mountinfo", V2_MOUNT },
	    { "/sys/fs/cgroup/memory.max", "67108864\n" } },
	  64,
	  64,
	  "/sys/fs/cgroup/memory.max" },
	{ "version 1, its own mount among others",
	  { MACHINE,
	    { "/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/y\n" },
	    { "/proc/self/mountinfo",
	      "30 22 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	      "31 22 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	      "32 22 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" },
	    { "/sys/fs/cgroup/memory/memory.limit_in_bytes", UNLIMITED },
	    { "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100663296\n" },
	    { "/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "50331648\n" },
	    { "/sys/fs/cgroup/memory/a/memory.stat",
	      "inactive_file 1\ntotal_inactive_file 16777216\n" },
	    { "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", UNLIMITED } },
	  64,
	  96,
	  "/sys/fs/cgroup/memory/a/memory.limit_in_bytes" },
	{ "version 1 in a container",
	  { MACHINE,
	    { "/proc/self/cgroup", "4:memory:/docker/1\n" },
	    { "/proc/self/mountinfo", "31 22 0:31 /docker/1 /sys/fs/cgroup/memory ro - cgroup "
				      "memory rw,memory\n" },
	    { "/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n" } },
	  64,
	  64,
	  "/sys/fs/cgroup/memory/memory.limit_in_bytes" },
	{ "mounted elsewhere, with a blank in its name",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a\n" },
	    { "/proc/self/mountinfo", "25 22 0:21 / /my\\040groups rw - cgroup2 none rw\n" },
	    { "/my groups/a/memory.max", "67108864\n" } },
	  64,
	  64,
	  "/my groups/a/memory.max" },
	{ "more than the machine has is no limit",
	  { MACHINE,
	    { "/proc/self/cgroup", "0::/a\n" },
	    { "/proc/self/mountinfo", V2_MOUNT },
	    { "/sys/fs/cgroup/a/memory.max", "107374182400\n" } },
	  1024,
	  0,
	  "" },
	{ "lines that are none",
	  { MACHINE,
	    { "/proc/self/cgroup", "\n0\n0:\n::\nnonsense\n" },
	    { "/proc/self/mountinfo", "- cgroup2\n\n1 2 3\n - cgroup2 x\n" } },
	  1024,
	  0,
	  "" },
};

static void put_file(const char *root, const struct file *file)
{
	char path[1024];
	FILE *out;

	snprintf(path, sizeof(path), "%s%s", root, file->path);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	out = fopen(path, "we");
	assert_non_null(out);
	fputs(file->text, out);
	fclose(out);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static void the_least_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char root[] = "/tmp/test-memory-room-XXXXXX";
		struct memory_room room;

		assert_non_null(mkdtemp(root));
		for (size_t f = 0; f < FILES_MAX && cases[i].files[f].path; f++)
			put_file(root, &cases[i].files[f]);
		memory_room_look(root, &room);
		assert_int_equal(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
		if (room.bytes != cases[i].room_mib * MIB ||
		    room.limit_bytes != cases[i].limit_mib * MIB ||
		    strcmp(room.limit_path, cases[i].limit_path))
			fail_msg("%s: %llu bytes, limit %llu in '%s'", cases[i].name,
				 (unsigned long long)room.bytes,
				 (unsigned long long)room.limit_bytes, room.limit_path);
	}
}

static void nothing_is_known(void **state)
{
	struct memory_room room;

	(void)state;
	memory_room_look("/nonexistent", &room);
	assert_true(room.bytes == UINT64_MAX);
	assert_int_equal(room.limit_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_counts),
		cmocka_unit_test(nothing_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
