/* SPDX-License-Identifier: MIT */
/*
 * runtime_folder.h - a runtime directory for one test program, below /tmp: its group's setup and teardown.
 */
#ifndef TESTS_UNIT_RUNTIME_FOLDER_H
#define TESTS_UNIT_RUNTIME_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/common/runtime_dir.h"

#define RUNTIME_FOLDER_UNUSED __attribute__((unused))

static char runtime_folder[] = "/tmp/ublk-nbd-test-XXXXXX";

static int runtime_folder_make(void **state)
{
	char error[400];

	(void)state;
	if (!mkdtemp(runtime_folder) || setenv("UBLK_NBD_RUNTIME_DIR", runtime_folder, 1))
		return -1;
	return runtime_dir_prepare(error, sizeof(error));
}

/* Fails where a test left something in it. */
static int runtime_folder_remove(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", runtime_folder);
	return rmdir(path) || rmdir(runtime_folder);
}

static int runtime_folder_count_of(const char *path)
{
	DIR *dir = opendir(path);
	int count = -2;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* How many files there are, beside "state" and in it. */
RUNTIME_FOLDER_UNUSED static int runtime_folder_count(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/state", runtime_folder);
	return runtime_folder_count_of(runtime_folder) - 1 + runtime_folder_count_of(path);
}

#endif
