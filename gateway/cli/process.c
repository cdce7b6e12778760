/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/cli/process.h"
#include "gateway/common/server_tag.h"
#include "tls/clock.h"

/* What is asked of each process of /proc. */
struct sought {
	uint64_t tag;
	char option[sizeof(DAEMON_IDENTITY) + SERVER_TAG_TEXT_BYTES]; /* as on its command line */
};

static size_t proc_read(pid_t pid, const char *name, char *out, size_t out_bytes)
{
	char path[64];
	size_t bytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	if (file) {
		bytes = fread(out, 1, out_bytes - 1, file);
		fclose(file);
	}
	out[bytes] = '\0';
	return bytes;
}

/* The name the kernel has for it: that of the program's file, cut at 15 bytes. Another user's process
 * may have any name: it is none of ours. */
static bool is_daemon(pid_t pid)
{
	char path[64], name[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) || (st.st_uid && st.st_uid != geteuid()))
		return false;
	proc_read(pid, "comm", name, sizeof(name));
	return !strcmp(name, DAEMON_NAME "\n");
}

/* The word of its command line that begins like this; NULL: none. */
static const char *find_word(const char *words, size_t bytes, const char *begin)
{
	for (const char *word = words; word < words + bytes; word += strlen(word) + 1) {
		if (!strncmp(word, begin, strlen(begin)))
			return word;
	}
	return NULL;
}

/* Its number in its own pid namespace, the innermost; 0 unknown. */
static pid_t own_number(pid_t pid)
{
	char status[4096];
	const char *line, *end, *last;

	proc_read(pid, "status", status, sizeof(status));
	line = strstr(status, "\nNSpid:");
	end = line ? strchr(line + 1, '\n') : NULL;
	if (!end)
		return 0;
	for (last = end; last > line && last[-1] != '\t' && last[-1] != ' '; last--)
		;
	return (pid_t)strtol(last, NULL, 10);
}

static bool is_sought(pid_t pid, const struct sought *sought)
{
	char words[4096];
	const char *option;
	size_t bytes;

	if (!is_daemon(pid))
		return false;
	bytes = proc_read(pid, "cmdline", words, sizeof(words));
	option = find_word(words, bytes, DAEMON_IDENTITY);
	/* 0.1.0's has none. */
	if (server_tag_is_old(sought->tag))
		return bytes && !option && own_number(pid) == server_tag_old_pid(sought->tag);
	return option && !strcmp(option, sought->option);
}

static pid_t find_daemon(const struct sought *sought)
{
	const struct dirent *entry;
	DIR *directory = opendir("/proc");
	pid_t found = -ESRCH;

	while (directory && (entry = readdir(directory)) != NULL) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0])
				    ? (pid_t)strtol(entry->d_name, NULL, 10)
				    : 0;

		if (pid <= 0 || !is_sought(pid, sought))
			continue;
		if (found > 0) {
			found = -ENOTUNIQ;
			break;
		}
		found = pid;
	}
	if (directory)
		closedir(directory);
	return found;
}

int process_open_daemon(uint64_t tag, pid_t *pid)
{
	char text[SERVER_TAG_TEXT_BYTES];
	struct sought sought = { .tag = tag };
	int pidfd;

	*pid = 0;
	if (!server_tag_is_ours(tag))
		return -ESRCH;
	server_tag_format(tag, text);
	snprintf(sought.option, sizeof(sought.option), DAEMON_IDENTITY "%s", text);
	*pid = find_daemon(&sought);
	if (*pid < 0) {
		int error = *pid;

		*pid = 0;
		return error;
	}
	pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (pidfd < 0)
		return -errno;
	/* Looked at after the pidfd was had: if it is the daemon now, the pidfd is the daemon's. A
	 * zombie keeps its name, but its pidfd is readable. */
	if (is_sought(*pid, &sought) && process_wait(pidfd, 0))
		return pidfd;
	close(pidfd);
	*pid = 0;
	return -ESRCH;
}

int process_wait(int pidfd, uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	struct pollfd pollfd = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		int64_t left_ms = deadline_ms - clock_now_ms();

		if (poll(&pollfd, 1, left_ms > 0 ? (int)left_ms : 0) > 0)
			return 0;
		if (left_ms <= 0)
			return -ETIMEDOUT;
	}
}

int process_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) ? -errno : 0;
}

int process_kill(int pidfd, uint32_t timeout_ms)
{
	int error = process_signal(pidfd, SIGKILL);

	if (error == -ESRCH)
		return 0;
	return error ? error : process_wait(pidfd, timeout_ms);
}
