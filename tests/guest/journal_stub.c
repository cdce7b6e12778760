/* SPDX-License-Identifier: MIT */
/*
 * journal_stub.c - journal_stub FILE: stands in for systemd-journald where guests have none. goal: what the
 * daemon says reaches the journal. method: listens where the journal takes streams, and appends what each
 * brings, from its header on, to FILE. Ends when it is killed; 1 and a sentence where it cannot begin.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STREAMS_MAX 16

/* Entry 0 listens. */
static struct pollfd streams[STREAMS_MAX + 1];
static nfds_t streams_count;

static int complain(const char *what)
{
	fprintf(stderr, "journal_stub: %s: %s\n", what, strerror(errno));
	return 1;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, STREAMS_MAX))
		return -1;
	return fd;
}

static void take_stream(void)
{
	int fd = accept4(streams[0].fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (streams_count > STREAMS_MAX) {
		close(fd);
		return;
	}
	streams[streams_count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* The last one takes the place of one that has ended. */
static void copy_stream(nfds_t i, int out)
{
	char bytes[4096];
	ssize_t count = read(streams[i].fd, bytes, sizeof(bytes));

	if (count > 0 && write(out, bytes, (size_t)count) == count)
		return;
	close(streams[i].fd);
	streams[i] = streams[--streams_count];
}

int main(int argc, char **argv)
{
	int out;

	if (argc != 2) {
		fputs("usage: journal_stub FILE\n", stderr);
		return 2;
	}
	out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0)
		return complain(argv[1]);
	mkdir("/run/systemd", 0755);
	mkdir("/run/systemd/journal", 0755);
	streams[0] =
		(struct pollfd){ .fd = listen_at("/run/systemd/journal/stdout"), .events = POLLIN };
	streams_count = 1;
	if (streams[0].fd < 0)
		return complain("/run/systemd/journal/stdout");
	while (poll(streams, streams_count, -1) > 0) {
		for (nfds_t i = streams_count - 1; i > 0; i--)
			if (streams[i].revents)
				copy_stream(i, out);
		if (streams[0].revents)
			take_stream();
	}
	return complain("poll");
}
