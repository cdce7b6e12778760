/* SPDX-License-Identifier: MIT */
/*
 * Goal: a client's connections are left in good order: each has requests of its own, DISC goes out on all at
 * once, a FLUSH's failure is told, and one whose server shuts down is left although a replacement came between.
 * Method: a client on a real ring and socket pairs; the test is the queue's thread, the driver and the servers.
 */
#include "tests/unit/client_rig.h"

static bool leave(void)
{
	return client.base.ops->leave(&client.base);
}

/* A write, so that there is something to flush. */
static void write_something(void)
{
	submit(0, BLOCK_WRITE);
	turn_until_idle();
	answer(0, expect_request(0, NBD_CMD_WRITE), 0);
	recv(peers[0], memory[1], 512, MSG_DONTWAIT);
	turn_until_idle();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[0].error, 0);
}

static void disc_goes_out_on_all_at_once(void **state)
{
	(void)state;
	assert_false(leave()); /* nothing was written: no FLUSH */
	turn_until_idle();
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		expect_request(i, NBD_CMD_DISC);
	for (int i = 0; i < TURNS_MAX && !leave(); i++)
		turn();
	assert_true(leave());
	assert_int_equal(client.flush_error, 0);
	assert_int_equal(stats_read(&stats.connections_lost), 0);
}

static void what_was_written_is_flushed_first(void **state)
{
	uint64_t cookie;

	(void)state;
	write_something();
	assert_false(leave());
	turn_until_idle();
	cookie = expect_request(0, NBD_CMD_FLUSH);
	assert_false(leave());
	turn_until_idle();
	expect_nothing(0);
	expect_nothing(1); /* no DISC before the FLUSH's answer */
	answer(0, cookie, 0);
	turn_until_idle();
	assert_false(leave());
	turn_until_idle();
	expect_request(0, NBD_CMD_DISC);
	expect_request(1, NBD_CMD_DISC);
	assert_int_equal(client.flush_error, 0);
}

static void the_servers_error_is_the_flushs(void **state)
{
	(void)state;
	write_something();
	assert_false(leave());
	turn_until_idle();
	answer(0, expect_request(0, NBD_CMD_FLUSH), NBD_ENOSPC);
	turn_until_idle();
	assert_false(leave());
	assert_int_equal(client.flush_error, ENOSPC);
}

/* The connection of the FLUSH ends amid it: its fate is not known. */
static void a_flush_that_is_cut_off_has_failed(void **state)
{
	(void)state;
	write_something();
	assert_false(leave());
	turn_until_idle();
	expect_request(0, NBD_CMD_FLUSH);
	shutdown(peers[0], SHUT_RDWR);
	turn_until_idle();
	assert_false(leave());
	assert_int_equal(client.flush_error, EIO);
	turn_until_idle();
	expect_request(1, NBD_CMD_DISC); /* the other one is left in good order */
}

static void without_a_connection_nothing_is_flushed(void **state)
{
	(void)state;
	write_something();
	client.base.ops->condemn(&client.base, "this test ends it");
	turn_until_idle();
	for (int i = 0; i < TURNS_MAX && !leave(); i++)
		turn();
	assert_true(leave());
	assert_int_equal(client.flush_error, EIO);
}

static void what_comes_after_leaving_began_fails(void **state)
{
	(void)state;
	assert_false(leave());
	submit(2, BLOCK_READ);
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[2].error, -EIO);
}

/* The server shuts down all connections, and at the same moment new ones are to take their places. */
static void retiring_ones_are_left_after_a_refused_replacement(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		connection_retire(&client.connections[i]);
	nbd_client_ask_replace(&client);
	client.base.ops->advance(&client.base, true);
	assert_int_equal(client.replaced, -EIO);
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		assert_true(client.connections[i].leaving);
	turn_until_idle();
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		expect_request(i, NBD_CMD_DISC);
}

static void one_that_cannot_be_split_says_so(void **state)
{
	(void)state;
	export.payload_max_bytes = 256;
	submit(1, BLOCK_READ);
	export.payload_max_bytes = 64 << 10;
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[1].error, -EIO);
	assert_int_equal(trouble_count(&trouble), 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(disc_goes_out_on_all_at_once),
		CASE(what_was_written_is_flushed_first),
		CASE(the_servers_error_is_the_flushs),
		CASE(a_flush_that_is_cut_off_has_failed),
		CASE(without_a_connection_nothing_is_flushed),
		CASE(what_comes_after_leaving_began_fails),
		CASE(retiring_ones_are_left_after_a_refused_replacement),
		CASE(one_that_cannot_be_split_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
