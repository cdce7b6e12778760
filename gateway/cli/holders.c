/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/holders.h"
#include "gateway/cli/process.h"

/* Partitions that are looked at, and findings that are told. */
#define NODES_MAX    64
#define FINDINGS_MAX 4

/* The disk, or one of its partitions. */
struct node {
	char name[32];	 /* "ublkb0p1" */
	char number[24]; /* "259:3" */
};

struct search {
	struct node nodes[NODES_MAX];
	size_t nodes_count;
	size_t findings;
	char *out;
	size_t out_bytes, used;
};

/* At most FINDINGS_MAX, then "...". */
static void found(struct search *search, const char *how, const char *what)
{
	const char *separator = search->used ? "; " : "";
	size_t room = search->out_bytes - search->used;

	if (++search->findings > FINDINGS_MAX + 1 || room < 2)
		return;
	if (search->findings > FINDINGS_MAX) {
		how = "...";
		what = "";
	}
	search->used +=
		(size_t)snprintf(search->out + search->used, room, "%s%s%s", separator, how, what);
	if (search->used >= search->out_bytes)
		search->used = search->out_bytes - 1;
}

/* --- nodes ---------------------------------------------------------------------------------------------- */

static void node_add(struct search *search, const char *directory, const char *name)
{
	struct node *node = &search->nodes[search->nodes_count];
	char path[PATH_MAX];
	FILE *file;

	if (search->nodes_count == NODES_MAX || strlen(name) >= sizeof(node->name))
		return;
	snprintf(path, sizeof(path), "%s/dev", directory);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fscanf(file, "%23s", node->number) == 1) {
		strcpy(node->name, name);
		search->nodes_count++;
	}
	fclose(file);
}

static void nodes_find(struct search *search, uint32_t number)
{
	char disk[32], path[128], partition[PATH_MAX];
	const struct dirent *entry;
	DIR *directory;

	snprintf(disk, sizeof(disk), "ublkb%u", number);
	snprintf(path, sizeof(path), "/sys/block/%s", disk);
	node_add(search, path, disk);
	directory = opendir(path);
	while (directory && (entry = readdir(directory)) != NULL) {
		if (strncmp(entry->d_name, disk, strlen(disk)))
			continue;
		snprintf(partition, sizeof(partition), "%s/%s", path, entry->d_name);
		node_add(search, partition, entry->d_name);
	}
	if (directory)
		closedir(directory);
}

static bool is_node_number(const struct search *search, const char *number)
{
	for (size_t i = 0; i < search->nodes_count; i++) {
		if (!strcmp(search->nodes[i].number, number))
			return true;
	}
	return false;
}

static bool is_node_path(const struct search *search, const char *path)
{
	for (size_t i = 0; i < search->nodes_count; i++) {
		if (!strncmp(path, "/dev/", 5) && !strcmp(path + 5, search->nodes[i].name))
			return true;
	}
	return false;
}

/* --- where they are used ------------------------------------------------------------------------------ */

/* "\040" of /proc's files becomes a space, in place. */
static void unescape_octal(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && isdigit((unsigned char)text[1]) &&
		    isdigit((unsigned char)text[2]) && isdigit((unsigned char)text[3])) {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
					(text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* proc(5), mountinfo: "36 35 98:0 /root /mount/point options ... - type source options". A btrfs has
 * a number of its own there, so the source counts as well. */
static void find_mounts(struct search *search)
{
	char line[8192], number[24], point[4096];
	FILE *file = fopen("/proc/self/mountinfo", "re");

	while (file && fgets(line, sizeof(line), file)) {
		char source[4096] = "";
		const char *rest = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %23s %*s %4095s", number, point) != 2)
			continue;
		if (rest)
			sscanf(rest, " - %*s %4095s", source);
		if (!is_node_number(search, number) && !is_node_path(search, source))
			continue;
		unescape_octal(point);
		found(search, "mounted on ", point);
	}
	if (file)
		fclose(file);
}

static void find_swaps(struct search *search)
{
	char line[4096], path[4096];
	FILE *file = fopen("/proc/swaps", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%4095s", path) == 1 && is_node_path(search, path))
			found(search, "swap space on ", path);
	}
	if (file)
		fclose(file);
}

/* Device mapper, RAID and the like. */
static void find_holders(struct search *search)
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

static bool process_has_open(const struct search *search, const char *pid)
{
	char path[PATH_MAX], target[PATH_MAX];
	const struct dirent *entry;
	bool has = false;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	while (directory && !has && (entry = readdir(directory)) != NULL) {
		ssize_t bytes =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		target[bytes > 0 ? bytes : 0] = '\0';
		has = is_node_path(search, target);
	}
	if (directory)
		closedir(directory);
	return has;
}

static void find_processes(struct search *search)
{
	const struct dirent *entry;
	DIR *directory = opendir("/proc");

	while (directory && (entry = readdir(directory)) != NULL) {
		char path[PATH_MAX], name[64] = "", text[128];
		FILE *file;

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !process_has_open(search, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (file) {
			if (!fgets(name, sizeof(name), file))
				name[0] = '\0';
			fclose(file);
		}
		name[strcspn(name, "\n")] = '\0';
		if (!strcmp(name, DAEMON_NAME))
			continue;
		snprintf(text, sizeof(text), "%.20s (%.63s)", entry->d_name, name);
		found(search, "open in process ", text);
	}
	if (directory)
		closedir(directory);
}

static void search_lasting(struct search *search, uint32_t number)
{
	search->out[0] = '\0';
	nodes_find(search, number);
	find_mounts(search);
	find_swaps(search);
	find_holders(search);
}

bool holders_are_lasting(uint32_t number)
{
	char out[16];
	struct search search = { .out = out, .out_bytes = sizeof(out) };

	search_lasting(&search, number);
	return search.findings > 0;
}

bool holders_describe(uint32_t number, char *out, size_t out_bytes)
{
	struct search search = { .out = out, .out_bytes = out_bytes };

	search_lasting(&search, number);
	if (!search.findings)
		find_processes(&search);
	return search.findings > 0;
}
