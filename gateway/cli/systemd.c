/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "gateway/cli/systemd.h"

/* What a stream may hold that journald has not read yet, as libsystemd has it. */
#define SEND_BUFFER_BYTES (8 << 20)

/* The address of path, where '@' begins an abstract name. Its length; 0: too long, or no such address. */
static socklen_t address_fill(struct sockaddr_un *address, const char *path)
{
	size_t bytes = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || bytes < 2 || bytes >= sizeof(address->sun_path))
		return 0;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, bytes);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes + (path[0] == '/'));
}

/* More than is usual takes a privilege. */
static void grow_send_buffer(int fd)
{
	const int bytes = SEND_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int systemd_journal_open(const char *socket_path, const char *identifier)
{
	struct sockaddr_un address;
	socklen_t address_bytes = address_fill(&address, socket_path);
	char header[200];
	/* Identifier, unit (journald knows it), level, whether lines may begin with their own, and whether to
	 * forward to syslog, the kernel's log and the console. */
	int bytes =
		snprintf(header, sizeof(header), "%s\n\n%d\n1\n0\n0\n0\n", identifier, LOG_INFO);
	int fd, error;

	if (!address_bytes || (size_t)bytes >= sizeof(header))
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* The socket is new: it takes all of the header at once. */
	if (!connect(fd, (struct sockaddr *)&address, address_bytes) && !shutdown(fd, SHUT_RD) &&
	    send(fd, header, (size_t)bytes, MSG_NOSIGNAL) == bytes) {
		grow_send_buffer(fd);
		return fd;
	}
	error = -errno;
	close(fd);
	return error;
}

int systemd_notify(const char *state)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t address_bytes = path ? address_fill(&address, path) : 0;
	int fd;
	bool full;

	if (!address_bytes)
		return 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	full = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
		      (struct sockaddr *)&address, address_bytes) < 0 &&
	       errno == EAGAIN;
	close(fd);
	return full ? -EAGAIN : 0;
}
