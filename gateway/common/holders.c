/* SPDX-License-Identifier: MIT */
#include "gateway/common/holders.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/common/block_number.h"
#include "gateway/common/proc_text.h"

/* A disk and the most partitions that the kernel gives it (DISK_MAX_PARTS). */
#define NODES_MAX 257
/* Findings that are told. */
#define FINDINGS_MAX 4
/* Mount namespaces that are remembered; one beyond these may be read more than once. */
#define NAMESPACES_MAX 64
/* Mapped files that are known to be none of the disk's: libraries, which everybody maps. */
#define STRANGERS 1024
/* What the kernel's first pid namespace has as its number (PROC_PID_INIT_INO). */
#define PID_NAMESPACE_INITIAL 0xEFFFFFFCu

/* The disk, or one of its partitions. */
struct node {
	char name[32]; /* "ublkb0p1" */
	dev_t dev;
};

struct stranger {
	dev_t dev;
	uint64_t inode;
};

struct search {
	struct holders *holders;
	char disk[32]; /* "ublkb0" */
	struct node nodes[NODES_MAX];
	size_t nodes_count; /* 0: the kernel has no such disk (any more) */
	size_t findings;
	size_t used; /* of holders->text */
	ino_t namespaces[NAMESPACES_MAX];
	size_t namespaces_count;
	struct stranger strangers[STRANGERS];
};

/* At most FINDINGS_MAX, then "...". */
static void found(struct search *search, const char *how, const char *what)
{
	const char *separator = search->used ? "; " : "";
	size_t room = sizeof(search->holders->text) - search->used;

	if (++search->findings > FINDINGS_MAX + 1 || room < 2)
		return;
	if (search->findings > FINDINGS_MAX) {
		how = "...";
		what = "";
	}
	search->used += (size_t)snprintf(search->holders->text + search->used, room, "%s%s%s",
					 separator, how, what);
	if (search->used >= sizeof(search->holders->text))
		search->used = sizeof(search->holders->text) - 1;
}

/* --- nodes ---------------------------------------------------------------------------------------------- */

static void node_add(struct search *search, const char *directory, const char *name)
{
	struct node *node = &search->nodes[search->nodes_count];

	if (search->nodes_count == NODES_MAX || strlen(name) >= sizeof(node->name) ||
	    !block_number_read(directory, &node->dev))
		return;
	strcpy(node->name, name);
	search->nodes_count++;
}

static void nodes_find(struct search *search)
{
	char path[128], partition[PATH_MAX];
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/block/%s", search->disk);
	node_add(search, path, search->disk);
	directory = opendir(path);
	while (directory && (entry = readdir(directory)) != NULL) {
		if (strncmp(entry->d_name, search->disk, strlen(search->disk)))
			continue;
		snprintf(partition, sizeof(partition), "%s/%s", path, entry->d_name);
		node_add(search, partition, entry->d_name);
	}
	if (directory)
		closedir(directory);
}

static bool is_node_dev(const struct search *search, dev_t dev)
{
	for (size_t i = 0; i < search->nodes_count; i++) {
		if (search->nodes[i].dev == dev)
			return true;
	}
	return false;
}

/* "/dev/ublkb0", "/dev/ublkb0p1", either with " (deleted)" behind it: all that is left of a disk that the
 * kernel has taken away, and what a btrfs, which has a number of its own, was mounted from. */
static bool is_node_path(const struct search *search, const char *path)
{
	size_t length = strlen(search->disk);

	if (strncmp(path, "/dev/", 5) || strncmp(path + 5, search->disk, length))
		return false;
	path += 5 + length;
	if (path[0] == 'p' && isdigit((unsigned char)path[1]))
		path += 1 + strspn(path + 1, "0123456789");
	return !path[0] || !strcmp(path, " (deleted)");
}

/* A block device that is one of the nodes. */
static bool is_node_stat(const struct search *search, const struct stat *st)
{
	return S_ISBLK(st->st_mode) && is_node_dev(search, st->st_rdev);
}

/* --- mounts, swap, block devices ------------------------------------------------------------------------ */

/* proc(5), mountinfo: "36 35 98:0 /root /mount/point options ... - type source options". where: "", or
 * what is said behind the place. */
static void find_mounts(struct search *search, const char *path, const char *where)
{
	char line[8192], number[24], point[4096], text[4200];
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		char source[4096] = "";
		const char *rest = strstr(line, " - ");
		dev_t dev;

		if (sscanf(line, "%*s %*s %23s %*s %4095s", number, point) != 2 ||
		    !block_number_parse(number, 10, &dev))
			continue;
		if (rest)
			sscanf(rest, " - %*s %4095s", source);
		if (!is_node_dev(search, dev) && !is_node_path(search, source))
			continue;
		proc_unescape(point);
		snprintf(text, sizeof(text), "%s%s", point, where);
		found(search, "mounted on ", text);
	}
	if (file)
		fclose(file);
}

static void find_swaps(struct search *search)
{
	char line[4096], path[4096];
	FILE *file = fopen("/proc/swaps", "re");
	struct stat st;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%4095s", path) != 1)
			continue;
		proc_unescape(path);
		if (is_node_path(search, path) || (!stat(path, &st) && is_node_stat(search, &st)))
			found(search, "swap space on ", path);
	}
	if (file)
		fclose(file);
}

/* Device mapper, RAID and the like. */
static void find_upper_devices(struct search *search)
{
	for (size_t i = 0; i < search->nodes_count; i++) {
		char path[PATH_MAX];
		const struct dirent *entry;
		DIR *directory;

		snprintf(path, sizeof(path), "/sys/class/block/%s/holders", search->nodes[i].name);
		directory = opendir(path);
		while (directory && (entry = readdir(directory)) != NULL) {
			if (entry->d_name[0] != '.')
				found(search, "part of /dev/", entry->d_name);
		}
		if (directory)
			closedir(directory);
	}
}

/* What the kernel itself has open without claiming it, and no process: loop devices, and the targets of
 * NVMe and SCSI. Each names a path. */
static void find_kernel_users(struct search *search)
{
	static const char *const patterns[] = {
		"/sys/block/loop*/loop/backing_file",
		"/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path",
		"/sys/kernel/config/target/core/*/*/udev_path",
	};
	glob_t files = { 0 };

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &files);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		FILE *file = fopen(files.gl_pathv[i], "re");
		char path[4096] = "";
		struct stat st;

		if (!file)
			continue;
		if (!fgets(path, sizeof(path), file))
			path[0] = '\0';
		fclose(file);
		path[strcspn(path, "\n")] = '\0';
		if (is_node_path(search, path) || (!stat(path, &st) && is_node_stat(search, &st)))
			found(search, "in use by ", files.gl_pathv[i]);
	}
	globfree(&files);
}

/* --- processes ------------------------------------------------------------------------------------------ */

static bool is_ours(const char *name)
{
	return !strcmp(name, "ublk-nbd-disk") || !strcmp(name, "ublk-nbd-aside") ||
	       !strcmp(name, "ublk-nbd");
}

static void process_name(const char *pid, char *name, size_t name_bytes)
{
	char path[PATH_MAX];
	FILE *file;

	name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(name, (int)name_bytes, file))
		name[0] = '\0';
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
}

static bool is_open_in(const struct search *search, DIR *directory)
{
	const struct dirent *entry;
	char target[PATH_MAX];
	struct stat st;

	while ((entry = readdir(directory)) != NULL) {
		ssize_t bytes;

		if (entry->d_name[0] == '.')
			continue;
		if (search->nodes_count) {
			if (!fstatat(dirfd(directory), entry->d_name, &st, 0) &&
			    is_node_stat(search, &st))
				return true;
			continue;
		}
		bytes = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		target[bytes > 0 ? bytes : 0] = '\0';
		if (is_node_path(search, target))
			return true;
	}
	return false;
}

/* The place of a file that was looked at already, in this process or another, and is no node. */
static struct stranger *stranger_place(struct search *search, const struct stranger *file)
{
	return &search->strangers[(file->dev * 31 + file->inode) % STRANGERS];
}

/* "start-end perms offset major:minor inode path", of /proc/PID/maps; range gets the first. Whether it maps
 * a file that is not known to be a stranger. */
static bool mapping_parse(struct search *search, const char *line, char range[40],
			  struct stranger *file)
{
	char number[24], inode[24];
	const struct stranger *known;

	if (sscanf(line, "%39s %*s %*s %23s %23s", range, number, inode) != 3 ||
	    !block_number_parse(number, 16, &file->dev))
		return false;
	file->inode = strtoull(inode, NULL, 10);
	known = stranger_place(search, file);
	return file->inode && (known->dev != file->dev || known->inode != file->inode);
}

/* A mapping keeps its file open once the descriptor is closed. "maps" has the numbers of the file's own
 * file system, not of the device that it is; map_files leads to that. */
static bool is_mapped_in(struct search *search, const char *pid, bool *closed)
{
	char path[PATH_MAX], line[PATH_MAX + 200], range[40];
	struct stranger mapping;
	bool mapped = false;
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	file = fopen(path, "re");
	while (file && !mapped && fgets(line, sizeof(line), file)) {
		if (!mapping_parse(search, line, range, &mapping))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/map_files/%s", pid, range);
		if (stat(path, &st))
			*closed |= errno == EPERM || errno == EACCES;
		else if (is_node_stat(search, &st))
			mapped = true;
		else
			*stranger_place(search, &mapping) = mapping;
	}
	if (file)
		fclose(file);
	return mapped;
}

static void look_into_process(struct search *search, const char *pid)
{
	char path[PATH_MAX], name[64], text[128];
	bool open = false, mapped = false, closed = false;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	if (directory) {
		open = is_open_in(search, directory);
		closedir(directory);
		mapped = !open && is_mapped_in(search, pid, &closed);
	} else {
		closed = errno == EACCES || errno == EPERM;
	}
	search->holders->closed += closed;
	if (!open && !mapped)
		return;
	process_name(pid, name, sizeof(name));
	if (is_ours(name)) {
		search->holders->ours = true;
		return;
	}
	snprintf(text, sizeof(text), "%.20s (%.63s)", pid, name);
	found(search, open ? "open in process " : "mapped in process ", text);
}

/* A daemon's own namespace holds nothing that is not held elsewhere (gateway/disk/mounts.h). */
static void look_into_namespace(struct search *search, const char *pid)
{
	char path[PATH_MAX], where[80], name[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	if (stat(path, &st))
		return;
	for (size_t i = 0; i < search->namespaces_count; i++)
		if (search->namespaces[i] == st.st_ino)
			return;
	process_name(pid, name, sizeof(name));
	if (is_ours(name) && strcmp(pid, "self"))
		return;
	if (search->namespaces_count < NAMESPACES_MAX)
		search->namespaces[search->namespaces_count++] = st.st_ino;
	snprintf(where, sizeof(where), " in the mount namespace of process %.20s", pid);
	snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	find_mounts(search, path, strcmp(pid, "self") ? where : "");
}

static void each_process(struct search *search, void (*look)(struct search *, const char *pid))
{
	DIR *directory = opendir("/proc");
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			look(search, entry->d_name);
	if (directory)
		closedir(directory);
}

static bool pid_namespace_is_initial(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino == PID_NAMESPACE_INITIAL;
}

void holders_find(uint32_t number, struct holders *holders)
{
	struct search *search = calloc(1, sizeof(*search));

	*holders = (struct holders){ .others = !pid_namespace_is_initial() };
	if (!search) { /* what cannot be told counts as in use */
		snprintf(holders->text, sizeof(holders->text), "no memory to look who uses it");
		return;
	}
	search->holders = holders;
	snprintf(search->disk, sizeof(search->disk), "ublkb%u", number);
	nodes_find(search);
	look_into_namespace(search, "self");
	each_process(search, look_into_namespace);
	find_swaps(search);
	find_upper_devices(search);
	find_kernel_users(search);
	holders->lasting = search->findings > 0;
	if (!holders->lasting)
		each_process(search, look_into_process);
	free(search);
}
