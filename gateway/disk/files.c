/* SPDX-License-Identifier: MIT */
/*
 * files.c - a disk's files in the runtime directory (state_file.h): when they are written and removed, and by whom.
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
#include "gateway/common/server_tag.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/state_file.h"

/* The runtime directory may be on a filesystem that hangs. */
#define FILES_MS 2000

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
	ret = text ? state_file_write(disk->info.dev_id, "json", text) : -ENOMEM;
	free(text);
	json_decref(object);
	return ret;
}

/* The size that others read. A file that is not written in time keeps the old one. */
static void note(struct disk *disk, const struct attendant_request *request, const char *what)
{
	struct attendant_answer answer;
	int ret = attendant_call(&disk->attendant, request, &answer, FILES_MS);

	if (ret == 0)
		ret = answer.result;
	if (ret < 0)
		log_warning("the new %s cannot be noted in the runtime directory: %s", what,
			    strerror(-ret));
}

void disk_note_size(struct disk *disk)
{
	const struct attendant_request request = {
		.verb = ATTENDANT_NOTE_SIZE,
		.dev_id = disk->info.dev_id,
		.size_bytes = atomic_load(&disk->shared.size_bytes),
	};

	note(disk, &request, "size");
}

void disk_note_times(struct disk *disk)
{
	const struct attendant_request request = {
		.verb = ATTENDANT_NOTE_TIMES,
		.dev_id = disk->info.dev_id,
		.timeout_ms = disk->config.timeout_ms,
		.dead_timeout_ms = disk->config.dead_timeout_ms,
	};

	note(disk, &request, "times");
}

/*
 * The device is stopped and its char device closed, so that a thread may stand in for the attendant: one that hangs
 * keeps this process, and nothing of the disk. What is still to be removed when the time is up may be removed later,
 * or stay: whoever reads such files compares their identity with the driver's.
 */
bool disk_remove_files(struct disk *disk)
{
	struct attendant_request request = {
		.verb = ATTENDANT_FORGET,
		.dev_id = disk->info.dev_id,
	};
	struct attendant_answer answer;
	int ret = attendant_call(&disk->attendant, &request, &answer, FILES_MS);

	if (ret < 0 && ret != -ETIMEDOUT && attendant_stand_in(&disk->attendant) == 0)
		ret = attendant_call(&disk->attendant, &request, &answer, FILES_MS);
	if (ret < 0)
		log_warning("the disk's files in the runtime directory are left there: %s",
			    strerror(-ret));
	return ret == 0;
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
