/* SPDX-License-Identifier: MIT */
#include "gateway/disk/link.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "gateway/common/runtime_dir.h"
#include "gateway/disk/ready.h"
#include "gateway/disk/state_file.h"
#include "tls/clock.h"

/* Of its own: who connects with --idempotent holds "lock" until we are usable. It is held for an instant. */
#define LOCK_NAME     "links.lock"
#define LOCK_WAIT_MS  2000
#define LOCK_PAUSE_MS 5
#define FILE_BYTES    LINK_FILE_BYTES_MAX

/* --- the text ------------------------------------------------------------------------------------- */

struct text {
	char *out;
	size_t used;
	bool full;
};

static void text_put(struct text *text, const char *bytes)
{
	size_t count = strlen(bytes);

	if (text->used + count > LINK_TEXT_BYTES_MAX) {
		text->full = true;
		return;
	}
	memcpy(text->out + text->used, bytes, count + 1);
	text->used += count;
}

static bool is_plain(const struct text *text, const char *at)
{
	if (*at == '.')
		return text->used > 0;
	if (*at == '-')
		return strncmp(at, "-part", 5) != 0;
	return (*at & 0x80) == 0 && (isalnum((unsigned char)*at) || *at == '_');
}

static void text_encode(struct text *text, const char *part)
{
	for (; *part && !text->full; part++) {
		char encoded[4] = { *part };

		if (!is_plain(text, part))
			snprintf(encoded, sizeof(encoded), "=%02X", (unsigned char)*part);
		text_put(text, encoded);
	}
}

static void text_encode_number(struct text *text, uint32_t number)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", number);
	text_encode(text, digits);
}

int link_text(const struct disk_config *config, char out[LINK_TEXT_BYTES_MAX + 1])
{
	const struct nbd_uri *target = &config->target;
	struct text text = { .out = out };

	out[0] = '\0';
	if (config->name[0]) {
		text_put(&text, config->name);
		return 0;
	}
	if (config->command[0])
		return -ENOENT;
	if (target->transport == NBD_TRANSPORT_TCP) {
		text_encode(&text, target->host);
		text_put(&text, ":");
		text_encode(&text, target->port);
	} else if (target->transport == NBD_TRANSPORT_UNIX) {
		text_put(&text, "unix+");
		text_encode(&text, target->socket_path);
	} else {
		text_put(&text, "vsock+");
		text_encode_number(&text, target->vsock_cid);
		text_put(&text, "+");
		text_encode_number(&text, target->vsock_port);
	}
	text_put(&text, ":");
	text_encode(&text, target->export_name);
	if (!text.full)
		return 0;
	out[0] = '\0';
	return -ENAMETOOLONG;
}

/* --- N.udev ---------------------------------------------------------------------------------------- */

static int file_write(uint32_t number, const struct link_file *file)
{
	char text[FILE_BYTES], shared[40] = "";

	if (file->shared >= 0)
		snprintf(shared, sizeof(shared), "UBLK_NBD_SHARED=%d\n", file->shared);
	snprintf(text, sizeof(text), "UBLK_NBD_DISK=1\n%s%s%s%s%s%s%s%s",
		 file->starting ? "UBLK_NBD_STARTING=1\n" : "",
		 file->text[0] ? "UBLK_NBD_TEXT=" : "", file->text, file->text[0] ? "\n" : "",
		 file->link[0] ? "UBLK_NBD_LINK=" : "", file->link, file->link[0] ? "\n" : "",
		 shared);
	return state_file_write(number, "udev", text);
}

/* --- two disks of one text ------------------------------------------------------------------------- */

/* A descriptor, or -errno. */
static int lock_take(void)
{
	char path[PATH_MAX];
	int fd, error = runtime_dir_join(path, sizeof(path), LOCK_NAME);

	if (error)
		return error;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (uint32_t waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB); waited_ms += LOCK_PAUSE_MS) {
		if (waited_ms >= LOCK_WAIT_MS || (errno != EWOULDBLOCK && errno != EINTR)) {
			error = errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
			close(fd);
			return error;
		}
		clock_pause_ms(LOCK_PAUSE_MS);
	}
	return fd;
}

/* "12.udev" of a disk that the kernel has. */
static bool file_number(const char *name, uint32_t *number)
{
	char path[64], *end;
	unsigned long value = strtoul(name, &end, 10);

	if (end == name || strcmp(end, ".udev") || value > UINT16_MAX)
		return false;
	*number = (uint32_t)value;
	snprintf(path, sizeof(path), "/sys/block/ublkb%u", *number);
	return !access(path, F_OK);
}

/* Disks of the same text that are usable lose their link. Returns the number of one, -1: there is none. */
static int take_away(const struct disk *disk, const char *text)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *directory = runtime_dir_join(path, sizeof(path), "") ? NULL : opendir(path);
	int found = -1;

	while (directory && (entry = readdir(directory)) != NULL) {
		struct link_file file;
		uint32_t number;

		if (!file_number(entry->d_name, &number) || number == disk->info.dev_id ||
		    !link_file_read(number, &file) || file.starting || strcmp(file.text, text))
			continue;
		found = (int)number;
		if (!file.link[0])
			continue;
		file.link[0] = '\0';
		file.shared = (int)disk->info.dev_id;
		if (file_write(number, &file) == 0)
			disk_announce(number);
	}
	if (directory)
		closedir(directory);
	return found;
}

int link_start(const struct disk *disk)
{
	struct link_file file = { .starting = true, .shared = -1 };
	int error,
		lock = lock_take(); /* somebody may be rewriting the file of who had our number */

	link_text(&disk->config, file.text);
	error = file_write(disk->info.dev_id, &file);
	if (lock >= 0)
		close(lock);
	return error;
}

static void warn_of_shared(struct disk *disk, int other, const char *text)
{
	ready_warning(disk,
		      "/dev/ublkb%d has the same server, port and export: neither disk has the "
		      "link " LINK_FOLDER
		      "%s (any more); connect them with --name NAME to tell them apart",
		      other, text);
}

static void warn_of_none(struct disk *disk, int error)
{
	if (error == -ENAMETOOLONG)
		ready_warning(disk,
			      "server and export are too long for a link's name: no link names "
			      "this disk; --name NAME gives it one");
	else
		ready_warning(disk, "no link names this disk: %s", strerror(-error));
}

int link_settle(struct disk *disk)
{
	struct link_file file = { .shared = -1 };
	int lock, error = link_text(&disk->config, file.text);

	/* That a server of its own is nothing to make a link of is in the manual. */
	if (error && error != -ENOENT)
		warn_of_none(disk, error);
	if (error)
		return file_write(disk->info.dev_id, &file);
	lock = lock_take();
	if (lock < 0) {
		warn_of_none(disk, lock);
		return file_write(disk->info.dev_id, &file);
	}
	file.shared = take_away(disk, file.text);
	if (file.shared >= 0)
		warn_of_shared(disk, file.shared, file.text);
	else
		strcpy(file.link, file.text);
	error = file_write(disk->info.dev_id, &file);
	close(lock);
	return error;
}

void link_of(const struct disk *disk, char *out, size_t out_bytes)
{
	struct link_file file;

	out[0] = '\0';
	if (link_file_read(disk->info.dev_id, &file) && file.link[0])
		snprintf(out, out_bytes, LINK_FOLDER "%s", file.link);
}
