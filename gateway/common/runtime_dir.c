/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/common/runtime_dir.h"

#define DEFAULT	       "/run/ublk-nbd"
#define STATE	       "state"
#define STATE_MODE     0700
#define LONGEST_FILE   "/" STATE "/65535.sock"
#define PATH_BYTES_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof(LONGEST_FILE))
#define NAME_ANOTHER   "name another directory in UBLK_NBD_RUNTIME_DIR"

/* Where the sentence goes. */
struct complaint {
	char *out;
	size_t out_bytes;
};

/* Returns error. */
__attribute__((format(printf, 3, 4))) static int complain(const struct complaint *complaint,
							  int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(complaint->out, complaint->out_bytes, format, arguments);
	va_end(arguments);
	return error;
}

const char *runtime_dir_path(void)
{
	const char *path = secure_getenv("UBLK_NBD_RUNTIME_DIR");

	return path && path[0] ? path : DEFAULT;
}

static int path_check(const char *path, const struct complaint *complaint)
{
	/* The daemon's working directory is not the command line's. */
	if (path[0] != '/')
		return complain(complaint, -EINVAL,
				"UBLK_NBD_RUNTIME_DIR is '%s', which is not an absolute path",
				path);
	if (strlen(path) > PATH_BYTES_MAX)
		return complain(
			complaint, -ENAMETOOLONG,
			"UBLK_NBD_RUNTIME_DIR has %zu bytes; a socket's path below it would be "
			"too long: %zu are allowed",
			strlen(path), PATH_BYTES_MAX);
	return 0;
}

/* A descriptor of the directory name at parent_fd; path is its full one. */
static int directory_open(int parent_fd, const char *name, const char *path,
			  const struct complaint *complaint)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int error = errno;
	struct stat st;

	if (fd >= 0)
		return fd;
	if (error == ENOENT)
		return complain(complaint, -ENOENT, "%s does not exist", path);
	if (error == EACCES)
		return complain(complaint, -EACCES, "only root may look into %s: try sudo", path);
	if (!fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) && !S_ISDIR(st.st_mode))
		return complain(complaint, -ENOTDIR, "%s is %s: remove it, or " NAME_ANOTHER, path,
				S_ISLNK(st.st_mode) ? "a link, which is not followed"
						    : "not a directory");
	return complain(complaint, -error, "%s: %s", path, strerror(error));
}

/* Whoever may rename what is in there could hand us sockets and files of his choice. */
static int runtime_check(int fd, const char *path, const struct complaint *complaint)
{
	struct stat st;

	if (fstat(fd, &st))
		return complain(complaint, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return complain(complaint, -EPERM,
				"%s belongs to uid %u, not to uid %u: " NAME_ANOTHER, path,
				st.st_uid, geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH) && !(st.st_mode & S_ISVTX))
		return complain(
			complaint, -EPERM,
			"others may write to %s (mode %04o), and replace what is in it: chmod "
			"go-w it, or " NAME_ANOTHER,
			path, st.st_mode & 07777);
	return 0;
}

/* Nothing of one that was there is changed: whose it is and who may look into it was somebody's choice. */
static int state_check(int fd, const char *path, const struct complaint *complaint)
{
	struct stat st;

	if (fstat(fd, &st))
		return complain(complaint, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return complain(complaint, -EPERM,
				"%s belongs to uid %u, not to uid %u: remove it, or " NAME_ANOTHER,
				path, st.st_uid, geteuid());
	if ((st.st_mode & 0777) != STATE_MODE)
		return complain(
			complaint, -EPERM,
			"%s has mode %04o, so that others may have written to it: remove it, "
			"or chmod it to 0700 if you know that they have not",
			path, st.st_mode & 07777);
	return 0;
}

static int state_make(int runtime_fd, const char *path, const struct complaint *complaint)
{
	int fd, error = 0;
	bool made = !mkdirat(runtime_fd, STATE, STATE_MODE);

	if (!made && errno != EEXIST)
		return complain(complaint, -errno, "%s cannot be made: %s", path, strerror(errno));
	fd = directory_open(runtime_fd, STATE, path, complaint);
	if (fd < 0)
		return fd;
	/* The umask may have taken something away. */
	if (made && fchmod(fd, STATE_MODE))
		error = complain(complaint, -errno, "%s: %s", path, strerror(errno));
	if (!error)
		error = state_check(fd, path, complaint);
	close(fd);
	return error;
}

static int state_look(int runtime_fd, const char *path, const struct complaint *complaint)
{
	int error, fd = directory_open(runtime_fd, STATE, path, complaint);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	error = state_check(fd, path, complaint);
	close(fd);
	return error;
}

static int state_at(int (*reach)(int runtime_fd, const char *path,
				 const struct complaint *complaint),
		    const struct complaint *complaint)
{
	const char *path = runtime_dir_path();
	char state[PATH_BYTES_MAX + sizeof("/" STATE)];
	int error, fd = directory_open(AT_FDCWD, path, path, complaint);

	if (fd < 0)
		return fd;
	snprintf(state, sizeof(state), "%s/" STATE, path);
	error = runtime_check(fd, path, complaint);
	if (!error)
		error = reach(fd, state, complaint);
	close(fd);
	return error;
}

int runtime_dir_prepare(char *error, size_t error_bytes)
{
	struct complaint complaint = { error, error_bytes };
	const char *path = runtime_dir_path();
	int result = path_check(path, &complaint);

	if (!result && mkdir(path, STATE_MODE) && errno != EEXIST)
		result = complain(&complaint, -errno, "%s cannot be made: %s; " NAME_ANOTHER, path,
				  strerror(errno));
	return result ? result : state_at(state_make, &complaint);
}

int runtime_dir_check(char *error, size_t error_bytes)
{
	struct complaint complaint = { error, error_bytes };
	int result = path_check(runtime_dir_path(), &complaint);

	if (!result)
		result = state_at(state_look, &complaint);
	return result == -ENOENT ? 0 : result;
}

/* The path of name in the runtime directory's folder; "": of the folder. */
static int join(char *out, size_t out_bytes, const char *folder, const char *name)
{
	int bytes = snprintf(out, out_bytes, "%s%s%s%s", runtime_dir_path(), folder,
			     name[0] ? "/" : "", name);

	return bytes < 0 || (size_t)bytes >= out_bytes ? -ENAMETOOLONG : 0;
}

int runtime_dir_join(char *out, size_t out_bytes, const char *name)
{
	char error[8];
	int result = runtime_dir_check(error, sizeof(error));

	return result ? result : join(out, out_bytes, "/" STATE, name);
}

int runtime_dir_file(char *out, size_t out_bytes, uint32_t number, const char *suffix)
{
	char name[64];

	if ((size_t)snprintf(name, sizeof(name), "%u.%s", number, suffix) >= sizeof(name))
		return -ENAMETOOLONG;
	return runtime_dir_join(out, out_bytes, name);
}

int runtime_dir_old_join(char *out, size_t out_bytes, const char *name)
{
	struct stat st;

	if (lstat(runtime_dir_path(), &st))
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return -ENOENT;
	return join(out, out_bytes, "", name);
}

int runtime_dir_old_file(char *out, size_t out_bytes, uint32_t number, const char *suffix)
{
	char name[64];

	if ((size_t)snprintf(name, sizeof(name), "%u.%s", number, suffix) >= sizeof(name))
		return -ENAMETOOLONG;
	return runtime_dir_old_join(out, out_bytes, name);
}
