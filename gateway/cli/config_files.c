/* SPDX-License-Identifier: MIT */
#include "gateway/cli/config_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gateway/cli/config_reader.h"

#define MAIN_NAME "ublk-nbd.conf"
#define DROP_INS  "conf.d"
#define SUFFIX	  ".conf"

/* Highest first. */
static const char *const directories[] = { "/etc/ublk-nbd", "/run/ublk-nbd", "/usr/lib/ublk-nbd" };

/* The drop-ins that count, by name. */
struct drop_ins {
	struct drop_in {
		char name[NAME_MAX + 1];
		char *path;
	} * items;
	size_t count;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FAULT(config, path, ...)                                                                   \
	config_fault_add(config, CONFIG_ALL, (struct config_place){ path, 0 }, __VA_ARGS__)

/* --- a file ------------------------------------------------------------------------------------------------- */

/* Whether nobody but root, or the caller, may change what st is of. */
static bool is_trusted(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static bool trust_check(struct config *config, const char *path, const struct stat *st)
{
	if (is_trusted(st))
		return true;
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		FAULT(config, path, "has mode %04o: others may write to it (chmod go-w)",
		      st->st_mode & 07777);
	else
		FAULT(config, path, "is user %u's, and must be root's", st->st_uid);
	return false;
}

static bool directory_is_trusted(struct config *config, const char *path)
{
	struct stat st = { 0 };
	const char *copy;

	if (!stat(path, &st) && is_trusted(&st))
		return true;
	copy = config_file_add(config, path);
	return copy && trust_check(config, copy, &st);
}

/* Who may write to the directory that file is in, or to the one above conf.d, may put another file in its place. */
static bool directory_check(struct config *config, const char *file)
{
	char path[PATH_MAX], *name;

	snprintf(path, sizeof(path), "%.*s", (int)(strrchr(file, '/') - file), file);
	if (!directory_is_trusted(config, path))
		return false;
	name = strrchr(path, '/');
	if (!name || strcmp(name + 1, DROP_INS))
		return true;
	*name = '\0';
	return directory_is_trusted(config, path);
}

static bool is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Whether the file is one that can be read and believed. */
static bool file_check(struct config *config, const char *path, int fd, struct stat *st)
{
	if (fstat(fd, st))
		FAULT(config, path, "cannot be looked at: %s", strerror(errno));
	else if (!S_ISREG(st->st_mode))
		FAULT(config, path, "is not a regular file");
	else if (st->st_size > CONFIG_FILE_BYTES_MAX)
		FAULT(config, path, "has %lld bytes: %u are allowed", (long long)st->st_size,
		      CONFIG_FILE_BYTES_MAX);
	else
		return trust_check(config, path, st) && directory_check(config, path);
	return false;
}

static void fd_read(struct config *config, const char *path, int fd, size_t size_bytes)
{
	char *bytes = malloc(size_bytes + 1);
	ssize_t count;

	if (!bytes) {
		config->out_of_memory = true;
		return;
	}
	count = pread(fd, bytes, size_bytes, 0);
	if (count < 0)
		FAULT(config, path, "cannot be read: %s", strerror(errno));
	else
		config_reader_read(config, path, bytes, (size_t)count);
	free(bytes);
}

/* false: there is no such file. */
static bool file_read(struct config *config, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int error = errno;
	const char *copy;
	struct stat st;

	if (fd < 0 && (error == ENOENT || error == ENOTDIR))
		return false;
	copy = config_file_add(config, path);
	if (fd < 0) {
		if (copy)
			FAULT(config, copy, "cannot be opened: %s", strerror(error));
		return true;
	}
	if (copy && !(fstat(fd, &st) == 0 && is_null_device(&st)) &&
	    file_check(config, copy, fd, &st))
		fd_read(config, copy, fd, (size_t)st.st_size);
	close(fd);
	return true;
}

/* --- which ones --------------------------------------------------------------------------------------------- */

static bool is_drop_in(const char *name)
{
	size_t bytes = strlen(name);

	return name[0] != '.' && bytes > strlen(SUFFIX) &&
	       !strcmp(name + bytes - strlen(SUFFIX), SUFFIX);
}

static bool drop_in_is_known(const struct drop_ins *drop_ins, const char *name)
{
	for (size_t i = 0; i < drop_ins->count; i++)
		if (!strcmp(drop_ins->items[i].name, name))
			return true;
	return false;
}

static void drop_in_add(struct config *config, struct drop_ins *drop_ins, const char *directory,
			const char *name)
{
	struct drop_in *larger;

	if (!is_drop_in(name) || drop_in_is_known(drop_ins, name))
		return;
	larger = drop_ins->count < CONFIG_FILES_MAX
			 ? reallocarray(drop_ins->items, drop_ins->count + 1, sizeof(*larger))
			 : NULL;
	if (larger)
		drop_ins->items = larger;
	if (!larger || asprintf(&larger[drop_ins->count].path, "%s/%s", directory, name) < 0) {
		config->out_of_memory = true;
		return;
	}
	larger += drop_ins->count++;
	snprintf(larger->name, sizeof(larger->name), "%s", name);
}

static void drop_ins_collect(struct config *config, struct drop_ins *drop_ins,
			     const char *directory)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	const char *copy;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/" DROP_INS, directory);
	dir = opendir(path);
	if (!dir && errno != ENOENT && errno != ENOTDIR) {
		int error = errno;

		copy = config_file_add(config, path);
		if (copy)
			FAULT(config, copy, "cannot be listed: %s", strerror(error));
	}
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		drop_in_add(config, drop_ins, path, entry->d_name);
	closedir(dir);
}

static int drop_in_compare(const void *a, const void *b)
{
	return strcmp(((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

static void drop_ins_read(struct config *config, const char *const *from, size_t count)
{
	struct drop_ins drop_ins = { 0 };

	for (size_t i = 0; i < count; i++)
		drop_ins_collect(config, &drop_ins, from[i]);
	if (drop_ins.count)
		qsort(drop_ins.items, drop_ins.count, sizeof(*drop_ins.items), drop_in_compare);
	for (size_t i = 0; i < drop_ins.count; i++) {
		file_read(config, drop_ins.items[i].path);
		free(drop_ins.items[i].path);
	}
	free(drop_ins.items);
}

static void main_read(struct config *config, const char *const *from, size_t count)
{
	char path[PATH_MAX];
	bool found = false;

	for (size_t i = 0; i < count && !found; i++) {
		snprintf(path, sizeof(path), "%s/" MAIN_NAME, from[i]);
		found = file_read(config, path);
	}
}

static void find_collisions(struct config *config)
{
	for (size_t i = CONFIG_DEFAULTS + 1; i < config->section_count; i++) {
		for (size_t j = CONFIG_DEFAULTS + 1; j < i; j++) {
			const struct config_section *one = &config->sections[j];
			const struct config_section *other = &config->sections[i];

			if (!disk_name_collides(one->name, other->name))
				continue;
			config_fault_add(
				config, i, other->place,
				"[disk %s] is the link of a partition of [disk %s], or the "
				"other way round: choose another name",
				other->name, one->name);
		}
	}
}

int config_load_from(const char *const *from, size_t count, struct config *config)
{
	config_init(config);
	main_read(config, from, count);
	drop_ins_read(config, from, count);
	find_collisions(config);
	if (!config->out_of_memory)
		return 0;
	config_clear(config);
	return -ENOMEM;
}

int config_load(const char *directory, struct config *config)
{
	int result = directory ? config_load_from(&directory, 1, config)
			       : config_load_from(directories, COUNT(directories), config);
	struct stat st;

	if (!result && directory && (stat(directory, &st) || !S_ISDIR(st.st_mode)))
		FAULT(config, directory, "is not a directory");
	return result;
}
