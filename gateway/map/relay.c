/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/map/relay.h"
#include "proto/wire.h"
#include "tls/clock.h"

#define RELAY_BYTES	   65536
#define GREETING_BYTES	   18
#define CLIENT_FLAGS_BYTES 4

struct relay {
	struct transport *server;
	struct transport *client; /* our end of the socketpair */
	int client_fd;		  /* the other end; -1 once it was taken */
	atomic_llong deadline_ms;
	pthread_t thread;
	atomic_bool late;
	uint8_t bytes[RELAY_BYTES]; /* the thread's */
};

/*
 * Carries what from has, now, to to. Several reads: a TLS transport may hold more than the socket
 * shows. Returns 0 when there is no more now, 1 at the orderly end, or -errno.
 */
static int relay_carry(struct relay *relay, struct transport *from, struct transport *to)
{
	ssize_t n;
	int error;

	for (;;) {
		n = from->ops->read(from, relay->bytes, sizeof(relay->bytes), clock_now_ms());
		if (n == -ETIMEDOUT)
			return 0;
		if (n <= 0)
			return n ? (int)n : 1;
		error = to->ops->write(to, relay->bytes, (size_t)n, relay->deadline_ms);
		if (error)
			return error;
	}
}

/* The greeting that the server sent before TLS, and that was answered: for the client, whose socket is
 * empty yet and takes it at once. */
static int relay_greet(int fd, uint16_t server_flags)
{
	uint8_t greeting[GREETING_BYTES];

	wire_put64(greeting, NBD_MAGIC_INIT);
	wire_put64(greeting + 8, NBD_MAGIC_OPTION);
	wire_put16(greeting + 16, server_flags);
	return write(fd, greeting, sizeof(greeting)) == sizeof(greeting) ? 0 : -EIO;
}

/* The server has had its answer. */
static int relay_swallow_answer(struct relay *relay)
{
	uint8_t flags[CLIENT_FLAGS_BYTES];
	size_t at = 0;
	ssize_t n;

	while (at < sizeof(flags)) {
		n = relay->client->ops->read(relay->client, flags + at, sizeof(flags) - at,
					     relay->deadline_ms);
		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
		at += (size_t)n;
	}
	return 0;
}

/* Until either side ends, or the deadline. */
static int relay_both_ways(struct relay *relay)
{
	struct pollfd ends[] = {
		{ .fd = relay->server->fd, .events = POLLIN },
		{ .fd = relay->client->fd, .events = POLLIN },
	};
	int64_t left_ms;
	int result = 0;

	while (result == 0) {
		left_ms = relay->deadline_ms - clock_now_ms();
		if (left_ms <= 0)
			return -ETIMEDOUT;
		if (poll(ends, 2, left_ms > INT_MAX ? INT_MAX : (int)left_ms) < 0 && errno != EINTR)
			return -errno;
		if (ends[0].revents)
			result = relay_carry(relay, relay->server, relay->client);
		if (result == 0 && ends[1].revents)
			result = relay_carry(relay, relay->client, relay->server);
	}
	return result;
}

static void relay_cut(struct relay *relay)
{
	shutdown(relay->client->fd, SHUT_RDWR);
	shutdown(relay->server->fd, SHUT_RDWR);
}

static void *relay_main(void *argument)
{
	struct relay *relay = argument;
	int result = relay_swallow_answer(relay);

	if (result == 0)
		result = relay_both_ways(relay);
	relay->late = result == -ETIMEDOUT;
	relay_cut(relay);
	return NULL;
}

static int relay_spawn(struct relay *relay)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&relay->thread, NULL, relay_main, relay);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

int relay_start(struct relay **out, struct dial_result *opened, int64_t deadline_ms)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int pair[2], error;

	if (!relay)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		error = -errno;
		goto free_relay;
	}
	error = relay_greet(pair[0], opened->server_flags);
	if (!error)
		error = transport_plain_open(pair[0], &relay->client);
	if (error) {
		close(pair[0]);
		goto close_client_end;
	}
	relay->server = opened->transport;
	relay->client_fd = pair[1];
	relay->deadline_ms = deadline_ms;
	error = relay_spawn(relay);
	if (error)
		goto close_client;
	opened->transport = NULL;
	*out = relay;
	return 0;

close_client:
	transport_close(relay->client);
close_client_end:
	close(pair[1]);
free_relay:
	free(relay);
	return error;
}

int relay_take_fd(struct relay *relay)
{
	int fd = relay->client_fd;

	relay->client_fd = -1;
	return fd;
}

void relay_extend(struct relay *relay, int64_t deadline_ms)
{
	relay->deadline_ms = deadline_ms;
}

bool relay_is_late(struct relay *relay)
{
	return relay->late;
}

void relay_stop(struct relay *relay)
{
	relay_cut(relay);
	pthread_join(relay->thread, NULL);
	if (relay->client_fd >= 0)
		close(relay->client_fd);
	transport_close(relay->client);
	transport_close(relay->server);
	free(relay);
}
