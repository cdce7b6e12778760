// SPDX-License-Identifier: MIT
/* The NBD stream as it is, on a connected socket. */
#include "tls/clock.h"
#include "tls/transport.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Waits until the socket is ready for events, or in error (the next call on it will say which).
 * The socket itself is blocking, so each call on it is MSG_DONTWAIT, and here is where we wait. */
static int plain_wait(int fd, short events, int64_t deadline_ms)
{
	struct pollfd ready = { .fd = fd, .events = events };
	int64_t left_ms;
	int n;

	for (;;) {
		left_ms = deadline_ms - clock_now_ms();
		if (left_ms <= 0)
			return -ETIMEDOUT;
		n = poll(&ready, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static ssize_t plain_read(struct transport *transport, void *buf, size_t len, int64_t deadline_ms)
{
	ssize_t n;
	int error;

	for (;;) {
		n = recv(transport->fd, buf, len, MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return -errno;
		error = plain_wait(transport->fd, POLLIN, deadline_ms);
		if (error)
			return error;
	}
}

static int plain_write(struct transport *transport, const void *buf, size_t len,
		       int64_t deadline_ms)
{
	const char *bytes = buf;
	ssize_t n;
	int error;

	while (len > 0) {
		n = send(transport->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return -errno;
		error = plain_wait(transport->fd, POLLOUT, deadline_ms);
		if (error)
			return error;
	}
	return 0;
}

static void plain_close(struct transport *transport)
{
	close(transport->fd);
	free(transport);
}

static const struct transport_ops plain_ops = {
	.name = "plain",
	.read = plain_read,
	.write = plain_write,
	.close = plain_close,
};

int transport_plain_open(int fd, struct transport **out)
{
	struct transport *transport = calloc(1, sizeof(*transport));

	if (!transport)
		return -ENOMEM;
	transport->ops = &plain_ops;
	transport->fd = fd;
	transport->direct_tx = true;
	transport->send_flags = MSG_WAITALL;
	transport->direct_rx = true;
	*out = transport;
	return 0;
}

void transport_plain_release(struct transport *transport)
{
	free(transport);
}
