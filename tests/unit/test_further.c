/* SPDX-License-Identifier: MIT */
/*
 * Goal: a connection beside the first is optional: one that hangs, wherever it does, holds the disk's
 * start for a short time of its own, not for --connect-timeout, and a warning says why there is one less.
 * Method: dial_first() and dial_further() of start.c, which are private, to scripted peers (peers.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/disk/start.c" /* NOLINT(bugprone-suspicious-include): its private functions */
#include "tests/unit/peers.h"
#include "tls/clock.h"

#define CONNECT_TIMEOUT_MS 60000
/* How much later than its bound a loaded machine may be. */
#define SLACK_MS 3000

static struct disk disk;
static int reader_fd;

static int set_up(void **state)
{
	int pair[2];

	(void)state;
	memset(&disk, 0, sizeof(disk));
	disk_config_init(&disk.config);
	disk.config.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	disk.config.target.transport = NBD_TRANSPORT_TCP;
	snprintf(disk.config.target.host, sizeof(disk.config.target.host), "127.0.0.1");
	disk.signal_fd = -1;
	disk.activation.minder_fd = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	disk.ready_fd = pair[0];
	reader_fd = pair[1];
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < disk.transports_count; i++)
		transport_close(disk.transports[i]);
	free(disk.export);
	close(disk.ready_fd);
	close(reader_fd);
	return 0;
}

/* How often these words were said to whoever started the disk. */
static uint32_t count_words(const char *words)
{
	char said[8192] = "";
	uint32_t count = 0;

	recv(reader_fd, said, sizeof(said) - 1, MSG_DONTWAIT);
	for (const char *at = said; (at = strstr(at, words)); at++)
		count++;
	if (!count)
		print_message("said: %s\n", said);
	return count;
}

static struct peer first_connection(void)
{
	struct dial_address address;
	int listen_fd = peer_listen(AF_INET, NULL, 8, &address);
	struct peer peer = peer_script(PEER_SERVE, listen_fd);

	snprintf(disk.config.target.port, sizeof(disk.config.target.port), "%u",
		 ntohs(((struct sockaddr_in *)&address.address)->sin_port));
	assert_true(dial_first(&disk));
	assert_int_equal(disk.transports_count, 1);
	return peer;
}

/* Two more, to the address that is the disk's peer by now: both hang, together for no longer than one. */
static void further_hang(const char *words)
{
	int64_t began_ms = clock_now_ms(), took_ms;

	disk.geometry.connections = 3;
	assert_true(dial_further(&disk, 10));
	took_ms = clock_now_ms() - began_ms;
	assert_int_equal(disk.transports_count, 1);
	assert_int_equal(count_words(words), 2);
	assert_in_range(took_ms, FURTHER_MS_MIN - 100, FURTHER_MS_MIN + SLACK_MS);
}

/* The peer serves one connection at a time: the others are accepted by its queue, and stay there. */
static void silent_after_accepting(void **state)
{
	struct peer peer = first_connection();

	(void)state;
	further_hang("sent no NBD greeting in time");
	peer_stop(&peer);
}

static void silent_before_accepting(void **state)
{
	struct peer peer = first_connection();
	int fds[3];

	(void)state;
	peer_black_hole(&disk.peer, fds);
	further_hang("one connection less: cannot connect to");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	peer_stop(&peer);
}

static void silent_amid_an_option(void **state)
{
	struct peer peer = first_connection(), other;
	int listen_fd = peer_listen(AF_INET, NULL, 8, &disk.peer);

	(void)state;
	other = peer_script(PEER_STALL_PARTIAL, listen_fd);
	disk.geometry.connections = 2;
	assert_true(dial_further(&disk, 10));
	assert_int_equal(count_words("one connection less"), 1);
	assert_int_equal(disk.transports_count, 1);
	peer_stop(&other);
	peer_stop(&peer);
}

/* One that answers is taken, however slow: bytes that come one by one take longer than nothing. */
static void slow_is_taken(void **state)
{
	struct peer peer = first_connection(), other;
	int listen_fd = peer_listen(AF_INET, NULL, 8, &disk.peer);

	(void)state;
	other = peer_script(PEER_DRIP, listen_fd);
	disk.geometry.connections = 2;
	assert_true(dial_further(&disk, 2000));
	assert_int_equal(disk.transports_count, 2);
	peer_stop(&other);
	peer_stop(&peer);
}

static void patience(void **state)
{
	static const struct {
		uint32_t connect_timeout_ms;
		int64_t first_ms;
		uint32_t further_ms;
	} cases[] = {
		{ 30000, 0, 2000 },	{ 30000, 999, 2000 }, { 30000, 1500, 3000 },
		{ 30000, 20000, 5000 }, { 1000, 10, 1000 },   { 2500, 2000, 2500 },
		{ 3600000, 0, 2000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		disk.config.connect_timeout_ms = cases[i].connect_timeout_ms;
		assert_int_equal(further_ms(&disk, cases[i].first_ms), cases[i].further_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(silent_after_accepting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silent_before_accepting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silent_amid_an_option, set_up, tear_down),
		cmocka_unit_test_setup_teardown(slow_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(patience, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
