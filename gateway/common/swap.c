/* SPDX-License-Identifier: MIT */
#include "gateway/common/swap.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A device made of devices, made of devices: what is deeper or wider is taken for none of ours. */
#define STACK_MAX  8
#define LAYER_MAX  32
#define NAME_BYTES 64

/* Whether the device, as the kernel calls it, is the disk or a partition of it: sysfs has those in the
 * disk's folder. */
static bool is_part_of(const char *root, const char *device, const char *disk)
{
	char path[PATH_MAX], real[PATH_MAX], folder[300];

	if (!strcmp(device, disk))
		return true;
	snprintf(path, sizeof(path), "%s/sys/class/block/%s", root, device);
	snprintf(folder, sizeof(folder), "/%s/", disk);
	return realpath(path, real) && strstr(real, folder);
}

/* What the devices of a layer are made of: those of the next one. */
struct layer {
	char names[LAYER_MAX][NAME_BYTES];
	size_t count;
};

static void add_slaves(const char *root, const char *device, struct layer *below)
{
	const struct dirent *entry;
	char path[PATH_MAX];
	DIR *slaves;

	snprintf(path, sizeof(path), "%s/sys/class/block/%s/slaves", root, device);
	slaves = opendir(path);
	while (slaves && below->count < LAYER_MAX && (entry = readdir(slaves)))
		if (entry->d_name[0] != '.')
			snprintf(below->names[below->count++], NAME_BYTES, "%.*s", NAME_BYTES - 1,
				 entry->d_name);
	if (slaves)
		closedir(slaves);
}

static bool is_made_of(const char *root, const char *device, const char *disk)
{
	struct layer layer = { .count = 1 };

	snprintf(layer.names[0], NAME_BYTES, "%.*s", NAME_BYTES - 1, device);
	for (int depth = 0; depth < STACK_MAX && layer.count > 0; depth++) {
		struct layer below = { .count = 0 };

		for (size_t i = 0; i < layer.count; i++) {
			if (is_part_of(root, layer.names[i], disk))
				return true;
			add_slaves(root, layer.names[i], &below);
		}
		layer = below;
	}
	return false;
}

bool swap_is_on(const char *root, const char *name)
{
	char path[PATH_MAX], line[4200], swap[4096], type[32];
	bool is = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s" SWAPS_PATH, root);
	file = fopen(path, "re");
	while (file && !is && fgets(line, sizeof(line), file))
		if (sscanf(line, "%4095s %31s", swap, type) == 2 && !strcmp(type, "partition") &&
		    strrchr(swap, '/'))
			is = is_made_of(root, strrchr(swap, '/') + 1, name);
	if (file)
		fclose(file);
	return is;
}
