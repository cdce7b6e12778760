/* SPDX-License-Identifier: MIT */
/*
 * Goal: a healthy queue keeps its connections when new ones cannot take their places, whatever the reason: none
 * is left before all that can be refused was.
 * Method: a queue without a thread, on a real ring and socket pairs; replace.c is driven by hand up to the
 * moment when it leaves the first connection, or refuses.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/disk/queue.h"

#define CONNECTIONS 2

static struct nbd_export export = { .size_bytes = 1 << 20, .block_minimum_bytes = 1 };
static struct queue_shared shared;
static struct queue queue;
static struct wire_request part;
static int peers[2 * CONNECTIONS];

static struct transport *open_transport(int *peer)
{
	struct transport *transport;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(transport_plain_open(pair[0], &transport), 0);
	*peer = pair[1];
	return transport;
}

static int setup(void **state)
{
	(void)state;
	memset(&queue, 0, sizeof(queue));
	memset(&part, 0, sizeof(part));
	shared.export = &export;
	shared.timeout_ms = 1000;
	shared.depth = 0; /* so that the queue's own slot is all there is */
	queue.shared = &shared;
	queue.own.parts = &part;
	queue.state = QUEUE_SERVING;
	queue.connections_count = CONNECTIONS;
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		assert_int_equal(connection_open(&queue.connections[i], &queue, i,
						 open_transport(&peers[i])),
				 0);
		queue.incoming[i] = open_transport(&peers[CONNECTIONS + i]);
	}
	return ring_open(&queue.ring, 8);
}

static int teardown(void **state)
{
	(void)state;
	ring_close(&queue.ring);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		connection_close(&queue.connections[i]);
		transport_close(queue.incoming[i]);
		transport_close(queue.outgoing[i]);
	}
	for (uint32_t i = 0; i < 2 * CONNECTIONS; i++)
		if (peers[i] >= 0)
			close(peers[i]);
	return 0;
}

/* places: how many of the table of files there are. */
static void register_files(uint32_t places)
{
	int fds[RING_FILE_CONNECTION + CONNECTIONS * RING_FILES_PER_CONNECTION];

	for (uint32_t i = 0; i < places; i++)
		fds[i] = -1;
	for (uint32_t i = 0; i < CONNECTIONS && ring_file_of(i) < places; i++)
		fds[ring_file_of(i)] = queue.connections[i].transport->fd;
	assert_int_equal(ring_register_files(&queue.ring, fds, places), 0);
}

static void replace(void)
{
	replace_begin(&queue);
	replace_advance(&queue);
}

static void assert_refused(int error)
{
	assert_int_equal(queue.replaced, error);
	assert_int_equal(queue.replacing, REPLACE_NONE);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		assert_int_equal(connection_state(&queue.connections[i]), CONNECTION_LIVE);
		assert_false(queue.connections[i].leaving);
		assert_null(queue.connections[i].waiting_head); /* no DISC */
		assert_int_equal(queue.connections[i].file, ring_file_of(i));
		assert_non_null(queue.incoming[i]);
	}
}

static void one_that_has_ended_is_refused(void **state)
{
	(void)state;
	register_files(ring_file_of(CONNECTIONS));
	close(peers[CONNECTIONS + 1]);
	peers[CONNECTIONS + 1] = -1;
	replace();
	assert_refused(-ECONNRESET);
}

/* The kernel's refusal, here for the second one, comes before anything is left, too. */
static void the_rings_refusal_comes_first(void **state)
{
	(void)state;
	register_files(ring_file_of(1) + 1);
	replace();
	assert_refused(-EINVAL);
}

static void good_ones_are_taken(void **state)
{
	(void)state;
	register_files(ring_file_of(CONNECTIONS));
	replace();
	assert_int_equal(queue.replacing, REPLACE_LEAVING);
	assert_true(queue.connections[0].leaving);
	assert_int_equal(queue.replaced, 0);
}

static void another_kind_does_not_fit(void **state)
{
	struct transport other = *queue.incoming[0];

	(void)state;
	assert_true(connection_fits(&queue.connections[0], &other));
	other.direct_rx = false;
	assert_false(connection_fits(&queue.connections[0], &other));
	other.direct_rx = true;
	other.direct_tx = false;
	assert_false(connection_fits(&queue.connections[0], &other));
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
