// SPDX-License-Identifier: MIT
/*
 * Goal: journald and a service's supervisor are told what libsystemd would tell them, and nothing happens where
 * there are none.
 * Method: sockets of our own take it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/systemd.h"

/* More than any net.unix.max_dgram_qlen lets wait. */
#define FULL_MAX 100000

static char directory[] = "/tmp/test-systemd-XXXXXX";
static char place[64];

/* A socket at path, where '@' begins an abstract name. */
static int bound(int type, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t bytes = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	else
		unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)bytes), 0);
	return fd;
}

static void test_journal(void **state)
{
	int listener = bound(SOCK_STREAM, place), fd, peer;
	char text[200] = "";

	(void)state;
	assert_int_equal(listen(listener, 1), 0);
	fd = systemd_journal_open(place, "ublk-nbd");
	assert_true(fd > STDERR_FILENO);
	assert_int_equal(write(fd, "<3>said\n", 8), 8);
	close(fd);
	peer = accept(listener, NULL, NULL);
	assert_true(recv(peer, text, sizeof(text) - 1, MSG_WAITALL) > 0);
	assert_string_equal(text, "ublk-nbd\n\n6\n1\n0\n0\n0\n<3>said\n");
	close(peer);
	close(listener);
}

static void test_no_journal(void **state)
{
	char path[200];

	(void)state;
	unlink(place);
	assert_int_equal(systemd_journal_open(place, "ublk-nbd"), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(systemd_journal_open(path, "ublk-nbd"), -EINVAL);
	assert_int_equal(systemd_journal_open("relative", "ublk-nbd"), -EINVAL);
}

static void notify_at(const char *path)
{
	int fd = bound(SOCK_DGRAM, path);
	char text[100] = "";

	setenv("NOTIFY_SOCKET", path, 1);
	systemd_notify("READY=1\nSTATUS=Serving /dev/ublkb0");
	assert_int_equal(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), 34);
	assert_string_equal(text, "READY=1\nSTATUS=Serving /dev/ublkb0");
	close(fd);
}

static void test_notify(void **state)
{
	char abstract[64];

	(void)state;
	notify_at(place);
	snprintf(abstract, sizeof(abstract), "@test-systemd-%d", getpid());
	notify_at(abstract);
	/* Nobody listens, or nobody wants to know: no more than that. */
	systemd_notify("STOPPING=1");
	setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	systemd_notify("STOPPING=1");
	unsetenv("NOTIFY_SOCKET");
	systemd_notify("STOPPING=1");
}

/* A supervisor that reads nothing: we are told so, and do not wait. */
static void test_notify_full(void **state)
{
	int fd = bound(SOCK_DGRAM, place), told = 0;
	char text[100];

	(void)state;
	setenv("NOTIFY_SOCKET", place, 1);
	alarm(20);
	while (told < FULL_MAX && systemd_notify("READY=1") == 0)
		told++;
	assert_in_range(told, 1, FULL_MAX - 1);
	assert_int_equal(systemd_notify("READY=1"), -EAGAIN);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
	assert_int_equal(systemd_notify("READY=1"), 0);
	alarm(0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_no_journal),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_notify_full),
	};
	int failed;

	if (!mkdtemp(directory))
		return 1;
	snprintf(place, sizeof(place), "%s/socket", directory);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(place);
	rmdir(directory);
	return failed;
}
