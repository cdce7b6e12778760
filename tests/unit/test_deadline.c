/* SPDX-License-Identifier: MIT */
/*
 * Goal: a daemon that did not run for a while condemns nobody for that; a silent server is condemned all
 * the same, however often the daemon is stopped; what waits in a socket is read before.
 * Method: a client without a queue: one request of its connection's own on one end of a socket pair, and
 * a clock that the test sets. Ticks come when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/nbd/client.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/deadline.h"
#include "gateway/nbd/patience.h"
#include "gateway/nbd/send.h"
#include "tests/unit/transport_pair.h"

#define TIMEOUT_MS 2000
#define TICK_MS	   200
#define START_MS   1000000

static struct nbd_export export = { .size_bytes = 1 << 20, .block_minimum_bytes = 1 };
static struct nbd_client_shared shared;
static struct nbd_client client;
static struct stats stats;
static struct trouble trouble;
static int64_t tick_due_ms;
static int peer_fd;

#define connection (&client.connections[0])

static int setup(void **state)
{
	struct transport *transport;

	(void)state;
	memset(&stats, 0, sizeof(stats));
	trouble_init(&trouble);
	shared.export = &export;
	shared.timeout_ms = TIMEOUT_MS;
	transport = transport_pair_open(&peer_fd);
	assert_int_equal(nbd_client_open(&client, &shared, &transport, 1), 0);
	assert_int_equal(client.base.tick_ms, TICK_MS);
	client.base.stats = &stats;
	client.base.trouble = &trouble;
	client.base.now_ms = START_MS;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	nbd_client_close(&client);
	close(peer_fd);
	return 0;
}

static void send_request(void)
{
	send_own(connection, NBD_CMD_READ);
	tick_due_ms = client.base.now_ms + TICK_MS;
}

/* The server's answer comes: to a request that is gone already, or to another one. */
static void answer(void)
{
	struct wire_request other = { .sequence = connection->request.sequence + 1 };

	patience_answered(connection, &other);
}

/* The tick that was armed comes so long after its time. */
static void tick(int64_t late_ms)
{
	client.base.now_ms = tick_due_ms + late_ms;
	deadline_look(&client, tick_due_ms);
	tick_due_ms = client.base.now_ms + TICK_MS;
}

static bool lives(void)
{
	return connection_works(connection);
}

/* Ticks in time until the connection is condemned: how long that takes. */
static int64_t ticks_until_condemned(void)
{
	int64_t began_ms = client.base.now_ms;

	while (lives()) {
		assert_true(client.base.now_ms < began_ms + 100 * TIMEOUT_MS);
		tick(0);
	}
	return client.base.now_ms - began_ms;
}

static void silence_is_condemned_in_time(void **state)
{
	(void)state;
	send_request();
	assert_in_range(ticks_until_condemned(), TIMEOUT_MS - 2 * TICK_MS, TIMEOUT_MS);
	assert_int_equal(stats_read(&stats.timeouts), 1);
}

static void an_absence_is_not_the_servers(void **state)
{
	(void)state;
	send_request();
	tick(0);
	tick(100 * TIMEOUT_MS);
	assert_true(lives());
	/* What it had left it has again, and no more. */
	assert_in_range(ticks_until_condemned(), TIMEOUT_MS - 5 * TICK_MS, TIMEOUT_MS);
}

static void many_absences_are_one(void **state)
{
	int64_t sent_ms = client.base.now_ms, stopped_ms = 0;

	(void)state;
	send_request();
	while (lives()) {
		assert_true(client.base.now_ms < sent_ms + 100 * TIMEOUT_MS);
		tick(3 * TIMEOUT_MS);
		stopped_ms += 3 * TIMEOUT_MS;
	}
	/* One of them was forgiven, the second one was not. */
	assert_int_equal(stopped_ms, 2 * 3 * TIMEOUT_MS);
}

static void the_longest_absence_counts(void **state)
{
	(void)state;
	send_request();
	tick(TIMEOUT_MS / 2);
	tick(5 * TIMEOUT_MS);
	assert_true(lives());
	tick(5 * TIMEOUT_MS);
	assert_false(lives());
}

static void each_answer_allows_one_more(void **state)
{
	(void)state;
	send_request();
	for (int i = 0; i < 5; i++) {
		tick(10 * TIMEOUT_MS);
		assert_true(lives());
		answer();
	}
	/* Answered requests were sent after ours, which has not begun anew, and no time of its own left. */
	assert_in_range(ticks_until_condemned(), 1, TIMEOUT_MS);
}

/* What was sent after an absence gets nothing of it. */
static void a_new_request_has_its_time_alone(void **state)
{
	(void)state;
	send_request();
	client.base.now_ms = tick_due_ms + 50 * TIMEOUT_MS;
	patience_begin(&client, &connection->request);
	tick(50 * TIMEOUT_MS);
	assert_in_range(ticks_until_condemned(), TIMEOUT_MS - 2 * TICK_MS, TIMEOUT_MS);
}

static void what_waits_is_read_first(void **state)
{
	(void)state;
	send_request();
	tick(3 * TIMEOUT_MS);
	assert_int_equal(write(peer_fd, "answer", 6), 6);
	tick(3 * TIMEOUT_MS); /* nothing is left to forgive, but there is something to read */
	assert_true(lives());
	tick(0);
	assert_true(lives());
	/* Nobody reads it here, as if it came without end. */
	assert_in_range(ticks_until_condemned(), TICK_MS, 10 * TICK_MS);
}

static void a_trickle_ends_in_spite_of_an_absence(void **state)
{
	int64_t began_ms;

	(void)state;
	send_request();
	tick(10 * TIMEOUT_MS);
	began_ms = client.base.now_ms;
	while (lives()) {
		assert_true(client.base.now_ms < began_ms + 100 * TIMEOUT_MS);
		connection->request.sequence = 10;
		connection->answered_lowest = 5; /* one before it was answered */
		connection->answered_ms = client.base.now_ms;
		tick(0);
	}
	assert_in_range(client.base.now_ms - began_ms, 7 * TIMEOUT_MS, 8 * TIMEOUT_MS);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(silence_is_condemned_in_time), CASE(an_absence_is_not_the_servers),
		CASE(many_absences_are_one),	    CASE(the_longest_absence_counts),
		CASE(each_answer_allows_one_more),  CASE(a_new_request_has_its_time_alone),
		CASE(what_waits_is_read_first),	    CASE(a_trickle_ends_in_spite_of_an_absence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
