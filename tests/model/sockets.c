/* SPDX-License-Identifier: MIT */
/* Over AF_UNIX, or TCP on loopback. Nothing of this is to fail on a healthy machine. */
#include "tests/model/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/model/failure.h"

#define MASK_BYTE 0xa5
#define MASK	  UINT64_C(0xa5a5a5a5a5a5a5a5)

void sockets_mask(uint8_t *bytes, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); bytes += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		word ^= MASK;
		memcpy(bytes, &word, sizeof(word));
	}
	for (size_t i = 0; i < len; i++)
		bytes[i] ^= MASK_BYTE;
}

/* --- the masked transport --------------------------------------------------------------------------- */

static ssize_t masked_move(struct transport *transport, const void *buf, size_t len, void *out,
			   size_t out_bytes)
{
	(void)transport;
	if (len > out_bytes)
		return -ENOSPC;
	memcpy(out, buf, len);
	sockets_mask(out, len);
	return (ssize_t)len;
}

static void masked_close(struct transport *transport)
{
	close(transport->fd);
	free(transport);
}

static const struct transport_ops masked_ops = {
	.name = "masked",
	.seal = masked_move,
	.open = masked_move,
	.close = masked_close,
};

static struct transport *masked_open(int fd)
{
	struct transport *transport = calloc(1, sizeof(*transport));

	if (!transport)
		abort();
	transport->ops = &masked_ops;
	transport->fd = fd;
	transport->send_flags = MSG_WAITALL;
	return transport;
}

/* --- pairs -------------------------------------------------------------------------------------------- */

static int check(int ret, const char *what)
{
	if (ret < 0)
		failure_report("cannot %s: %s", what, strerror(errno));
	return ret;
}

static void tcp_pair(int *pair)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t address_bytes = sizeof(address);
	int listener = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "make a socket");
	const int one = 1;

	check(bind(listener, (struct sockaddr *)&address, address_bytes), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &address_bytes), "name");
	pair[0] = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "make a socket");
	check(connect(pair[0], (struct sockaddr *)&address, address_bytes), "connect");
	pair[1] = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	close(listener);
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Not of TCP: with buffers of less than some segments it stands still until an acknowledgement that is delayed. */
static void limit_buffers(const struct plan *plan, int fd)
{
	int bytes = (int)plan->socket_buffer_bytes;

	if (!bytes || plan->socket == PLAN_TCP)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int sockets_connect(const struct plan *plan, struct transport **client)
{
	int pair[2];

	if (plan->socket == PLAN_TCP)
		tcp_pair(pair);
	else
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "make a pair");
	for (int i = 0; i < 2; i++)
		limit_buffers(plan, pair[i]);
	check(fcntl(pair[1], F_SETFL, O_NONBLOCK), "make a socket non-blocking");
	if (plan->masked)
		*client = masked_open(pair[0]);
	else if (transport_plain_open(pair[0], client) < 0)
		abort();
	return pair[1];
}
