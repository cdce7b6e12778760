// SPDX-License-Identifier: MIT
/*
 * Goal: a client on the relay's end meets the server as if it had dialled by itself, though the greeting
 * was consumed before; and nothing keeps the relay beyond its deadline, or its end.
 * Method: libnbd is the client; nbdkit, and peers that stall, are the servers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libnbd.h>

#include "gateway/map/relay.h"
#include "tests/unit/peers.h"
#include "tls/clock.h"

static char *const nbdkit[] = { "nbdkit", "pattern", "64M", NULL };
static struct nbd_uri target;

static void open_to(const struct dial_address *address, struct dial_result *opened)
{
	const struct dial_options options = {
		.target = &target,
		.goal = NBD_GOAL_IDLE,
		.addresses = address,
		.addresses_count = 1,
		.timeout_ms = 3000,
	};

	assert_int_equal(dial_run(&options, opened), 0);
	assert_non_null(opened->transport);
	assert_null(opened->export);
}

/* Reads 32 MiB and some, in one request each way: more than any buffer between holds. */
static void read_by_libnbd(struct relay *relay)
{
	const size_t len = 32u << 20;
	struct nbd_handle *nbd = nbd_create();
	uint8_t *bytes = malloc(len);

	assert_int_equal(nbd_connect_socket(nbd, relay_take_fd(relay)), 0);
	assert_int_equal(nbd_get_size(nbd), 64 << 20);
	assert_int_equal(nbd_pread(nbd, bytes, len, 4096, 0), 0);
	for (size_t at = 0; at < len; at += 8)
		assert_int_equal(wire_get64(bytes + at), 4096 + at);
	assert_int_equal(nbd_shutdown(nbd, 0), 0);
	nbd_close(nbd);
	free(bytes);
}

static void test_relayed(void **state)
{
	int before = peer_count_fds();
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 8, &address));
	struct dial_result opened;
	struct relay *relay;

	(void)state;
	open_to(&address, &opened);
	assert_int_equal(relay_start(&relay, &opened, clock_now_ms() + 20000), 0);
	assert_null(opened.transport);
	read_by_libnbd(relay);
	assert_false(relay_is_late(relay));
	relay_stop(relay);
	peer_stop(&peer);
	assert_int_equal(peer_count_fds(), before);
}

/* libnbd alone would wait for ever. */
static void test_late(void **state)
{
	static const enum peer_script scripts[] = { PEER_STALL_OPTION, PEER_STALL_PARTIAL };
	struct dial_address address;
	struct dial_result opened;
	struct nbd_handle *nbd;
	struct relay *relay;
	struct peer peer;
	int64_t started_ms;

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		peer = peer_script(scripts[i], peer_listen(AF_INET, NULL, 8, &address));
		open_to(&address, &opened);
		started_ms = clock_now_ms();
		assert_int_equal(relay_start(&relay, &opened, started_ms + 400), 0);
		nbd = nbd_create();
		assert_int_equal(nbd_connect_socket(nbd, relay_take_fd(relay)), -1);
		assert_in_range(clock_now_ms() - started_ms, 400, 1200);
		assert_true(relay_is_late(relay));
		nbd_close(nbd);
		relay_stop(relay);
		peer_stop(&peer);
	}
}

/* A deadline that was moved while it was to come holds no more. */
static void test_extended(void **state)
{
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 8, &address));
	struct nbd_handle *nbd = nbd_create();
	struct dial_result opened;
	struct relay *relay;
	uint8_t bytes[512];

	(void)state;
	open_to(&address, &opened);
	assert_int_equal(relay_start(&relay, &opened, clock_now_ms() + 300), 0);
	relay_extend(relay, clock_now_ms() + 20000);
	assert_int_equal(nbd_connect_socket(nbd, relay_take_fd(relay)), 0);
	usleep(500000);
	assert_int_equal(nbd_pread(nbd, bytes, sizeof(bytes), 0, 0), 0);
	assert_false(relay_is_late(relay));
	nbd_close(nbd);
	relay_stop(relay);
	peer_stop(&peer);
}

/* The server ends: the client hears of it. */
static void test_server_ends(void **state)
{
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 8, &address));
	struct nbd_handle *nbd = nbd_create();
	struct dial_result opened;
	struct relay *relay;
	uint8_t bytes[512];

	(void)state;
	open_to(&address, &opened);
	assert_int_equal(relay_start(&relay, &opened, clock_now_ms() + 20000), 0);
	assert_int_equal(nbd_connect_socket(nbd, relay_take_fd(relay)), 0);
	peer_stop(&peer);
	assert_int_equal(nbd_pread(nbd, bytes, sizeof(bytes), 0, 0), -1);
	assert_false(relay_is_late(relay));
	nbd_close(nbd);
	relay_stop(relay);
}

/* Stopped before anybody has taken the client's end, and while the server says nothing. */
static void test_stop(void **state)
{
	int before = peer_count_fds();
	struct dial_address address;
	struct peer peer = peer_script(PEER_STALL_OPTION, peer_listen(AF_INET, NULL, 8, &address));
	struct dial_result opened;
	struct relay *relay;
	int64_t started_ms;

	(void)state;
	for (int i = 0; i < 2; i++) {
		open_to(&address, &opened);
		assert_int_equal(relay_start(&relay, &opened, clock_now_ms() + 20000), 0);
		started_ms = clock_now_ms();
		relay_stop(relay);
		assert_in_range(clock_now_ms() - started_ms, 0, 500);
		assert_int_equal(peer_event(&peer, 1000), 'C');
		assert_int_equal(peer_event(&peer, 1000), 'E');
	}
	peer_stop(&peer);
	assert_int_equal(peer_count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relayed), cmocka_unit_test(test_extended),
		cmocka_unit_test(test_late),	cmocka_unit_test(test_server_ends),
		cmocka_unit_test(test_stop),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
