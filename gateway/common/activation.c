// SPDX-License-Identifier: MIT
#include "gateway/common/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/common/minder.h"
#include "gateway/common/open_files.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"
#include "tls/clock.h"

#define LISTEN_BACKLOG	64
#define LISTEN_FD	3 /* SD_LISTEN_FDS_START */
#define LISTEN_PID_WORD "LISTEN_PID="
/* Beyond what the minder gives the server. */
#define MINDER_GRACE_MS 1000
#define PAUSE_MS	5

/* What the child needs, made before the fork: after it only async-signal-safe calls are made. */
struct launch {
	char *const *argv;
	char **environment;
	char listen_pid[sizeof(LISTEN_PID_WORD) + 20]; /* one entry of environment */
	char listen_fds[sizeof("LISTEN_FDS=1")];
	int socket_fd;
	int report_fd; /* closed by exec; else an errno is written to it */
};

/* --- the child ---------------------------------------------------------------------------------- */

static void child_reset_signals(void)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t blocked;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &usual, NULL);
	minder_blocked(&blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* The daemon protects itself from the OOM killer; what it starts is not protected. */
static void child_reset_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "0", 1) < 0) {
		/* Not allowed to: it keeps what it inherited. */
	}
	close(fd);
}

static int child_arrange_descriptors(struct launch *launch)
{
	int null_fd, socket_fd = launch->socket_fd, report_fd;

	/* Out of the way first: either of the two may be what 0 or 3 will be. */
	report_fd = fcntl(launch->report_fd, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
	if (report_fd < 0)
		return -open_files_dup_error(errno);
	launch->report_fd = report_fd;
	if (log_stderr_fd() != STDERR_FILENO && dup2(log_stderr_fd(), STDERR_FILENO) < 0)
		return -errno;
	null_fd = open("/dev/null", O_RDONLY);
	if (null_fd < 0)
		return -errno;
	if (socket_fd == LISTEN_FD) {
		if (fcntl(socket_fd, F_SETFD, 0))
			return -errno;
	} else if (dup2(socket_fd, LISTEN_FD) < 0) {
		return -errno;
	}
	if (null_fd != STDIN_FILENO && dup2(null_fd, STDIN_FILENO) < 0)
		return -errno;
	/* Whatever else we hold without close-on-exec is not the server's. */
	syscall(SYS_close_range, LISTEN_FD + 1, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC, 5.11 */);
	return 0;
}

static void child_set_listen_pid(struct launch *launch)
{
	char *at = launch->listen_pid + strlen(LISTEN_PID_WORD);
	char digits[20];
	size_t count = 0;

	for (pid_t pid = getpid(); pid > 0; pid /= 10)
		digits[count++] = (char)('0' + pid % 10);
	while (count > 0)
		*at++ = digits[--count];
	*at = '\0';
}

static void child_report(const struct launch *launch, int error)
{
	if (write(launch->report_fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static void child_run(void *argument)
{
	struct launch *launch = argument;
	int error;

	setsid();
	child_reset_signals();
	child_reset_oom_score();
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* kept by fork and exec; root alone may */
	child_set_listen_pid(launch);
	error = child_arrange_descriptors(launch);
	if (!error) {
		execvpe(launch->argv[0], launch->argv, launch->environment);
		error = -errno;
	}
	child_report(launch, error);
}

/* --- the parent --------------------------------------------------------------------------------- */

/* What of our own environment is about us alone. */
static bool environment_is_ours(const char *entry)
{
	static const char *const names[] = {
		"LISTEN_FDS=",	  "LISTEN_PID=",   "LISTEN_FDNAMES=",
		"NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(entry, names[i], strlen(names[i])))
			return true;
	return false;
}

static int launch_make_environment(struct launch *launch)
{
	size_t count = 0, used = 0;

	while (environ[count])
		count++;
	launch->environment = calloc(count + 3, sizeof(char *));
	if (!launch->environment)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (!environment_is_ours(environ[i]))
			launch->environment[used++] = environ[i];
	memcpy(launch->listen_fds, "LISTEN_FDS=1", sizeof(launch->listen_fds));
	memcpy(launch->listen_pid, LISTEN_PID_WORD, sizeof(LISTEN_PID_WORD));
	launch->environment[used++] = launch->listen_fds;
	launch->environment[used++] = launch->listen_pid;
	return 0;
}

/* A directory of its own, in the runtime directory, or where this user may make one. */
static int activation_make_directory(struct activation *activation, uint64_t tag)
{
	char text[SERVER_TAG_TEXT_BYTES];
	const char *temporary = secure_getenv("TMPDIR");
	char parent[sizeof(activation->directory)], sentence[400];
	int error = runtime_dir_prepare(sentence, sizeof(sentence));

	if (!error)
		error = runtime_dir_join(parent, sizeof(parent), "");
	else if (error == -EACCES || error == -EPERM || error == -EROFS)
		error = (size_t)snprintf(parent, sizeof(parent), "%s",
					 temporary && temporary[0] == '/' ? temporary : "/tmp") >=
					sizeof(parent)
				? -ENAMETOOLONG
				: 0;
	if (error)
		return error;
	error = tag == SERVER_TAG_NONE ? server_tag_draw(&tag) : 0;
	if (error)
		return error;
	server_tag_format(tag, text);
	if ((size_t)snprintf(activation->directory, sizeof(activation->directory), "%s/server-%s",
			     parent, text) >= sizeof(activation->directory))
		error = -ENAMETOOLONG;
	else if (mkdir(activation->directory, 0700))
		error = -errno;
	if (!error)
		return 0;
	activation->directory[0] = '\0';
	return error;
}

static int activation_listen(struct activation *activation, uint64_t tag)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error = activation_make_directory(activation, tag);

	if (error)
		return error;
	snprintf(activation->socket_path, sizeof(activation->socket_path), "%s/nbd.sock",
		 activation->directory);
	memcpy(address.sun_path, activation->socket_path, sizeof(activation->socket_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, LISTEN_BACKLOG)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

/* Waits for the exec: the report's end closes, or an errno comes through it. */
static int activation_await_exec(int report_fd)
{
	int error = 0;
	ssize_t n;

	do {
		n = read(report_fd, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? error : 0;
}

static int activation_fork(struct activation *activation, struct launch *launch, int minder_fd)
{
	struct minder minder = {
		.parent = getpid(),
		.socket_fd = minder_fd,
		.directory = activation->directory,
		.socket_path = activation->socket_path,
	};
	int report[2], error = 0;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	launch->report_fd = report[1];
	activation->pid = fork();
	if (activation->pid == 0)
		child_report(launch, minder_run(&minder, child_run, launch));
	close(report[1]);
	if (activation->pid < 0) {
		error = -errno;
		activation->pid = 0;
	} else {
		error = activation_await_exec(report[0]);
	}
	close(report[0]);
	return error;
}

static int activation_run(struct activation *activation, struct launch *launch)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	activation->minder_fd = pair[0];
	error = activation_fork(activation, launch, pair[1]);
	close(pair[1]);
	return error;
}

static void activation_explain(const char *program, int error, char *sentence,
			       size_t sentence_bytes)
{
	if (error == -ENOENT && !strchr(program, '/'))
		snprintf(sentence, sentence_bytes,
			 "%s: not found in PATH: is its package installed?", program);
	else if (error == -EACCES || error == -ENOENT || error == -ENOEXEC)
		snprintf(sentence, sentence_bytes, "cannot run %s: %s", program, strerror(-error));
	else
		snprintf(sentence, sentence_bytes, "cannot start %s as this disk's server: %s",
			 program, strerror(-error));
}

int activation_start(struct activation *activation, char *const argv[], uint64_t tag,
		     char *sentence, size_t sentence_bytes)
{
	struct launch launch = { .argv = argv };
	int error, runtime_error = 0;

	memset(activation, 0, sizeof(*activation));
	activation->minder_fd = -1;
	snprintf(activation->program, sizeof(activation->program), "%s", argv[0]);
	launch.socket_fd = activation_listen(activation, tag);
	if (launch.socket_fd < 0)
		runtime_error = launch.socket_fd;
	error = runtime_error ? runtime_error : launch_make_environment(&launch);
	if (!error)
		error = activation_run(activation, &launch);
	free(launch.environment);
	/* The server's copy must be the only one: when it ends, connecting fails at once. */
	if (launch.socket_fd >= 0)
		close(launch.socket_fd);
	if (!error)
		return 0;
	if (runtime_error)
		snprintf(sentence, sentence_bytes,
			 "cannot make a socket for %s to listen on, in %s: %s", argv[0],
			 runtime_dir_path(), strerror(-error));
	else
		activation_explain(argv[0], error, sentence, sentence_bytes);
	activation_stop(activation);
	return error;
}

void activation_target(const struct activation *activation, struct nbd_uri *uri)
{
	uri->transport = NBD_TRANSPORT_UNIX;
	snprintf(uri->socket_path, sizeof(uri->socket_path), "%s", activation->socket_path);
}

bool activation_has_ended(const struct activation *activation, char *sentence,
			  size_t sentence_bytes)
{
	/* What a minder that was killed leaves: the kernel kills the program then. */
	struct minder_report report = { CLD_KILLED, SIGKILL };

	if (activation->pid == 0)
		return false;
	if (recv(activation->minder_fd, &report, sizeof(report), MSG_PEEK | MSG_DONTWAIT) < 0)
		return false;
	if (report.code == CLD_EXITED)
		snprintf(sentence, sentence_bytes,
			 "%s ended by itself, with exit status %d: see its own message",
			 activation->program, report.status);
	else
		snprintf(sentence, sentence_bytes, "%s was ended by signal %d (%s)",
			 activation->program, report.status, strsignal(report.status));
	return true;
}

/* Whether the minder ended, and was reaped, within timeout_ms. */
static bool activation_wait(const struct activation *activation, int64_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;

	while (waitpid(activation->pid, NULL, WNOHANG) == 0) {
		if (clock_now_ms() >= deadline_ms)
			return false;
		clock_pause_ms(PAUSE_MS);
	}
	return true;
}

static void activation_end_program(struct activation *activation)
{
	send(activation->minder_fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (activation_wait(activation, MINDER_STOP_MS + MINDER_KILLED_MS + MINDER_GRACE_MS))
		return;
	kill(activation->pid, SIGKILL);
	activation_wait(activation, MINDER_KILLED_MS);
}

void activation_leave_files(struct activation *activation)
{
	activation->files_stay = true;
}

void activation_stop(struct activation *activation)
{
	if (activation->pid > 0)
		activation_end_program(activation);
	if (activation->directory[0] && activation->minder_fd >= 0) /* all zero: never started */
		close(activation->minder_fd);
	if (activation->socket_path[0] && !activation->files_stay)
		unlink(activation->socket_path);
	if (activation->directory[0] && !activation->files_stay)
		rmdir(activation->directory);
	memset(activation, 0, sizeof(*activation));
	activation->minder_fd = -1;
}
