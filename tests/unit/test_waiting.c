/* SPDX-License-Identifier: MIT */
/*
 * Goal: a client that loses its connections loses no request: what was under way waits and is sent again, a
 * newer write to the same place waits for the quiet time, and what is told to the user is true.
 * Method: the client of client_rig.h; the test ends connections, and brings them back as the main thread does.
 */
#include "gateway/nbd/join.h"
#include "gateway/nbd/waiting.h"
#include "tests/unit/client_rig.h"

#define QUIET_MS 5000

static int setup_waiting(void **state)
{
	int ret = setup(state);

	shared.link.waits = true;
	shared.link.counts_unflushed = true;
	shared.timeout_ms = 60000;
	shared.quiet_closed_ms = QUIET_MS;
	shared.quiet_silent_ms = 2 * QUIET_MS;
	client.base.now_ms = 1000;
	return ret;
}

static void look(void)
{
	client.base.ops->advance(&client.base, true);
}

static void tick_at(int64_t now_ms)
{
	client.base.now_ms = now_ms;
	client.base.ops->tick(&client.base, now_ms);
	client.base.ops->advance(&client.base, false);
}

static void lose(uint32_t index)
{
	shutdown(peers[index], SHUT_RDWR);
	turn_until_idle();
	assert_int_equal(connection_state(&client.connections[index]), CONNECTION_DEAD);
}

/* As the main thread does (gateway/disk/reconnect.c). */
static void bring_back(uint32_t index)
{
	close(peers[index]);
	client.joining[index] = transport_pair_open(&peers[index]);
	join_ask(&client, index);
	look();
	assert_int_equal(client.joins[index], JOIN_TAKEN);
	assert_int_equal(connection_state(&client.connections[index]), CONNECTION_LIVE);
	transport_close(client.outgoing[index]);
	client.outgoing[index] = NULL;
	client.joins[index] = JOIN_NONE;
	server_link_move(&shared.link, LINK_MADE);
}

static void submit_at(uint16_t tag, enum block_op op, uint64_t offset_bytes)
{
	requests[tag] = (struct block_request){
		.op = op, .tag = tag, .error = 1, .offset_bytes = offset_bytes
	};
	if (op != BLOCK_FLUSH)
		requests[tag].length_bytes = 512;
	client.base.ops->submit(&client.base, &requests[tag]);
}

/* The server takes a write of 512 bytes: its header, and its payload into bytes. */
static uint64_t expect_write(uint32_t index, uint8_t *bytes)
{
	uint64_t cookie = expect_request(index, NBD_CMD_WRITE);

	assert_int_equal(recv(peers[index], bytes, 512, MSG_DONTWAIT), 512);
	return cookie;
}

static void write_and_answer(uint16_t tag, uint64_t offset_bytes)
{
	uint8_t bytes[512];
	uint32_t before = done_count;

	submit_at(tag, BLOCK_WRITE, offset_bytes);
	turn_until_idle();
	answer(0, expect_write(0, bytes), 0);
	turn_until_idle();
	assert_int_equal(done_count, before + 1);
	assert_int_equal(requests[tag].error, 0);
}

static void lose_both(void)
{
	lose(0);
	lose(1);
}

/* --- waiting, and going on ----------------------------------------------------------------------------- */

static void what_was_under_way_is_sent_again(void **state)
{
	uint8_t bytes[512];

	(void)state;
	memset(memory[2], 0x5a, 512);
	submit_at(2, BLOCK_WRITE, 4096);
	turn_until_idle();
	expect_write(0, bytes);
	lose_both();
	assert_int_equal(done_count, 0);
	assert_int_equal(client.parked_count, 1);
	bring_back(0);
	turn_until_idle();
	memset(bytes, 0, sizeof(bytes));
	answer(0, expect_write(0, bytes), 0);
	assert_memory_equal(bytes, memory[2], 512);
	turn_until_idle();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[2].error, 0);
	assert_false(shared.link.unproven);
}

static void another_connection_takes_over_at_once(void **state)
{
	uint64_t cookie;

	(void)state;
	submit_at(1, BLOCK_READ, 0);
	turn_until_idle();
	expect_request(0, NBD_CMD_READ);
	lose(0);
	assert_int_equal(client.parked_count, 0);
	cookie = expect_request(1, NBD_CMD_READ);
	answer(1, cookie, NBD_EIO);
	turn_until_idle();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[1].error, -EIO);
}

static void what_comes_meanwhile_waits(void **state)
{
	(void)state;
	lose_both();
	submit_at(3, BLOCK_READ, 0);
	tick_at(100000);
	assert_int_equal(done_count, 0);
	assert_int_equal(client.parked_since_ms,
			 1000); /* looked at again, it has waited since then */
	bring_back(1);
	turn_until_idle();
	expect_request(1, NBD_CMD_READ);
}

/* Without waiting it is as with --dead-timeout 0. */
static void without_waiting_it_fails(void **state)
{
	(void)state;
	shared.link.waits = false;
	submit_at(2, BLOCK_WRITE, 0);
	turn_until_idle();
	lose_both();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[2].error, -EIO);
	submit_at(3, BLOCK_READ, 0);
	assert_int_equal(done_count, 2);
	assert_int_equal(requests[3].error, -EIO);
}

static void an_expired_wait_fails(void **state)
{
	(void)state;
	lose_both();
	submit_at(3, BLOCK_READ, 0);
	server_link_move(&shared.link, LINK_LOST);
	server_link_move(&shared.link, LINK_EXPIRED);
	look();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[3].error, -EIO);
	assert_false(shared.link.flush_fails); /* nobody was told a lie: nothing was unflushed */
	submit_at(3, BLOCK_WRITE, 0);
	assert_int_equal(done_count, 2);
	assert_true(shared.link.flush_fails); /* a write got EIO */
	bring_back(0);
	submit_at(2, BLOCK_READ, 0);
	turn_until_idle();
	expect_request(0, NBD_CMD_READ); /* reads and writes work again by themselves */
	submit_at(3, BLOCK_FLUSH, 0);
	assert_int_equal(done_count, 3);
	assert_int_equal(requests[3].error, -EIO);
}

static void removal_by_force_ends_the_wait(void **state)
{
	(void)state;
	lose_both();
	submit_at(3, BLOCK_READ, 0);
	client.base.ops->condemn(&client.base, "the disk is removed by force");
	client.base.ops->advance(&client.base, false);
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[3].error, -EIO);
}

static void a_server_that_shuts_down_did_nothing(void **state)
{
	(void)state;
	submit_at(1, BLOCK_READ, 0);
	turn_until_idle();
	answer(0, expect_request(0, NBD_CMD_READ), NBD_ESHUTDOWN);
	turn_until_idle();
	assert_int_equal(done_count, 0);
	expect_request(1, NBD_CMD_READ);
	assert_true(holds_are_empty(&shared.holds));
}

static void a_request_that_kills_its_server_fails(void **state)
{
	(void)state;
	lose(1);
	submit_at(1, BLOCK_READ, 4096);
	for (int i = 0; i < WAITING_LOSSES_MAX; i++) {
		submit_at(0, BLOCK_READ, 0); /* one that is answered: the server works */
		turn_until_idle();
		expect_request(0, NBD_CMD_READ);
		answer(0, expect_request(0, NBD_CMD_READ), NBD_EIO);
		turn_until_idle();
		assert_int_equal(requests[1].error, 1);
		lose(0);
		if (i < WAITING_LOSSES_MAX - 1)
			bring_back(0);
	}
	assert_int_equal(requests[1].error, -EIO);
}

static void a_transport_that_has_ended_is_refused(void **state)
{
	int other;

	(void)state;
	lose(0);
	client.joining[0] = transport_pair_open(&other);
	close(other);
	join_ask(&client, 0);
	look();
	assert_int_equal(client.joins[0], JOIN_REFUSED);
	assert_int_equal(connection_state(&client.connections[0]), CONNECTION_DEAD);
}

/* --- holds ------------------------------------------------------------------------------------------------ */

/* A write is lost, sent again and answered; how a newer one to the same place fares. */
static void lose_a_write(void)
{
	uint8_t bytes[512];

	submit_at(0, BLOCK_WRITE, 4096);
	turn_until_idle();
	expect_write(0, bytes);
	lose_both();
	bring_back(0);
	turn_until_idle();
	answer(0, expect_write(0, bytes), 0);
	turn_until_idle();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[0].error, 0);
}

static void a_newer_write_there_is_held(void **state)
{
	uint8_t bytes[512];

	(void)state;
	lose_a_write();
	submit_at(1, BLOCK_WRITE, 4096);
	submit_at(2, BLOCK_WRITE, 8192);
	submit_at(3, BLOCK_READ, 4096);
	turn_until_idle();
	expect_write(0, bytes); /* the other place's */
	expect_request(0, NBD_CMD_READ);
	expect_nothing(0);
	tick_at(1000 + QUIET_MS - 1);
	turn_until_idle();
	expect_nothing(0);
	tick_at(1000 + QUIET_MS);
	turn_until_idle();
	expect_write(0, bytes);
}

static void trims_and_zeroes_are_held(void **state)
{
	(void)state;
	export.flags |= NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES;
	client.export->flags = export.flags;
	lose_a_write();
	submit_at(1, BLOCK_TRIM, 4096);
	submit_at(2, BLOCK_WRITE_ZEROES, 4096);
	turn_until_idle();
	expect_nothing(0);
	tick_at(1000 + QUIET_MS);
	turn_until_idle();
	expect_request(0, NBD_CMD_TRIM);
	expect_request(0, NBD_CMD_WRITE_ZEROES);
	export.flags &= (uint16_t) ~(NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES);
}

/* The control: without a quiet time it goes out at once, and a late write would strike. */
static void without_a_quiet_time_it_is_not_held(void **state)
{
	uint8_t bytes[512];

	(void)state;
	shared.quiet_closed_ms = 0;
	lose_a_write();
	submit_at(1, BLOCK_WRITE, 4096);
	turn_until_idle();
	expect_write(0, bytes);
}

static void with_an_endless_quiet_time_it_fails(void **state)
{
	(void)state;
	shared.quiet_closed_ms = HOLDS_NEVER;
	lose_a_write();
	submit_at(1, BLOCK_WRITE, 4096);
	assert_int_equal(done_count, 2);
	assert_int_equal(requests[1].error, -EIO);
}

/* A write that failed is never sent again, and still holds; nothing else is asked of the server, so that the
 * client has to, or the time would never begin. */
static void a_quiet_time_begins_without_other_requests(void **state)
{
	uint8_t bytes[512];
	uint64_t cookie;

	(void)state;
	submit_at(0, BLOCK_WRITE, 4096);
	turn_until_idle();
	expect_write(0, bytes);
	shared.link.waits = false;
	lose_both();
	assert_int_equal(requests[0].error, -EIO);
	shared.link.waits = true;
	bring_back(0);
	submit_at(1, BLOCK_WRITE, 4096);
	tick_at(1250);
	turn_until_idle();
	cookie = expect_request(0, NBD_CMD_FLUSH);
	expect_nothing(0);
	answer(0, cookie, 0);
	turn_until_idle();
	tick_at(1250 + QUIET_MS);
	turn_until_idle();
	expect_write(0, bytes);
}

/* --- FLUSH ------------------------------------------------------------------------------------------------ */

static void a_flush_with_nothing_to_flush_needs_no_server(void **state)
{
	(void)state;
	lose_both();
	submit_at(3, BLOCK_FLUSH, 0);
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[3].error, 0);
}

static void a_flush_with_something_to_flush_waits(void **state)
{
	(void)state;
	write_and_answer(0, 0);
	assert_int_equal(server_link_unflushed(&shared.link), 1);
	lose_both();
	submit_at(3, BLOCK_FLUSH, 0);
	assert_int_equal(done_count, 1);
	bring_back(0);
	turn_until_idle();
	answer(0, expect_request(0, NBD_CMD_FLUSH), 0);
	turn_until_idle();
	assert_int_equal(requests[3].error, 0);
	assert_int_equal(server_link_unflushed(&shared.link), 0);
}

/* A FLUSH says nothing of a write that was acknowledged after it was sent. */
static void a_flush_covers_what_was_acknowledged_before(void **state)
{
	uint64_t flush, second;
	uint8_t bytes[512];

	(void)state;
	write_and_answer(0, 0);
	submit_at(1, BLOCK_WRITE, 4096);
	submit_at(3, BLOCK_FLUSH, 0);
	turn_until_idle();
	second = expect_write(0, bytes);
	flush = expect_request(0, NBD_CMD_FLUSH);
	answer(0, second, 0);
	turn_until_idle();
	answer(0, flush, 0);
	turn_until_idle();
	assert_int_equal(requests[3].error, 0);
	assert_int_equal(server_link_unflushed(&shared.link), 1);
}

static void a_failed_flush_makes_nothing_durable(void **state)
{
	(void)state;
	write_and_answer(0, 0);
	submit_at(3, BLOCK_FLUSH, 0);
	turn_until_idle();
	answer(0, expect_request(0, NBD_CMD_FLUSH), NBD_EIO);
	turn_until_idle();
	assert_int_equal(requests[3].error, -EIO);
	assert_int_equal(server_link_unflushed(&shared.link), 1);
}

static void a_probe_is_a_flush(void **state)
{
	(void)state;
	write_and_answer(0, 0);
	join_ask_probe(&client);
	look();
	turn_until_idle();
	assert_int_equal(client.probe, PROBE_SENT);
	answer(0, expect_request(0, NBD_CMD_FLUSH), 0);
	turn_until_idle();
	assert_int_equal(client.probe, PROBE_ANSWERED);
	assert_int_equal(server_link_unflushed(&shared.link), 0);
	assert_false(shared.link.flush_fails);
}

/* The server reports a failed write once, and to us: the user has to hear of it. */
static void an_error_of_our_own_flush_is_not_lost(void **state)
{
	(void)state;
	write_and_answer(0, 0);
	join_ask_probe(&client);
	look();
	turn_until_idle();
	answer(0, expect_request(0, NBD_CMD_FLUSH), NBD_EIO);
	turn_until_idle();
	assert_int_equal(client.probe, PROBE_FAILED);
	submit_at(3, BLOCK_FLUSH, 0);
	assert_int_equal(requests[3].error, -EIO);
}

static void a_probe_without_a_connection_fails(void **state)
{
	(void)state;
	lose_both();
	join_ask_probe(&client);
	look();
	assert_int_equal(client.probe, PROBE_FAILED);
}

/* --- the link --------------------------------------------------------------------------------------------- */

static void the_link_moves_as_drawn(void **state)
{
	static const struct {
		enum link_event event;
		enum link_state to;
	} steps[] = {
		{ LINK_EXPIRED, LINK_ONLINE },	{ LINK_MADE, LINK_ONLINE },
		{ LINK_LOST, LINK_WAITING },	{ LINK_LOST, LINK_WAITING },
		{ LINK_MADE, LINK_ONLINE },	{ LINK_LOST, LINK_WAITING },
		{ LINK_EXPIRED, LINK_FAILING }, { LINK_LOST, LINK_FAILING },
		{ LINK_EXPIRED, LINK_FAILING }, { LINK_MADE, LINK_ONLINE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_int_equal(server_link_move(&shared.link, steps[i].event), steps[i].to);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_waiting, teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_was_under_way_is_sent_again),
		CASE(another_connection_takes_over_at_once),
		CASE(what_comes_meanwhile_waits),
		CASE(without_waiting_it_fails),
		CASE(an_expired_wait_fails),
		CASE(removal_by_force_ends_the_wait),
		CASE(a_server_that_shuts_down_did_nothing),
		CASE(a_request_that_kills_its_server_fails),
		CASE(a_transport_that_has_ended_is_refused),
		CASE(a_newer_write_there_is_held),
		CASE(trims_and_zeroes_are_held),
		CASE(without_a_quiet_time_it_is_not_held),
		CASE(with_an_endless_quiet_time_it_fails),
		CASE(a_quiet_time_begins_without_other_requests),
		CASE(a_flush_with_nothing_to_flush_needs_no_server),
		CASE(a_flush_with_something_to_flush_waits),
		CASE(a_flush_covers_what_was_acknowledged_before),
		CASE(a_failed_flush_makes_nothing_durable),
		CASE(a_probe_is_a_flush),
		CASE(an_error_of_our_own_flush_is_not_lost),
		CASE(a_probe_without_a_connection_fails),
		CASE(the_link_moves_as_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
