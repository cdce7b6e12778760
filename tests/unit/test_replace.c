/* SPDX-License-Identifier: MIT */
/*
 * Goal: a healthy client keeps its connections when new ones cannot take their places, whatever the reason: none
 * is left before all that can be refused was.
 * Method: a client without a queue, on a real ring and socket pairs; replace.c is driven by hand up to the
 * moment when it leaves the first connection, or refuses.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/nbd/client.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/replace.h"
#include "tests/unit/transport_pair.h"

#define CONNECTIONS 2

static struct nbd_export export = { .size_bytes = 1 << 20, .block_minimum_bytes = 1 };
static struct nbd_client_shared shared;
static struct nbd_client client;
static struct io_uring ring;
static struct stats stats;
static struct trouble trouble;
static int peers[2 * CONNECTIONS];

static int setup(void **state)
{
	struct transport *transports[CONNECTIONS];

	(void)state;
	memset(&stats, 0, sizeof(stats));
	trouble_init(&trouble);
	shared.export = &export;
	shared.timeout_ms = 1000;
	holds_init(&shared.holds);
	server_link_init(&shared.link, -1);
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		transports[i] = transport_pair_open(&peers[i]);
	assert_int_equal(nbd_client_open(&client, &shared, transports, CONNECTIONS), 0);
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		client.incoming[i] = transport_pair_open(&peers[CONNECTIONS + i]);
	client.base.ring = &ring;
	client.base.stats = &stats;
	client.base.trouble = &trouble;
	return ring_open(&ring, 8);
}

static int teardown(void **state)
{
	(void)state;
	ring_close(&ring);
	nbd_client_close(&client);
	for (uint32_t i = 0; i < 2 * CONNECTIONS; i++)
		if (peers[i] >= 0)
			close(peers[i]);
	return 0;
}

/* places: how many of the table of files there are. */
static void register_files(uint32_t places)
{
	int fds[RING_FILE_BACKEND + CONNECTIONS * CONNECTION_FILES];

	for (uint32_t i = 0; i < places; i++)
		fds[i] = -1;
	for (uint32_t i = 0; i < CONNECTIONS && connection_file_of(i) < places; i++)
		fds[connection_file_of(i)] = client.connections[i].transport->fd;
	assert_int_equal(ring_register_files(&ring, fds, places), 0);
}

static void replace(void)
{
	replace_begin(&client);
	replace_advance(&client);
}

static void assert_refused(int error)
{
	assert_int_equal(client.replaced, error);
	assert_int_equal(client.replacing, REPLACE_NONE);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		assert_int_equal(connection_state(&client.connections[i]), CONNECTION_LIVE);
		assert_false(client.connections[i].leaving);
		assert_null(client.connections[i].waiting_head); /* no DISC */
		assert_int_equal(client.connections[i].file, connection_file_of(i));
		assert_non_null(client.incoming[i]);
	}
}

static void one_that_has_ended_is_refused(void **state)
{
	(void)state;
	register_files(connection_file_of(CONNECTIONS));
	close(peers[CONNECTIONS + 1]);
	peers[CONNECTIONS + 1] = -1;
	replace();
	assert_refused(-ECONNRESET);
}

/* The kernel's refusal, here for the second one, comes before anything is left, too. */
static void the_rings_refusal_comes_first(void **state)
{
	(void)state;
	register_files(connection_file_of(1) + 1);
	replace();
	assert_refused(-EINVAL);
}

static void good_ones_are_taken(void **state)
{
	(void)state;
	register_files(connection_file_of(CONNECTIONS));
	replace();
	assert_int_equal(client.replacing, REPLACE_LEAVING);
	assert_true(client.connections[0].leaving);
	assert_int_equal(client.replaced, 0);
}

static void another_kind_does_not_fit(void **state)
{
	struct transport other = *client.incoming[0];

	(void)state;
	assert_true(connection_fits(&client.connections[0], &other));
	other.direct_rx = false;
	assert_false(connection_fits(&client.connections[0], &other));
	other.direct_rx = true;
	other.direct_tx = false;
	assert_false(connection_fits(&client.connections[0], &other));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(one_that_has_ended_is_refused),
		CASE(the_rings_refusal_comes_first),
		CASE(good_ones_are_taken),
		CASE(another_kind_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
