/* SPDX-License-Identifier: MIT */
/*
 * peers.h - what the tests of the network side talk to: real servers, started on a socket that the
 * test has bound (so no port is ever guessed), and a scripted one that does what no real one does.
 * Each peer is a child process, ended by its pid.
 */
#ifndef TESTS_UNIT_PEERS_H
#define TESTS_UNIT_PEERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/common/dial.h"
#include "proto/wire.h"

#define PEER_DRIP_MS 20
/* For nbd-server to write its pid, 10 ms each: it must not be left behind where the machine is busy. */
#define NBD_SERVER_TRIES 3000
/* Connections that are tried until it greets, and how long each is waited for. */
#define NBD_SERVER_GREETINGS   5
#define NBD_SERVER_GREETING_MS 3000
#define PEER_UNUSED	       __attribute__((unused))

struct peer {
	pid_t pid;
	int events_fd; /* scripted peers: one letter for each thing that happened */
	struct dial_address address;
};

/* Bytes a scripted peer sends, and when it stops. */
enum peer_script {
	PEER_SILENT,	    /* accepts, says nothing */
	PEER_HTTP,	    /* greets as a web server does */
	PEER_GARBAGE,	    /* greets with noise */
	PEER_OLDSTYLE,	    /* greets as NBD did before 2011 */
	PEER_DRIP,	    /* serves, each byte on its own */
	PEER_STALL_OPTION,  /* greets, answers no option */
	PEER_STALL_PARTIAL, /* greets, answers with half a reply */
	PEER_SERVE,	    /* serves an export of 1 MiB, knows structured replies and GO */
	PEER_DROP_EXTENDED, /* serves, but closes upon EXTENDED_HEADERS */
	PEER_DROP_OPTIONS,  /* serves, but closes upon EXTENDED_HEADERS and STRUCTURED_REPLY */
	PEER_DROP_ALL,	    /* closes upon any option */
	PEER_NO_INFO,	    /* serves, but does not know INFO */
	PEER_OLD,	    /* PEER_DROP_OPTIONS and PEER_NO_INFO */
	PEER_CLOSE,	    /* closes at once */
};

#define PEER_ADDRESS(a) ((struct sockaddr *)&(a)->address)

/* A listening socket of this family: 127.0.0.1 or ::1 at a free port, or the unix path. */
PEER_UNUSED static int peer_listen(int family, const char *path, int backlog,
				   struct dial_address *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&out->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->address;
	struct sockaddr_un *un = (struct sockaddr_un *)&out->address;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(out, 0, sizeof(*out));
	out->address.ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		out->address_bytes = sizeof(*in);
	} else if (family == AF_INET6) {
		in6->sin6_addr = in6addr_loopback;
		out->address_bytes = sizeof(*in6);
	} else {
		memcpy(un->sun_path, path, strlen(path));
		out->address_bytes =
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
		if (path[0] == '@') {
			un->sun_path[0] = '\0';
			out->address_bytes--;
		} else {
			unlink(path);
		}
	}
	if (fd < 0 || bind(fd, PEER_ADDRESS(out), out->address_bytes) || listen(fd, backlog) ||
	    getsockname(fd, PEER_ADDRESS(out), &out->address_bytes)) {
		perror("peer_listen");
		abort();
	}
	return fd;
}

PEER_UNUSED static void peer_stop(struct peer *peer)
{
	kill(peer->pid, SIGTERM);
	for (int i = 0; i < 200 && waitpid(peer->pid, NULL, WNOHANG) == 0; i++) {
		if (i == 150)
			kill(peer->pid, SIGKILL);
		usleep(10000);
	}
	if (peer->events_fd >= 0)
		close(peer->events_fd);
}

/* Runs argv with listen_fd as systemd would; closes listen_fd here. */
PEER_UNUSED static struct peer peer_exec(char *const argv[], int listen_fd)
{
	struct peer peer = { .events_fd = -1 };
	char pid[16];

	peer.pid = fork();
	if (peer.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(pid, sizeof(pid), "%d", getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "1", 1);
		/* Their complaints about clients that leave are what these tests provoke. */
		if (!getenv("PEER_VERBOSE"))
			dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		if (dup2(listen_fd, 3) < 0 || (listen_fd == 3 && fcntl(3, F_SETFD, 0)))
			_exit(126);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(listen_fd);
	return peer;
}

/* The one that peer_nbd_server() started, and who did; 0: none. */
static pid_t peer_nbd_server_pid, peer_nbd_server_owner;

PEER_UNUSED static void peer_nbd_server_end(void)
{
	if (peer_nbd_server_pid > 0 && peer_nbd_server_owner == getpid())
		kill(peer_nbd_server_pid, SIGTERM);
	peer_nbd_server_pid = 0;
}

/* nbd-server 3.24 now and then never serves its first connection, but all later ones: the first is spent. */
PEER_UNUSED static bool peer_nbd_server_greets(const char *folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	bool greeted = false;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/nbd-server.sock", folder);
	for (int i = 0; i < NBD_SERVER_GREETINGS && !greeted; i++) {
		struct pollfd fd = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
				     .events = POLLIN };

		greeted = connect(fd.fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			  poll(&fd, 1, NBD_SERVER_GREETING_MS) == 1;
		close(fd.fd);
	}
	return greeted;
}

/* nbd-server takes no socket from us, and goes into the background: its pid is in a file. It listens at
 * nbd-server.sock in the folder; exports: those sections of its configuration. The pid, or 0. It ends by
 * peer_nbd_server_end(), or with the test's program: a failed assertion leaves none behind. One at a time. */
PEER_UNUSED static pid_t peer_nbd_server(const char *folder, const char *exports)
{
	char config[128], pid_path[128];
	char *argv[] = { "nbd-server", "-C", config, "-p", pid_path, NULL };
	struct dial_address spare;
	struct peer peer;
	pid_t pid = 0;
	FILE *file;

	snprintf(config, sizeof(config), "%s/nbd-server.conf", folder);
	snprintf(pid_path, sizeof(pid_path), "%s/nbd-server.pid", folder);
	close(peer_listen(AF_INET, NULL, 1, &spare));
	file = fopen(config, "we");
	fprintf(file,
		"[generic]\nunixsock = %s/nbd-server.sock\nlistenaddr = 127.0.0.1\nport = %d\n"
		"allowlist = true\n%s",
		folder, ntohs(((struct sockaddr_in *)&spare.address)->sin_port), exports);
	fclose(file);
	peer = peer_exec(argv, open("/dev/null", O_RDONLY | O_CLOEXEC));
	for (int i = 0; i < NBD_SERVER_TRIES && pid == 0; i++) {
		usleep(10000);
		file = fopen(pid_path, "re");
		if (file && fscanf(file, "%d", &pid) != 1)
			pid = 0;
		if (file)
			fclose(file);
	}
	peer_stop(&peer);
	peer_nbd_server_pid = pid;
	peer_nbd_server_owner = getpid();
	atexit(peer_nbd_server_end);
	return peer_nbd_server_greets(folder) ? pid : 0;
}

/* --- the scripted peer, in its process ---------------------------------------------------------- */

static void peer_send(int fd, const void *bytes, size_t len, bool drip)
{
	for (size_t at = 0; at < len; at += drip ? 1 : len) {
		if (send(fd, (const char *)bytes + at, drip ? 1 : len, MSG_NOSIGNAL) < 0)
			return;
		if (drip)
			usleep(PEER_DRIP_MS * 1000);
	}
}

static bool peer_receive(int fd, void *bytes, size_t len)
{
	return len == 0 || recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

static void peer_reply(int fd, uint32_t option, uint32_t type, const uint8_t *data,
		       uint32_t data_bytes)
{
	uint8_t head[20 + 64];

	wire_put64(head, NBD_MAGIC_OPTION_REPLY);
	wire_put32(head + 8, option);
	wire_put32(head + 12, type);
	wire_put32(head + 16, data_bytes);
	memcpy(head + 20, data, data_bytes);
	peer_send(fd, head, 20 + data_bytes, false);
}

static void peer_reply_export(int fd, uint32_t option)
{
	uint8_t info[12] = { 0 };

	wire_put64(info + 2, 1 << 20);
	wire_put16(info + 10, NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH);
	peer_reply(fd, option, NBD_REP_INFO, info, sizeof(info));
	peer_reply(fd, option, NBD_REP_ACK, info, 0);
}

/* One option; false when the connection is to be closed. */
static bool peer_answer(int fd, enum peer_script script, uint32_t option)
{
	const uint8_t none[1] = { 0 };
	bool drops = script == PEER_DROP_OPTIONS || script == PEER_OLD;
	bool knows_info = script != PEER_NO_INFO && script != PEER_OLD;

	if (script == PEER_DROP_ALL ||
	    (option == NBD_OPT_EXTENDED_HEADERS && script == PEER_DROP_EXTENDED) ||
	    ((option == NBD_OPT_EXTENDED_HEADERS || option == NBD_OPT_STRUCTURED_REPLY) && drops))
		return false;
	if (option == NBD_OPT_STRUCTURED_REPLY)
		peer_reply(fd, option, NBD_REP_ACK, none, 0);
	else if (option == NBD_OPT_GO || (option == NBD_OPT_INFO && knows_info))
		peer_reply_export(fd, option);
	else
		peer_reply(fd, option, NBD_REP_ERR_UNSUP, none, 0);
	return option != NBD_OPT_ABORT;
}

static void peer_greet(int fd, bool drip)
{
	uint8_t greeting[18];

	wire_put64(greeting, NBD_MAGIC_INIT);
	wire_put64(greeting + 8, NBD_MAGIC_OPTION);
	wire_put16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	peer_send(fd, greeting, sizeof(greeting), drip);
}

/* Serves options, then waits for DISC ('D') or the end. */
static void peer_serve(int fd, enum peer_script script, int events_fd)
{
	uint8_t head[28], data[8192];
	uint32_t option = 0, len;

	peer_greet(fd, script == PEER_DRIP);
	if (!peer_receive(fd, head, 4))
		return;
	while (option != NBD_OPT_GO) {
		if (!peer_receive(fd, head, 16))
			return;
		option = wire_get32(head + 8);
		len = wire_get32(head + 12);
		if (len > sizeof(data) || !peer_receive(fd, data, len))
			return;
		if (script == PEER_STALL_PARTIAL)
			peer_send(fd, "\x00\x03\xe8\x89\x04\x55", 6, false);
		if (script == PEER_STALL_OPTION || script == PEER_STALL_PARTIAL)
			return;
		if (!peer_answer(fd, script, option)) {
			shutdown(fd, SHUT_RDWR);
			return;
		}
	}
	if (peer_receive(fd, head, sizeof(head)) && wire_get16(head + 6) == NBD_CMD_DISC &&
	    write(events_fd, "D", 1) < 0)
		_exit(1);
}

static void peer_run(int fd, enum peer_script script, int events_fd)
{
	uint8_t old[152] = "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53";
	uint8_t rest[512];

	switch (script) {
	case PEER_SILENT:
		break;
	case PEER_CLOSE:
		return;
	case PEER_HTTP:
		peer_send(fd, "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", 39, false);
		break;
	case PEER_GARBAGE:
		peer_send(fd, "\xff\x00\xfe\x01\xfd\x02\xfc\x03\xfb\x04\xfa\x05\xf9\x06\xf8\x07z",
			  17, false);
		peer_send(fd, "yx", 2, false);
		break;
	case PEER_OLDSTYLE:
		peer_send(fd, old, sizeof(old), false);
		break;
	default:
		peer_serve(fd, script, events_fd);
	}
	/* 'E': the other side has closed. */
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
}

/* A peer with this script on listen_fd, which is closed here. Writes 'C' for each connection, 'D'
 * for a DISC, 'E' for each connection's end, to events_fd. One connection at a time. */
PEER_UNUSED static struct peer peer_script(enum peer_script script, int listen_fd)
{
	struct peer peer = { .events_fd = -1 };
	int events[2], fd;

	if (pipe2(events, O_CLOEXEC))
		abort();
	peer.pid = fork();
	if (peer.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		for (;;) {
			fd = accept(listen_fd, NULL, NULL);
			if (fd < 0 || write(events[1], "C", 1) < 0)
				_exit(1);
			peer_run(fd, script, events[1]);
			if (write(events[1], "E", 1) < 0)
				_exit(1);
			close(fd);
		}
	}
	close(events[1]);
	close(listen_fd);
	peer.events_fd = events[0];
	return peer;
}

/* The next event, or 0 when none comes within timeout_ms. */
PEER_UNUSED static char peer_event(const struct peer *peer, int timeout_ms)
{
	struct pollfd ready = { .fd = peer->events_fd, .events = POLLIN };
	char event = 0;

	if (poll(&ready, 1, timeout_ms) <= 0 || read(peer->events_fd, &event, 1) != 1)
		return 0;
	return event;
}

/* How many connections there were up to now. */
PEER_UNUSED static int peer_connections(const struct peer *peer)
{
	int count = 0;
	char event;

	while ((event = peer_event(peer, 100)))
		count += event == 'C';
	return count;
}

/* A TCP address where connecting neither succeeds nor fails: nobody accepts, and the queue is
 * full. fds get what must be closed afterwards. */
PEER_UNUSED static void peer_black_hole(struct dial_address *address, int fds[3])
{
	fds[0] = peer_listen(AF_INET, NULL, 0, address);
	for (int i = 1; i < 3; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fds[i], PEER_ADDRESS(address), address->address_bytes) &&
		    errno != EINPROGRESS)
			abort();
	}
}

/* An address where nobody listens. */
PEER_UNUSED static void peer_nobody(int family, struct dial_address *address)
{
	close(peer_listen(family, NULL, 1, address));
}

/* How many descriptors this process has. */
PEER_UNUSED static int peer_count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif
