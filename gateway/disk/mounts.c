/* SPDX-License-Identifier: MIT */
/*
 * mounts.c - see mounts.h. There are two ways to get this wrong, and both are deadlocks:
 *
 *   to stay: when the other processes of our user's namespace end, we are its last one and keep our own
 *     disk's filesystem mounted. Killed, we unmount it in our exit, which waits for I/O that only we
 *     could have served: for ever.
 *   to copy: a copy of the namespace holds every other disk's filesystem until we end, and nobody can
 *     disconnect those. A slave copy loses what its origin unmounts, but only where that is shared; and
 *     it gains what is mounted later, our own disk's filesystem first of all.
 *
 * So we copy, let go of what we do not need, and cut the rest off.
 */
#include "gateway/disk/mounts.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "gateway/common/log.h"
#include "gateway/common/proc_text.h"

/* More mounts than this are looked at in the next round, while any was let go of. */
#define MOUNTS_MAX 1024

/* What libraries, devices and name lookup need. */
static const char *const system_folders[] = { "/dev", "/proc",	"/sys", "/etc", "/usr",
					      "/lib", "/lib64", "/bin", "/sbin" };

/* Whether path is folder, or lies in it. */
static bool is_within(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	if (!strcmp(folder, "/"))
		return true;
	return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static bool is_needed(const char *mount, const char *const *paths)
{
	for (size_t i = 0; i < sizeof(system_folders) / sizeof(system_folders[0]); i++)
		if (is_within(system_folders[i], mount) || is_within(mount, system_folders[i]))
			return true;
	for (; *paths; paths++)
		if (is_within(*paths, mount))
			return true;
	return is_within("/run", mount);
}

/* The mount point in a line of mountinfo, its fifth word; owned by the caller. NULL: no such line. */
static char *mount_point(const char *line)
{
	char *point = NULL;

	if (sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
		return NULL;
	proc_unescape(point);
	return point;
}

/* Fills points with the mounts, in the order in which they were made. How many. */
static size_t list_mounts(char **points)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t line_bytes = 0, count = 0;

	if (!file)
		return 0;
	while (count < MOUNTS_MAX && getline(&line, &line_bytes, file) > 0) {
		points[count] = mount_point(line);
		count += points[count] != NULL;
	}
	free(line);
	fclose(file);
	return count;
}

/* From the last to the first: what lies upon another goes before it. True when any was let go of. */
static bool let_go(const char *const *paths)
{
	static char *points[MOUNTS_MAX];
	size_t count = list_mounts(points);
	bool any = false;

	while (count-- > 0) {
		char *point = points[count];

		if (!is_needed(point, paths))
			any |= umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
		else if (mount(NULL, point, NULL, MS_PRIVATE, NULL) < 0)
			log_debug("%s: cannot be made private: %s", point, strerror(errno));
		free(point);
	}
	return any;
}

static void leave(const char *const *paths)
{
	if (unshare(CLONE_NEWNS) < 0) {
		log_warning(
			"no mount namespace of our own: %s: killed while its disk is mounted by "
			"nobody else, this process could not end",
			strerror(errno));
		return;
	}
	/* What we let go of here must stay mounted there. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
		log_warning("cannot make the mounts slaves: %s", strerror(errno));
		return;
	}
	for (int round = 0; round < 16 && let_go(paths); round++)
		;
}

/* A path is needed as it is called and where its links lead. */
void mounts_leave(const char *const *paths)
{
	const char *places[2 * MOUNTS_PATHS_MAX + 1];
	char *real[MOUNTS_PATHS_MAX];
	size_t count = 0, used = 0;

	for (; paths[count]; count++) {
		real[count] = *paths[count] ? realpath(paths[count], NULL) : NULL;
		places[used++] = paths[count];
		if (real[count])
			places[used++] = real[count];
	}
	places[used] = NULL;
	leave(places);
	while (count-- > 0)
		free(real[count]);
}
