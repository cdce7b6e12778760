/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/aside.h"
#include "gateway/cli/device_name.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/output.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"
#include "gateway/common/ublk_control.h"
#include "tls/clock.h"

/* What a daemon keeps there. */
static const char *const suffixes[] = { "json", "sock", "udev" };

#define SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

/* The runtime directory may be on a filesystem that hangs; the device is more important than its files. A local one
 * answers at once. */
#define FILES_MS  3000
#define FORGET_MS 2000

/* --- numbers ------------------------------------------------------------------------------------------- */

/* "12.json": true and the number. */
static bool file_number(const char *name, uint32_t *number)
{
	const char *dot = strchr(name, '.');
	char digits[8], error[8];

	if (!dot || dot == name || (size_t)(dot - name) >= sizeof(digits) ||
	    name[strspn(name, "0123456789")] != '.')
		return false;
	for (size_t i = 0; i < SUFFIXES; i++) {
		if (strcmp(dot + 1, suffixes[i]))
			continue;
		memcpy(digits, name, (size_t)(dot - name));
		digits[dot - name] = '\0';
		return device_name_parse(digits, number, error, sizeof(error)) == 0;
	}
	return false;
}

/* "ublkc12": true and the number. */
static bool node_number(const char *name, uint32_t *number)
{
	char error[8];

	return !strncmp(name, "ublkc", 5) &&
	       device_name_parse(name, number, error, sizeof(error)) == 0;
}

static int number_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sorts and drops the doubles. */
static size_t numbers_unique(uint32_t *numbers, size_t count)
{
	size_t kept = 0;

	if (count > 0)
		qsort(numbers, count, sizeof(*numbers), number_compare);
	for (size_t i = 0; i < count; i++) {
		if (!kept || numbers[kept - 1] != numbers[i])
			numbers[kept++] = numbers[i];
	}
	return kept;
}

/* On failure *numbers is NULL. */
static int list_directory(const char *path, bool (*take)(const char *name, uint32_t *number),
			  uint32_t **numbers, size_t *count)
{
	/* For 0.1.0's and the kernel's, too, which callers add. */
	const size_t room = DISKS_MAX * SUFFIXES;
	const struct dirent *entry;
	DIR *directory;

	*count = 0;
	*numbers = malloc(room * sizeof(**numbers));
	if (!*numbers)
		return -ENOMEM;
	directory = opendir(path);
	if (!directory && errno != ENOENT) {
		int error = errno;

		free(*numbers);
		*numbers = NULL;
		return -error;
	}
	while (directory && *count < room && (entry = readdir(directory)) != NULL)
		*count += take(entry->d_name, &(*numbers)[*count]);
	if (directory)
		closedir(directory);
	*count = numbers_unique(*numbers, *count);
	if (*count > DISKS_MAX)
		*count = DISKS_MAX;
	return 0;
}

/* Its names as well: the kernel may have the directory and not what is in it. */
static void touch_directory(const void *unused)
{
	char error[512], path[PATH_MAX];
	DIR *directory;

	(void)unused;
	if (runtime_dir_check(error, sizeof(error)) || runtime_dir_join(path, sizeof(path), ""))
		return;
	directory = opendir(path);
	if (directory && readdir(directory))
		closedir(directory);
}

/* Runs that in a child. Once one does not come back nothing more is looked at there: each would take as long. */
static bool answers(void (*touch)(const void *argument), const void *argument)
{
	static bool hangs;

	hangs = hangs || aside_run(touch, argument, clock_now_ms() + FILES_MS) != 0;
	return !hangs;
}

bool disks_directory_answers(void)
{
	return answers(touch_directory, NULL);
}

static void complain_of_directory(const char *verb)
{
	output_error(verb,
		     "the runtime directory %s does not answer: its file system hangs; 'ublk-nbd "
		     "disconnect N' removes a disk without it",
		     runtime_dir_path());
}

bool disks_may_look(const char *verb)
{
	char error[512];

	if (!disks_directory_answers()) {
		complain_of_directory(verb);
		return false;
	}
	if (!runtime_dir_check(error, sizeof(error)))
		return true;
	output_error(verb, "%s", error);
	return false;
}

int disks_list_kernel(uint32_t **numbers, size_t *count)
{
	return list_directory("/dev", node_number, numbers, count);
}

/* Without that one. */
static size_t numbers_drop(uint32_t *numbers, size_t count, uint32_t number)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (numbers[i] != number)
			numbers[kept++] = numbers[i];
	}
	return kept;
}

/* Adds the kernel's devices that a daemon of ours made: one that was killed while it started has left no
 * file. Drops those that another program made since. Room is there: see list_directory(). */
static void add_tagged(uint32_t *numbers, size_t *count)
{
	struct ublk_control *control;
	uint32_t *kernel = NULL;
	size_t kernel_count = 0;
	char error[400];

	if (ublk_control_open(&control, error, sizeof(error)))
		return;
	if (disks_list_kernel(&kernel, &kernel_count))
		kernel_count = 0;
	for (size_t i = 0; i < kernel_count; i++) {
		struct ublksrv_ctrl_dev_info info;

		if (ublk_control_get_info(control, kernel[i], &info))
			continue;
		if (server_tag_is_ours(info.ublksrv_flags))
			numbers[(*count)++] = kernel[i];
		else
			*count = numbers_drop(numbers, *count, kernel[i]);
	}
	free(kernel);
	ublk_control_close(control);
	*count = numbers_unique(numbers, *count);
}

/* Adds those of version 0.1.0, whose files lie elsewhere. */
static void add_old(uint32_t *numbers, size_t *count)
{
	uint32_t *old = NULL;
	size_t old_count = 0;
	char path[PATH_MAX];

	if (runtime_dir_old_join(path, sizeof(path), "") ||
	    list_directory(path, file_number, &old, &old_count))
		return;
	for (size_t i = 0; i < old_count; i++)
		numbers[(*count)++] = old[i];
	free(old);
	*count = numbers_unique(numbers, *count);
}

int disks_list(uint32_t **numbers, size_t *count)
{
	char path[PATH_MAX];
	int error = runtime_dir_join(path, sizeof(path), "");

	*numbers = NULL;
	if (!error)
		error = list_directory(path, file_number, numbers, count);
	if (error)
		return error;
	add_old(*numbers, count);
	add_tagged(*numbers, count);
	return 0;
}

int disk_tag(uint32_t number, uint64_t *tag)
{
	struct ublksrv_ctrl_dev_info info;
	struct ublk_control *control;
	char error[400];
	int result = ublk_control_open(&control, error, sizeof(error));

	if (result)
		return result == -ENOENT ? -ENODEV : result;
	result = ublk_control_get_info(control, number, &info);
	ublk_control_close(control);
	if (result)
		return result;
	*tag = info.ublksrv_flags;
	return server_tag_is_ours(*tag) ? 0 : -ENXIO;
}

/* --- records ------------------------------------------------------------------------------------------- */

/* 0.1.0's records have the process number alone; 1 and below are signals to everybody, or init. */
static bool record_tag(const json_t *object, uint64_t *tag)
{
	json_int_t pid = json_integer_value(json_object_get(object, "pid"));

	if (json_object_get(object, "identity"))
		return server_tag_parse(json_string_value(json_object_get(object, "identity")),
					tag);
	*tag = server_tag_of_old((pid_t)pid);
	return pid > 1 && pid <= INT_MAX;
}

static int record_read(struct disk_record *record, const json_t *object, char *error,
		       size_t error_bytes)
{
	if (!record_tag(object, &record->tag)) {
		snprintf(error, error_bytes, "it has no valid identity");
		return -EINVAL;
	}
	record->size_bytes = (uint64_t)json_integer_value(json_object_get(object, "size_bytes"));
	record->read_only = json_is_true(json_object_get(object, "read_only"));
	return disk_config_from_json(&record->config, json_object_get(object, "config"), error,
				     error_bytes);
}

/* The number may have been given to another disk since, whose daemon has another runtime directory. */
static bool record_is_stale(const struct disk_record *record)
{
	uint64_t tag;
	int error = disk_tag(record->number, &tag);

	return error == -ENXIO || (!error && tag != record->tag);
}

/* Where N.json is, this version's or 0.1.0's. 0; -ENOENT when there is none. */
static int record_find(char path[PATH_MAX], uint32_t number)
{
	int error = runtime_dir_file(path, PATH_MAX, number, "json");

	if (!error && access(path, F_OK))
		error = -errno;
	if (error != -ENOENT)
		return error;
	error = runtime_dir_old_file(path, PATH_MAX, number, "json");
	return !error && access(path, F_OK) ? -errno : error;
}

/* The record is read, and not only found: a file system may know its names and have lost their bytes. */
static void touch_files(const void *argument)
{
	uint32_t number = *(const uint32_t *)argument;
	char path[PATH_MAX], byte;
	int file;

	if (record_find(path, number))
		return;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0 && read(file, &byte, 1) >= 0)
		close(file);
}

bool disk_files_answer(uint32_t number)
{
	return answers(touch_files, &number);
}

bool disk_may_look(const char *verb, uint32_t number)
{
	if (disk_files_answer(number))
		return true;
	complain_of_directory(verb);
	return false;
}

int disk_record_load(uint32_t number, struct disk_record *record, char *error, size_t error_bytes)
{
	char path[PATH_MAX];
	json_error_t json_error;
	json_t *object;
	int result;

	memset(record, 0, sizeof(*record));
	record->number = number;
	if (!disk_files_answer(number)) {
		snprintf(error, error_bytes, "%s does not answer", runtime_dir_path());
		return -ETIMEDOUT;
	}
	result = record_find(path, number);
	if (result)
		return result;
	object = json_load_file(path, JSON_REJECT_DUPLICATES, &json_error);
	if (!object) {
		snprintf(error, error_bytes, "%s cannot be read: %s", path, json_error.text);
		return -EINVAL;
	}
	result = record_read(record, object, error, error_bytes);
	json_decref(object);
	if (!result && record_is_stale(record)) {
		disk_record_clear(record);
		snprintf(error, error_bytes, "%s is of another disk", path);
		return -ESTALE;
	}
	return result;
}

void disk_record_clear(struct disk_record *record)
{
	disk_config_clear(&record->config);
}

bool disk_has_files(uint32_t number)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < SUFFIXES; i++) {
		if ((!runtime_dir_file(path, sizeof(path), number, suffixes[i]) &&
		     !access(path, F_OK)) ||
		    (!runtime_dir_old_file(path, sizeof(path), number, suffixes[i]) &&
		     !access(path, F_OK)))
			return true;
	}
	return false;
}

static void forget_files(const void *argument)
{
	uint32_t number = *(const uint32_t *)argument;
	char path[PATH_MAX];

	for (size_t i = 0; i < SUFFIXES; i++) {
		if (!runtime_dir_file(path, sizeof(path), number, suffixes[i]))
			unlink(path);
		if (!runtime_dir_old_file(path, sizeof(path), number, suffixes[i]))
			unlink(path);
	}
}

void disk_forget(uint32_t number)
{
	aside_run(forget_files, &number, clock_now_ms() + FORGET_MS);
}

/* A socket in a directory. */
static void forget_server_at(const char *directory)
{
	char path[2 * PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/nbd.sock", directory);
	unlink(path);
	rmdir(directory);
}

/* Somebody still listens there. */
static bool server_lives(const char *directory)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int bytes = snprintf(address.sun_path, sizeof(address.sun_path), "%s/nbd.sock", directory);
	bool lives = fd < 0 || (size_t)bytes >= sizeof(address.sun_path) ||
		     !connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
		     (errno != ECONNREFUSED && errno != ENOENT);

	if (fd >= 0)
		close(fd);
	return lives;
}

/* server-PID-XXXXXX, 0.1.0's. That number may be another daemon's as well, in another pid namespace. */
static void forget_old_server(pid_t pid)
{
	char prefix[40], parent[PATH_MAX], path[2 * PATH_MAX];
	const struct dirent *entry;
	DIR *directory;

	if (runtime_dir_old_join(parent, sizeof(parent), ""))
		return;
	directory = opendir(parent);
	snprintf(prefix, sizeof(prefix), "server-%d-", (int)pid);
	while (directory && (entry = readdir(directory)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
		if (!server_lives(path))
			forget_server_at(path);
	}
	if (directory)
		closedir(directory);
}

/* server-TAG of gateway/common/activation.c. */
static void forget_server(const void *argument)
{
	uint64_t tag = *(const uint64_t *)argument;
	char text[SERVER_TAG_TEXT_BYTES], name[40], path[PATH_MAX];

	if (server_tag_is_old(tag)) {
		forget_old_server(server_tag_old_pid(tag));
		return;
	}
	server_tag_format(tag, text);
	snprintf(name, sizeof(name), "server-%s", text);
	if (!runtime_dir_join(path, sizeof(path), name))
		forget_server_at(path);
}

void disk_forget_server(uint64_t tag)
{
	aside_run(forget_server, &tag, clock_now_ms() + FORGET_MS);
}
