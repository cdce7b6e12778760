/* SPDX-License-Identifier: MIT */
#include "gateway/disk/memory_room.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/common/proc_text.h"

#define PATH_BYTES 4096

/* Where a kind of group is mounted, and which of its groups is ours there. */
struct hierarchy {
	const char *root;
	bool v2;
	char mounted_root[PATH_BYTES]; /* the group that the mount point shows */
	char point[PATH_BYTES];
	char group[PATH_BYTES]; /* ours, as /proc/self/cgroup has it */
};

/* Whether word is one of those that commas part. */
static bool list_has(const char *list, const char *word)
{
	size_t bytes = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",\n") == bytes && !strncmp(at, word, bytes))
			return true;
	return false;
}

static FILE *open_below(const char *root, const char *path)
{
	char full[2 * PATH_BYTES];

	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return NULL;
	return fopen(full, "re");
}

/* The number behind key in the file, or its only word, where key is "". false: there is none ("max"). */
static bool read_number(const char *root, const char *path, const char *key, uint64_t *number)
{
	FILE *file = open_below(root, path);
	size_t key_bytes = strlen(key);
	char line[256], *end;
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, key_bytes))
			continue;
		*number = strtoull(line + key_bytes, &end, 10);
		found = end > line + key_bytes && (*end == '\n' || *end == ' ' || !*end);
	}
	if (file)
		fclose(file);
	return found;
}

/* What the kernel takes from the page cache before it refuses anybody. */
static uint64_t cache_bytes(const char *root, const char *folder, bool v2)
{
	static const char *const keys[2][2] = { { "total_inactive_file ", "total_active_file " },
						{ "inactive_file ", "active_file " } };
	char path[PATH_BYTES + 32];
	uint64_t sum = 0, bytes;

	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	for (size_t i = 0; i < 2; i++)
		if (read_number(root, path, keys[v2][i], &bytes))
			sum += bytes;
	return sum;
}

/* One limit of one group: keeps it where it leaves the least. */
static void look_at_limit(const struct hierarchy *hierarchy, const char *folder, const char *name,
			  struct memory_room *room)
{
	const char *usage_name = hierarchy->v2 ? "memory.current" : "memory.usage_in_bytes";
	uint64_t limit_bytes, used_bytes = 0, cached_bytes, room_bytes;
	char path[PATH_BYTES + 32];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (!read_number(hierarchy->root, path, "", &limit_bytes))
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, usage_name);
	read_number(hierarchy->root, path, "", &used_bytes);
	cached_bytes = cache_bytes(hierarchy->root, folder, hierarchy->v2);
	used_bytes -= cached_bytes < used_bytes ? cached_bytes : used_bytes;
	room_bytes = limit_bytes > used_bytes ? limit_bytes - used_bytes : 0;
	if (room_bytes >= room->bytes)
		return;
	room->bytes = room_bytes;
	room->limit_bytes = limit_bytes;
	snprintf(room->limit_path, sizeof(room->limit_path), "%s/%s", folder, name);
}

/* The part of our group's path that lies below what is mounted: "" where we cannot see it, as in another
 * group namespace. */
static const char *below_mount(const struct hierarchy *hierarchy)
{
	size_t root_bytes = strlen(hierarchy->mounted_root);

	if (!strcmp(hierarchy->mounted_root, "/"))
		root_bytes = 0;
	if (strncmp(hierarchy->group, hierarchy->mounted_root, root_bytes) ||
	    (hierarchy->group[root_bytes] && hierarchy->group[root_bytes] != '/') ||
	    !strcmp(hierarchy->group + root_bytes, "/") ||
	    !strncmp(hierarchy->group + root_bytes, "/..", 3))
		return "";
	return hierarchy->group + root_bytes;
}

/* Our group, and each above it up to the mount point. */
static void look_at_groups(const struct hierarchy *hierarchy, struct memory_room *room)
{
	char folder[2 * PATH_BYTES];
	size_t point_bytes = strlen(hierarchy->point);

	if ((size_t)snprintf(folder, sizeof(folder), "%s%s", hierarchy->point,
			     below_mount(hierarchy)) >= PATH_BYTES)
		return;
	for (;;) {
		if (hierarchy->v2) {
			look_at_limit(hierarchy, folder, "memory.max", room);
			look_at_limit(hierarchy, folder, "memory.high", room);
		} else {
			look_at_limit(hierarchy, folder, "memory.limit_in_bytes", room);
		}
		if (strlen(folder) <= point_bytes)
			return;
		*strrchr(folder, '/') = '\0';
	}
}

/* Our group in this kind of hierarchy, from lines like "0::/a/b" and "4:cpu,memory:/a/b". */
static bool find_group(struct hierarchy *hierarchy)
{
	FILE *file = open_below(hierarchy->root, "/proc/self/cgroup");
	bool found = false;
	char line[PATH_BYTES];

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		controllers++;
		found = hierarchy->v2 ? !*controllers : list_has(controllers, "memory");
		snprintf(hierarchy->group, sizeof(hierarchy->group), "%s", group);
	}
	if (file)
		fclose(file);
	return found;
}

/* A line of mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS. */
static bool take_mount(char *line, struct hierarchy *hierarchy)
{
	char type[32], options[512];
	const char *behind = strstr(line, " - ");

	if (!behind || sscanf(behind, " - %31s %*s %511s", type, options) != 2)
		return false;
	hierarchy->v2 = !strcmp(type, "cgroup2");
	if (!hierarchy->v2 && (strcmp(type, "cgroup") || !list_has(options, "memory")))
		return false;
	if (sscanf(line, "%*s %*s %*s %4095s %4095s", hierarchy->mounted_root, hierarchy->point) !=
	    2)
		return false;
	proc_unescape(hierarchy->mounted_root);
	proc_unescape(hierarchy->point);
	return true;
}

void memory_room_look(const char *root, struct memory_room *room)
{
	FILE *mounts = open_below(root, "/proc/self/mountinfo");
	struct hierarchy hierarchy = { .root = root };
	size_t line_bytes = 0;
	char *line = NULL;
	uint64_t kib;

	*room = (struct memory_room){ .bytes = UINT64_MAX };
	if (read_number(root, "/proc/meminfo", "MemAvailable: ", &kib))
		room->bytes = kib << 10;
	while (mounts && getline(&line, &line_bytes, mounts) > 0)
		if (take_mount(line, &hierarchy) && find_group(&hierarchy))
			look_at_groups(&hierarchy, room);
	free(line);
	if (mounts)
		fclose(mounts);
}
