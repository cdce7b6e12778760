/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/control_client.h"
#include "gateway/cli/output.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"
#include "tls/clock.h"

/* A line is at most this long, either way. */
#define LINE_BYTES_MAX (64u << 10)
#define RETRY_MS       20

/* A connected socket, or -errno. A full backlog is waited for: connect(2) itself has no deadline. */
static int client_connect(const char *path, int64_t deadline_ms)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
	    sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int error = errno;

		if (error == EAGAIN && clock_now_ms() < deadline_ms) {
			poll(NULL, 0, RETRY_MS);
			continue;
		}
		close(fd);
		return error == EAGAIN ? -ETIMEDOUT : -error;
	}
	return fd;
}

/* Waits for events on fd. 0, -ETIMEDOUT. */
static int client_wait(int fd, short events, int64_t deadline_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	for (;;) {
		int64_t left_ms = deadline_ms - clock_now_ms();

		if (left_ms <= 0)
			return -ETIMEDOUT;
		if (poll(&pollfd, 1, (int)left_ms) > 0)
			return 0;
	}
}

static int client_send(int fd, const char *line, size_t bytes, int64_t deadline_ms)
{
	while (bytes) {
		ssize_t sent = send(fd, line, bytes, MSG_NOSIGNAL);
		int error;

		if (sent > 0) {
			line += sent;
			bytes -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return errno == EPIPE ? -ECONNRESET : -errno;
		error = client_wait(fd, POLLOUT, deadline_ms);
		if (error)
			return error;
	}
	return 0;
}

/* Receives up to the first newline into line, which becomes a string without it. */
static int client_receive(int fd, char *line, size_t room, int64_t deadline_ms)
{
	size_t used = 0;

	while (used < room) {
		ssize_t got = recv(fd, line + used, room - used, 0);
		char *newline;
		int error;

		if (got == 0)
			return -ECONNRESET;
		if (got > 0) {
			newline = memchr(line + used, '\n', (size_t)got);
			used += (size_t)got;
			if (!newline)
				continue;
			*newline = '\0';
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		error = client_wait(fd, POLLIN, deadline_ms);
		if (error)
			return error;
	}
	return -EPROTO;
}

static int client_converse(int fd, const char *request, int64_t deadline_ms, json_t **answer)
{
	char *line = malloc(LINE_BYTES_MAX);
	int error = line ? client_send(fd, request, strlen(request), deadline_ms) : -ENOMEM;

	if (!error)
		error = client_send(fd, "\n", 1, deadline_ms);
	if (!error)
		error = client_receive(fd, line, LINE_BYTES_MAX, deadline_ms);
	if (!error) {
		*answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(*answer)) {
			json_decref(*answer);
			*answer = NULL;
			error = -EPROTO;
		}
	}
	free(line);
	return error;
}

/* --- who answers ---------------------------------------------------------------------------------------- */

/* 0.1.0's daemons tell their process number, which is what their device has. */
static bool is_of_disk(const json_t *status, uint32_t number, uint64_t tag)
{
	json_int_t pid = json_integer_value(json_object_get(status, "pid"));
	uint64_t told;

	if (json_integer_value(json_object_get(status, "number")) != (json_int_t)number)
		return false;
	if (server_tag_is_old(tag))
		return !json_object_get(status, "identity") && pid == server_tag_old_pid(tag);
	return server_tag_parse(json_string_value(json_object_get(status, "identity")), &told) &&
	       told == tag;
}

/* The daemon numbers itself by its own pid namespace; the kernel has the number that counts here. */
static void set_pid(int fd, json_t *status)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) && peer.pid > 0)
		json_object_set_new(status, "pid", json_integer(peer.pid));
}

/* A new reference in *status. */
static int client_identify(int fd, uint32_t number, uint64_t tag, int64_t deadline_ms,
			   json_t **status)
{
	json_t *answer = NULL, *found;
	int error = client_converse(fd, "{\"verb\":\"status\"}", deadline_ms, &answer);

	if (error)
		return error;
	found = json_object_get(answer, "status");
	if (!json_is_true(json_object_get(answer, "ok")) || !json_is_object(found))
		error = -EPROTO;
	else if (!is_of_disk(found, number, tag))
		error = -ESTALE;
	else
		*status = json_incref(found);
	json_decref(answer);
	return error;
}

/* A connection to the disk's daemon, of which *status is; or -errno. */
static int client_open(uint32_t number, uint64_t tag, int64_t deadline_ms, json_t **status)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd, error;

	error = server_tag_is_old(tag) ? runtime_dir_old_file(path, sizeof(path), number, "sock")
				       : runtime_dir_file(path, sizeof(path), number, "sock");
	if (error)
		return error;
	fd = client_connect(path, deadline_ms);
	if (fd < 0)
		return fd;
	error = client_identify(fd, number, tag, deadline_ms, status);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int control_client_call(uint32_t number, uint64_t tag, json_t *request, uint32_t timeout_ms,
			json_t **answer)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *status = NULL;
	int fd, error = text ? 0 : -ENOMEM;

	json_decref(request);
	if (!error) {
		fd = client_open(number, tag, deadline_ms, &status);
		error = fd < 0 ? fd : client_converse(fd, text, deadline_ms, answer);
		if (fd >= 0)
			close(fd);
	}
	json_decref(status);
	free(text);
	return error;
}

int control_client_status(uint32_t number, uint64_t tag, uint32_t timeout_ms, json_t **status)
{
	int fd = client_open(number, tag, clock_now_ms() + timeout_ms, status);

	if (fd < 0)
		return fd;
	set_pid(fd, *status);
	close(fd);
	return 0;
}

int control_client_is_dead(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ESTALE;
}

/* --- in words --------------------------------------------------------------------------------------------- */

int control_client_explain(const char *verb, uint32_t number, int error)
{
	if (control_client_is_dead(error) || error == -ENODEV || error == -ENXIO) {
		output_error(verb,
			     "no daemon serves device %u: 'ublk-nbd list' shows the disks there "
			     "are",
			     number);
		return EXIT_CODE_NO_DEVICE;
	}
	if (error == -EACCES || error == -EPERM) {
		output_error(verb, "only root may do this: try sudo");
		return EXIT_CODE_SYSTEM;
	}
	output_error(verb,
		     "the daemon of /dev/ublkb%u does not answer: %s; 'ublk-nbd status %u' has "
		     "more",
		     number, strerror(-error), number);
	return EXIT_CODE_FAILURE;
}

int control_client_refused(const char *verb, const json_t *answer)
{
	const char *sentence = json_string_value(json_object_get(answer, "error"));
	json_int_t exit_code = json_integer_value(json_object_get(answer, "exit"));

	output_error(verb, "%s", sentence ? sentence : "the daemon refused without a reason");
	return exit_code > 0 && exit_code < 256 ? (int)exit_code : EXIT_CODE_FAILURE;
}
