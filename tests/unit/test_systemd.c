// SPDX-License-Identifier: MIT
/*
 * Goal: a service's supervisor is told by libsystemd what state we are in, nobody waits for one that does not read,
 * and nothing happens where there is none.
 * Method: sockets of our own take it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/systemd.h"
#include "tls/clock.h"

#define READY	   "READY=1\nSTATUS=Serving /dev/ublkb0"
#define WAIT_MS	   10000
#define AT_ONCE_MS 2000
/* More than any net.unix.max_dgram_qlen lets wait. */
#define FULL_MAX 100000

static char directory[] = "/tmp/test-systemd-XXXXXX";
static char place[64];

static socklen_t address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(address->sun_path, path);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

/* A supervisor's socket at path, where '@' begins an abstract name; NOTIFY_SOCKET names it. */
static int supervise(const char *path)
{
	struct sockaddr_un address;
	socklen_t address_bytes = address_of(path, &address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (path[0] != '@')
		unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, address_bytes), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static ssize_t take(int fd, char text[100])
{
	memset(text, 0, 100);
	return recv(fd, text, 99, MSG_DONTWAIT);
}

static void notify_at(const char *path)
{
	int fd = supervise(path);
	char text[100];

	systemd_notify(READY);
	assert_true(systemd_notify_wait(WAIT_MS));
	assert_int_equal(take(fd, text), strlen(READY));
	assert_string_equal(text, READY);
	close(fd);
}

static void test_notify(void **state)
{
	char abstract[64];

	(void)state;
	notify_at(place);
	snprintf(abstract, sizeof(abstract), "@test-systemd-%d", getpid());
	notify_at(abstract);
}

/* Nobody listens, or nobody wants to know: no more than that. */
static void test_nobody(void **state)
{
	(void)state;
	setenv("NOTIFY_SOCKET", "/nowhere", 1);
	systemd_notify("STOPPING=1");
	assert_true(systemd_notify_wait(WAIT_MS));
	unsetenv("NOTIFY_SOCKET");
	systemd_notify("STOPPING=1");
	assert_true(systemd_notify_wait(0));
}

/* Messages of somebody else, as many as the supervisor's socket takes. */
static int fill(const char *path)
{
	struct sockaddr_un address;
	socklen_t address_bytes = address_of(path, &address);
	int count = 0, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	while (count < FULL_MAX &&
	       sendto(fd, "", 1, MSG_DONTWAIT, (struct sockaddr *)&address, address_bytes) == 1)
		count++;
	assert_int_equal(errno, EAGAIN);
	close(fd);
	return count;
}

/* A supervisor that reads nothing is waited for by the thread alone. It is told once it reads; a state beyond the
 * one that waits is dropped. */
static void test_notify_full(void **state)
{
	int fd = supervise(place), count = fill(place);
	int64_t began_ms = clock_now_ms();
	char text[100];

	(void)state;
	systemd_notify(READY);
	assert_false(systemd_notify_wait(0));
	systemd_notify("STOPPING=1");
	assert_false(systemd_notify_wait(50));
	assert_in_range(clock_now_ms() - began_ms, 0, AT_ONCE_MS);
	for (int i = 0; i < count; i++)
		assert_int_equal(take(fd, text), 1);
	assert_true(systemd_notify_wait(WAIT_MS));
	assert_int_equal(take(fd, text), strlen(READY));
	assert_string_equal(text, READY);
	assert_int_equal(take(fd, text), -1);
	systemd_notify("STOPPING=1");
	assert_true(systemd_notify_wait(WAIT_MS));
	assert_int_equal(take(fd, text), strlen("STOPPING=1"));
	close(fd);
}

static int need_library(void **state)
{
	(void)state;
	if (!dlopen("libsystemd.so.0", RTLD_NOW)) {
		print_message("libsystemd.so.0 is missing: tests/deps.sh installs it\n");
		return -1;
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_notify_full),
	};
	int failed;

	if (!mkdtemp(directory))
		return 1;
	snprintf(place, sizeof(place), "%s/socket", directory);
	failed = cmocka_run_group_tests(tests, need_library, NULL);
	unlink(place);
	rmdir(directory);
	return failed;
}
