/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/cli/daemon.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/process.h"
#include "gateway/common/program.h"
#include "gateway/cli/reap.h"
#include "gateway/cli/systemd.h"
#include "gateway/common/open_files.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"

#define LOG_NAME      "daemon.log"
#define LOG_BYTES_MAX (1 << 20)
#define CONFIG_FD     3
#define READY_FD      4
/* Descriptors are moved above this before they are put in their places. */
#define HIGH_FD 16

/* What the child is made of. */
struct recipe {
	char program[PATH_MAX];
	int config_fd, ready_fd, stderr_fd, null_fd;
	char identity[sizeof(DAEMON_IDENTITY) + SERVER_TAG_TEXT_BYTES];
	bool journal; /* stderr_fd is the journal's */
};

/* --- parts ----------------------------------------------------------------------------------------------- */

int daemon_find_program(char *path, size_t path_bytes, char *error, size_t error_bytes)
{
	int result = program_find(DAEMON_NAME, path, path_bytes);

	if (result)
		snprintf(error, error_bytes,
			 "the daemon's program %s cannot be run: %s; install ublk-nbd whole (make "
			 "install)",
			 path, strerror(-result));
	return result;
}

static int config_write(const struct disk_config *config, int *out)
{
	json_t *object = disk_config_to_json(config);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	int fd, error = 0;

	json_decref(object);
	if (!text)
		return -ENOMEM;
	fd = memfd_create("ublk-nbd-config", MFD_CLOEXEC);
	if (fd < 0)
		error = -errno;
	else if (pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text))
		error = -EIO;
	free(text);
	if (error && fd >= 0)
		close(fd);
	*out = fd;
	return error;
}

static int log_path(char *out, size_t out_bytes, const char *suffix)
{
	char name[sizeof(LOG_NAME) + 8];

	snprintf(name, sizeof(name), LOG_NAME "%s", suffix);
	return runtime_dir_join(out, out_bytes, name);
}

/* The file, once the journal is not there; a large one becomes daemon.log.1 first. */
static int log_open_file(void)
{
	char path[PATH_MAX], old[PATH_MAX];
	struct stat st;
	int fd;

	if (log_path(path, sizeof(path), "") || log_path(old, sizeof(old), ".1"))
		return -ENAMETOOLONG;
	if (!stat(path, &st) && st.st_size > LOG_BYTES_MAX)
		rename(path, old);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int stderr_open(struct recipe *recipe, bool foreground)
{
	recipe->journal = false;
	if (foreground) {
		recipe->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, HIGH_FD);
		return recipe->stderr_fd < 0 ? -open_files_dup_error(errno) : 0;
	}
	recipe->stderr_fd = systemd_journal_open("ublk-nbd");
	recipe->journal = recipe->stderr_fd >= 0;
	if (!recipe->journal)
		recipe->stderr_fd = log_open_file();
	return recipe->stderr_fd < 0 ? recipe->stderr_fd : 0;
}

void daemon_log_place(char *out, size_t out_bytes)
{
	if (systemd_has_journal())
		snprintf(out, out_bytes, "journalctl -t ublk-nbd");
	else if (log_path(out, out_bytes, ""))
		snprintf(out, out_bytes, LOG_NAME " of the runtime directory");
}

/* --- the child ------------------------------------------------------------------------------------------- */

/* The parent reads this as the daemon's own last word. */
static void child_complain(int ready_fd, const char *program, int error)
{
	char line[PATH_MAX + 200];
	int bytes = snprintf(line, sizeof(line),
			     "{\"ok\": false, \"exit\": 5, \"error\": \"cannot start %s: %s\"}\n",
			     program, strerror(error));

	if (bytes > 0 && write(ready_fd, line, (size_t)bytes) < 0)
		_exit(126);
}

/* From wherever fd is to place: not by way of a descriptor that is still wanted. */
static int child_raise(int fd)
{
	return fcntl(fd, F_DUPFD, HIGH_FD);
}

static _Noreturn void child_exec(struct recipe *recipe)
{
	char *argv[] = { DAEMON_NAME,
			 "--config-fd=3",
			 "--ready-fd=4",
			 recipe->identity,
			 recipe->journal ? "--journal" : NULL,
			 NULL };
	int config_fd = child_raise(recipe->config_fd), ready_fd = child_raise(recipe->ready_fd);
	int stderr_fd = child_raise(recipe->stderr_fd), null_fd = child_raise(recipe->null_fd);

	if (config_fd < 0 || ready_fd < 0 || stderr_fd < 0 || null_fd < 0) {
		child_complain(recipe->ready_fd, recipe->program, open_files_dup_error(errno));
		_exit(127);
	}
	setsid();
	interrupt_reset_child();
	/* Readiness is ours to tell, and so are sockets that we may have been given. */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	dup2(null_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
	dup2(stderr_fd, STDERR_FILENO);
	dup2(config_fd, CONFIG_FD);
	dup2(ready_fd, READY_FD);
	close_range(READY_FD + 1, UINT_MAX, 0);
	execv(recipe->program, argv);
	child_complain(READY_FD, recipe->program, errno);
	_exit(127);
}

/* --- the parent ------------------------------------------------------------------------------------------ */

static int identity_draw(struct recipe *recipe, uint64_t *tag)
{
	char text[SERVER_TAG_TEXT_BYTES];
	int result = server_tag_draw(tag);

	if (result)
		return result;
	server_tag_format(*tag, text);
	snprintf(recipe->identity, sizeof(recipe->identity), DAEMON_IDENTITY "%s", text);
	return 0;
}

static int recipe_open(struct recipe *recipe, const struct disk_config *config, uint64_t *tag,
		       char *error, size_t error_bytes)
{
	int result =
		daemon_find_program(recipe->program, sizeof(recipe->program), error, error_bytes);

	if (result)
		return result;
	result = identity_draw(recipe, tag);
	if (!result)
		result = config_write(config, &recipe->config_fd);
	if (!result)
		result = stderr_open(recipe, config->foreground);
	if (!result) {
		recipe->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		result = recipe->null_fd < 0 ? -errno : 0;
	}
	if (result)
		snprintf(error, error_bytes, "cannot prepare the daemon's start: %s",
			 strerror(-result));
	return result;
}

static void recipe_close(const struct recipe *recipe)
{
	const int fds[] = { recipe->config_fd, recipe->ready_fd, recipe->stderr_fd,
			    recipe->null_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

static int recipe_run(struct recipe *recipe, struct daemon *daemon)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	recipe->ready_fd = pair[1];
	daemon->ready_fd = pair[0];
	daemon->pid = fork();
	if (daemon->pid == 0)
		child_exec(recipe);
	if (daemon->pid > 0)
		daemon->pidfd = (int)syscall(SYS_pidfd_open, daemon->pid, 0);
	if (daemon->pid > 0 && daemon->pidfd >= 0)
		return 0;
	close(daemon->ready_fd);
	/* Without its reader the child gives up by itself. */
	return -errno;
}

int daemon_start(const struct disk_config *config, struct daemon *daemon, char *error,
		 size_t error_bytes)
{
	struct recipe recipe = { .config_fd = -1, .ready_fd = -1, .stderr_fd = -1, .null_fd = -1 };
	int result = recipe_open(&recipe, config, &daemon->tag, error, error_bytes);

	if (!result) {
		result = recipe_run(&recipe, daemon);
		if (result)
			snprintf(error, error_bytes, "cannot start the daemon: %s",
				 strerror(-result));
	}
	recipe_close(&recipe);
	return result;
}

int daemon_take(const struct daemon *daemon)
{
	static const char word[] = "taken\n";

	/* It cannot have to wait: nothing else is ever sent this way. */
	return send(daemon->ready_fd, word, strlen(word), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int daemon_reap(struct daemon *daemon)
{
	int status = 0;

	while (waitpid(daemon->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

void daemon_end(struct daemon *daemon)
{
	char error[400];

	process_signal(daemon->pidfd, SIGTERM);
	/* Somebody may use the disk already: a second one flushes it, and forces its end. */
	if (process_wait(daemon->pidfd, DAEMON_INSIST_MS))
		process_signal(daemon->pidfd, SIGTERM);
	if (process_wait(daemon->pidfd, DAEMON_END_MS) &&
	    process_kill(daemon->pidfd, DAEMON_KILL_MS))
		return; /* stuck in the kernel: not even init could reap it */
	daemon_reap(daemon);
	reap_of_tag(daemon->tag, error, sizeof(error));
}

void daemon_release(struct daemon *daemon)
{
	close(daemon->ready_fd);
	close(daemon->pidfd);
}
