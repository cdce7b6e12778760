/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/clock.h"
#include "gateway/cli/control_client.h"
#include "gateway/common/runtime_dir.h"

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

int control_client_call(uint32_t number, json_t *request, uint32_t timeout_ms, json_t **answer)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *text = json_dumps(request, JSON_COMPACT);
	int fd, error = text ? 0 : -ENOMEM;

	json_decref(request);
	if (!error)
		error = runtime_dir_file(path, sizeof(path), number, "sock");
	if (!error) {
		fd = client_connect(path, deadline_ms);
		if (fd >= 0) {
			error = client_converse(fd, text, deadline_ms, answer);
			close(fd);
		} else {
			error = fd;
		}
	}
	free(text);
	return error;
}

int control_client_status(uint32_t number, uint32_t timeout_ms, json_t **status)
{
	json_t *answer, *found;
	int error = control_client_call(number, json_pack("{s:s}", "verb", "status"), timeout_ms,
					&answer);

	if (error)
		return error;
	found = json_object_get(answer, "status");
	if (json_is_true(json_object_get(answer, "ok")) && json_is_object(found))
		*status = json_incref(found);
	else
		error = -EPROTO;
	json_decref(answer);
	return error;
}

int control_client_is_dead(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED;
}
