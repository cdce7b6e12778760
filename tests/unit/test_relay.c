// SPDX-License-Identifier: MIT
/*
 * Goal: a client on the relay's end meets the server as if it had dialled by itself, also when the
 * greeting was consumed before; and nothing keeps the relay beyond its deadline, or its end.
 * Method: libnbd is the client; nbdkit, and peers that stall, are the servers. The consumed greeting
 * is read by the test, as a TLS dial would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libnbd.h>

#include "gateway/cli/relay.h"
#include "tests/unit/peers.h"

static char *const nbdkit[] = { "nbdkit", "pattern", "64M", NULL };
static struct nbd_uri target;

static void open_to(const struct dial_address *address, struct dial_result *opened)
{
	const struct dial_options options = {
		.target = &target,
		.addresses = address,
		.addresses_count = 1,
		.timeout_ms = 3000,
	};

	assert_int_equal(dial_open(&options, opened), 0);
	assert_non_null(opened->transport);
	assert_null(opened->export);
	assert_int_equal(opened->greeting_bytes, 0);
}

/* What a dial through STARTTLS has done: the greeting read, and answered. */
static void consume_greeting(struct dial_result *opened)
{
	int64_t deadline_ms = dial_now_ms() + 3000;
	uint8_t flags[DIAL_CLIENT_FLAGS_BYTES];

	for (uint32_t at = 0; at < DIAL_GREETING_BYTES; at++)
		assert_int_equal(opened->transport->ops->read(
					 opened->transport, opened->greeting + at, 1, deadline_ms),
				 1);
	opened->greeting_bytes = DIAL_GREETING_BYTES;
	wire_put32(flags, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	assert_int_equal(
		opened->transport->ops->write(opened->transport, flags, sizeof(flags), deadline_ms),
		0);
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

static void relayed(bool consumed)
{
	int before = peer_count_fds();
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 8, &address));
	struct dial_result opened;
	struct relay *relay;

	open_to(&address, &opened);
	if (consumed)
		consume_greeting(&opened);
	assert_int_equal(relay_start(&relay, &opened, dial_now_ms() + 20000), 0);
	assert_null(opened.transport);
	read_by_libnbd(relay);
	assert_false(relay_is_late(relay));
	relay_stop(relay);
	peer_stop(&peer);
	assert_int_equal(peer_count_fds(), before);
}

static void test_greeting_to_come(void **state)
{
	(void)state;
	relayed(false);
}

static void test_greeting_replayed(void **state)
{
	(void)state;
	relayed(true);
}

/* libnbd alone would wait for ever. */
static void test_late(void **state)
{
	static const enum peer_script scripts[] = { PEER_SILENT, PEER_STALL_OPTION,
						    PEER_STALL_PARTIAL };
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
		started_ms = dial_now_ms();
		assert_int_equal(relay_start(&relay, &opened, started_ms + 400), 0);
		nbd = nbd_create();
		assert_int_equal(nbd_connect_socket(nbd, relay_take_fd(relay)), -1);
		assert_in_range(dial_now_ms() - started_ms, 400, 1200);
		assert_true(relay_is_late(relay));
		nbd_close(nbd);
		relay_stop(relay);
		peer_stop(&peer);
	}
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
	assert_int_equal(relay_start(&relay, &opened, dial_now_ms() + 20000), 0);
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
	struct peer peer = peer_script(PEER_SILENT, peer_listen(AF_INET, NULL, 8, &address));
	struct dial_result opened;
	struct relay *relay;
	int64_t started_ms;

	(void)state;
	for (int consumed = 0; consumed < 2; consumed++) {
		open_to(&address, &opened);
		opened.greeting_bytes = consumed ? DIAL_GREETING_BYTES : 0;
		assert_int_equal(relay_start(&relay, &opened, dial_now_ms() + 20000), 0);
		started_ms = dial_now_ms();
		relay_stop(relay);
		assert_in_range(dial_now_ms() - started_ms, 0, 500);
		assert_int_equal(peer_event(&peer, 1000), 'C');
		assert_int_equal(peer_event(&peer, 1000), 'E');
	}
	peer_stop(&peer);
	assert_int_equal(peer_count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting_to_come),
		cmocka_unit_test(test_greeting_replayed),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_server_ends),
		cmocka_unit_test(test_stop),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
