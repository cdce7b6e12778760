// SPDX-License-Identifier: MIT
#include "gateway/common/dial_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#include "gateway/common/tcp.h"
#include "tls/clock.h"

/* A unix socket whose queue of connections is full says so instead of letting us wait. */
#define UNIX_QUEUE_RETRY_MS 20

bool dial_watch_begin(struct dial_watch *watch, int fd)
{
	bool go_on;

	if (!watch)
		return true;
	pthread_mutex_lock(&watch->mutex);
	go_on = !watch->cut;
	if (go_on)
		watch->fd = fd;
	pthread_mutex_unlock(&watch->mutex);
	return go_on;
}

void dial_watch_end(struct dial_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->mutex);
	watch->fd = -1;
	pthread_mutex_unlock(&watch->mutex);
}

void dial_watch_cut(struct dial_watch *watch)
{
	watch->cut = true;
	if (watch->fd >= 0)
		shutdown(watch->fd, SHUT_RDWR);
}

bool dial_watch_is_cut(struct dial_watch *watch)
{
	bool cut;

	if (!watch)
		return false;
	pthread_mutex_lock(&watch->mutex);
	cut = watch->cut;
	pthread_mutex_unlock(&watch->mutex);
	return cut;
}

/* vsock gives a connection attempt 2 s of its own; ours is the deadline that counts. Failing to
 * set it leaves those 2 s, so it is no error. */
static void connect_set_vsock(int fd, int64_t left_ms)
{
	struct timeval patience = { .tv_sec = left_ms / 1000 + 1 };

	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience));
}

int dial_socket_open(const struct dial_address *address, int64_t deadline_ms)
{
	int family = address->address.ss_family;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (family == AF_INET || family == AF_INET6)
		error = tcp_set_options(fd);
	else if (family == AF_VSOCK)
		connect_set_vsock(fd, deadline_ms - clock_now_ms());
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

static int connect_poll(int fd, short events, int64_t deadline_ms)
{
	struct pollfd ready = { .fd = fd, .events = events };
	int64_t left_ms;
	int n;

	do {
		left_ms = deadline_ms - clock_now_ms();
		if (left_ms <= 0)
			return -ETIMEDOUT;
		n = poll(&ready, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

/* After EINPROGRESS, or EINTR, which leaves the attempt going on just so. */
static int connect_finish(int fd, int64_t deadline_ms)
{
	int error = connect_poll(fd, POLLOUT, deadline_ms);
	socklen_t len = sizeof(error);

	if (error)
		return error;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return -errno;
	return -error;
}

static int connect_set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		return -errno;
	return 0;
}

int dial_socket_connect(int fd, const struct dial_address *address, int64_t deadline_ms)
{
	const struct sockaddr *sa = (const struct sockaddr *)&address->address;
	int error;

	while (connect(fd, sa, address->address_bytes)) {
		if (errno == EINPROGRESS || errno == EINTR) {
			error = connect_finish(fd, deadline_ms);
			if (error)
				return error;
			break;
		}
		if (errno != EAGAIN || sa->sa_family != AF_UNIX)
			return -errno;
		if (clock_now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		poll(NULL, 0, UNIX_QUEUE_RETRY_MS);
	}
	return connect_set_blocking(fd);
}
