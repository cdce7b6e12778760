/* SPDX-License-Identifier: MIT */
/*
 * files.c - what a disk leaves in the runtime directory for others to read: N.udev for the udev
 * rule, N.json for list and --idempotent. Written whole, under another name, then renamed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"
#include "gateway/disk/disk.h"

int disk_write_file(uint32_t number, const char *suffix, const char *text)
{
	char path[PATH_MAX], draft[PATH_MAX + 8];
	size_t bytes = strlen(text);
	int fd, ret = runtime_dir_file(path, sizeof(path), number, suffix);

	if (ret < 0)
		return ret;
	snprintf(draft, sizeof(draft), "%s.new", path);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, bytes) == (ssize_t)bytes ? 0 : -EIO;
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	if (ret == 0 && rename(draft, path) < 0)
		ret = -errno;
	if (ret < 0)
		unlink(draft);
	return ret;
}

int disk_write_state_file(const struct disk *disk)
{
	char identity[SERVER_TAG_TEXT_BYTES], *text;
	json_t *object;
	int ret;

	server_tag_format(disk->tag, identity);
	object = json_pack("{s:o, s:s, s:i, s:s, s:I, s:b}", "config",
			   disk_config_to_json(&disk->config), "identity", identity, "pid",
			   (int)getpid(), "device", disk->device_path, "size_bytes",
			   (json_int_t)atomic_load(&disk->shared.size_bytes), "read_only",
			   disk->geometry.read_only);
	text = object ? json_dumps(object, JSON_INDENT(1)) : NULL;
	ret = text ? disk_write_file(disk->info.dev_id, "json", text) : -ENOMEM;
	free(text);
	json_decref(object);
	return ret;
}

void disk_remove_files(const struct disk *disk)
{
	static const char *const suffixes[] = { "json", "udev" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (runtime_dir_file(path, sizeof(path), disk->info.dev_id, suffixes[i]) == 0)
			unlink(path);
}

static void announce(const char *directory)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/uevent", directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "change", 6) != 6)
		log_debug("%s: %s", path, strerror(errno));
	close(fd);
}

/* The disk first: its partitions' rules read what the disk's have found. */
void disk_announce(uint32_t number)
{
	char path[64], partition[PATH_MAX];
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u", number);
	announce(path);
	directory = opendir(path);
	while (directory && (entry = readdir(directory)) != NULL) {
		if (strncmp(entry->d_name, "ublkb", 5))
			continue;
		snprintf(partition, sizeof(partition), "%s/%s", path, entry->d_name);
		announce(partition);
	}
	if (directory)
		closedir(directory);
}
