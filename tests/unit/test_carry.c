/* SPDX-License-Identifier: MIT */
/*
 * Goal: the requests of a queue that has no connection are carried by another queue's, with their own bytes, and none
 * is lost, done twice or kept when that one ends, or loses its connection as well.
 * Method: the client of client_rig.h lends; a second one, with a ring of its own, carries.
 */
#include "gateway/nbd/carry.h"
#include "gateway/nbd/join.h"
#include "gateway/nbd/waiting.h"
#include "tests/unit/client_rig.h"

static struct nbd_client carrier;
static struct io_uring carrier_ring;
static struct stats carrier_stats;
static int carrier_peer;
static uint32_t wakes[2];

static void wake(void *context, uint32_t queue_id)
{
	(void)context;
	wakes[queue_id]++;
}

static int setup_carrier(void **state)
{
	int fds[RING_FILE_BACKEND + RING_BACKEND_FILES_MAX] = { -1 };
	struct transport *transport = transport_pair_open(&carrier_peer);

	if (setup(state))
		return -1;
	memset(&carrier_stats, 0, sizeof(carrier_stats));
	memset(wakes, 0, sizeof(wakes));
	shared.link.counts_unflushed = true;
	shared.timeout_ms = 60000;
	shared.quiet_closed_ms = 5000;
	shared.clients[0] = &client;
	shared.clients[1] = &carrier;
	shared.clients_count = 2;
	shared.wake = wake;
	assert_int_equal(nbd_client_open(&carrier, &shared, &transport, 1), 0);
	carrier.base = (struct block_backend){
		.ops = client.base.ops,
		.queue_id = 1,
		.ring = &carrier_ring,
		.stats = &carrier_stats,
		.trouble = &trouble,
		.payload = &payload,
		.done = done,
	};
	assert_int_equal(ring_open(&carrier_ring, DEPTH), 0);
	return ring_register_files(
		&carrier_ring, fds,
		RING_FILE_BACKEND +
			carrier.base.ops->files(&carrier.base, &fds[RING_FILE_BACKEND]));
}

static int teardown_carrier(void **state)
{
	io_uring_queue_exit(&carrier_ring);
	nbd_client_close(&carrier);
	close(carrier_peer);
	return teardown(state);
}

/* A turn of the carrier's thread. false: nothing came. */
static bool carrier_turn(void)
{
	struct __kernel_timespec limit = { .tv_nsec = WAIT_MS * 1000000LL };
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	carrier.base.ops->advance(&carrier.base, true);
	carrier.base.ops->arm(&carrier.base);
	io_uring_submit_and_wait_timeout(&carrier_ring, &cqe, 1, &limit, NULL);
	io_uring_for_each_cqe(&carrier_ring, head, cqe) {
		seen++;
		if (ring_kind_of(cqe->user_data) >= RING_BACKEND)
			carrier.base.ops->completed(&carrier.base, cqe);
	}
	io_uring_cq_advance(&carrier_ring, seen);
	return seen > 0;
}

static void carrier_until_idle(void)
{
	for (int i = 0; i < TURNS_MAX && carrier_turn(); i++)
		;
}

static void look(void)
{
	client.base.ops->advance(&client.base, true);
}

static void lose_own(void)
{
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		shutdown(peers[i], SHUT_RDWR);
	turn_until_idle();
}

/* The next request at the carrier's server: its cookie. */
static uint64_t expect_carried(uint16_t command)
{
	uint8_t header[NBD_REQUEST_BYTES];
	uint64_t cookie;

	assert_int_equal(recv(carrier_peer, header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	assert_int_equal(header[6] << 8 | header[7], command);
	memcpy(&cookie, header + 8, sizeof(cookie));
	return be64toh(cookie);
}

static void answer_carried(uint64_t cookie, uint32_t error, const void *data, size_t data_bytes)
{
	struct bytes reply = { 0 };

	put32(&reply, NBD_MAGIC_SIMPLE_REPLY);
	put32(&reply, error);
	put64(&reply, cookie);
	assert_int_equal(send(carrier_peer, reply.data, reply.len, MSG_NOSIGNAL), reply.len);
	assert_int_equal(send(carrier_peer, data, data_bytes, MSG_NOSIGNAL), data_bytes);
}

static void a_read_comes_back(void **state)
{
	uint8_t bytes[512];

	(void)state;
	memset(bytes, 0x5a, sizeof(bytes));
	lose_own();
	submit(2, BLOCK_READ);
	assert_int_equal(done_count, 0);
	assert_int_equal(wakes[1], 1);
	carrier_until_idle();
	answer_carried(expect_carried(NBD_CMD_READ), 0, bytes, sizeof(bytes));
	carrier_until_idle();
	assert_int_equal(done_count, 0); /* only its own thread ends it */
	assert_int_equal(wakes[0], 1);
	look();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[2].error, 0);
	assert_memory_equal(memory[2], bytes, 512);
	assert_int_equal(stats_read(&stats.carried), 1);
}

static void a_write_goes_out_with_its_bytes(void **state)
{
	uint8_t bytes[512];
	uint64_t cookie;

	(void)state;
	memset(memory[3], 0xa5, 512);
	lose_own();
	submit(3, BLOCK_WRITE);
	carrier_until_idle();
	cookie = expect_carried(NBD_CMD_WRITE);
	assert_int_equal(recv(carrier_peer, bytes, sizeof(bytes), MSG_DONTWAIT), sizeof(bytes));
	assert_memory_equal(memory[3], bytes, 512);
	answer_carried(cookie, 0, NULL, 0);
	carrier_until_idle();
	look();
	assert_int_equal(requests[3].error, 0);
	assert_true(carrier.wrote); /* so that it is flushed when the carrier leaves */
	assert_true(server_link_unflushed(&shared.link) > 0);
}

/* The carrier has nothing of its own to wait for, and its server is silent. */
static void what_is_carried_has_its_deadline(void **state)
{
	(void)state;
	shared.timeout_ms = 1000;
	lose_own();
	submit(1, BLOCK_READ);
	carrier_until_idle();
	carrier.base.now_ms += 2000;
	carrier.base.ops->tick(&carrier.base, carrier.base.now_ms);
	carrier_until_idle();
	look();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[1].error, -EIO);
	assert_int_equal(stats_read(&carrier_stats.timeouts), 1);
}

static void the_servers_error_is_its_own(void **state)
{
	(void)state;
	lose_own();
	submit(1, BLOCK_READ);
	carrier_until_idle();
	answer_carried(expect_carried(NBD_CMD_READ), NBD_EIO, NULL, 0);
	carrier_until_idle();
	look();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[1].error, -EIO);
}

static void a_flush_is_carried(void **state)
{
	(void)state;
	server_link_acknowledge(&shared.link);
	lose_own();
	submit(1, BLOCK_FLUSH);
	carrier_until_idle();
	answer_carried(expect_carried(NBD_CMD_FLUSH), 0, NULL, 0);
	carrier_until_idle();
	look();
	assert_int_equal(requests[1].error, 0);
	assert_int_equal(server_link_unflushed(&shared.link), 0);
}

/* Its connection is lost as well: the request waits where it came from, and what was sent is held. */
static void what_the_carrier_loses_waits(void **state)
{
	(void)state;
	shared.link.waits = true;
	lose_own();
	submit(3, BLOCK_WRITE);
	carrier_until_idle();
	expect_carried(NBD_CMD_WRITE);
	shutdown(carrier_peer, SHUT_RDWR);
	carrier_until_idle();
	look();
	assert_int_equal(done_count, 0);
	assert_int_equal(client.parked_count, 1);
	assert_true(client.splits[3].parts[0].sent_before);
	assert_false(holds_are_empty(&shared.holds));
}

static void without_waiting_what_the_carrier_loses_fails(void **state)
{
	(void)state;
	lose_own();
	submit(3, BLOCK_WRITE);
	carrier_until_idle();
	shutdown(carrier_peer, SHUT_RDWR);
	carrier_until_idle();
	look();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[3].error, -EIO);
}

/* What was left with it and not begun goes back; nothing more is taken. */
static void a_carrier_that_ends_keeps_nothing(void **state)
{
	(void)state;
	shared.link.waits = true;
	lose_own();
	submit(0, BLOCK_READ);
	assert_false(carrier.base.ops->leave(&carrier.base)); /* DISC is to be sent */
	look();
	assert_int_equal(client.parked_count, 1);
	submit(1, BLOCK_READ);
	assert_int_equal(client.parked_count, 2);
	assert_int_equal(wakes[1], 1);
}

static void a_carrier_does_not_leave_before_it_is_done(void **state)
{
	uint64_t cookie;

	(void)state;
	lose_own();
	submit(0, BLOCK_READ);
	assert_false(carrier.base.ops->is_busy(&carrier.base));
	carrier_until_idle();
	assert_true(carrier.base.ops->is_busy(&carrier.base)); /* it needs a tick: deadlines */
	cookie = expect_carried(NBD_CMD_READ);
	assert_false(carrier.base.ops->leave(&carrier.base));
	assert_int_equal(carrier.leaving, LEAVE_NONE);
	answer_carried(cookie, NBD_EIO, NULL, 0);
	carrier_until_idle();
	carrier.base.ops->leave(&carrier.base);
	assert_int_equal(carrier.leaving, LEAVE_DISCONNECTING);
}

/* By force: the carrier's connection is condemned too, and the lender's request ends with it. */
static void force_ends_what_is_lent(void **state)
{
	(void)state;
	shared.link.waits = true;
	lose_own();
	submit(0, BLOCK_READ);
	carrier_until_idle();
	client.base.ops->condemn(&client.base, "the disk is removed by force");
	look();
	assert_int_equal(done_count, 0);
	carrier.base.ops->condemn(&carrier.base, "the disk is removed by force");
	carrier_until_idle();
	look();
	assert_int_equal(done_count, 1);
	assert_int_equal(requests[0].error, -EIO);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_carrier, teardown_carrier)
	const struct CMUnitTest tests[] = {
		CASE(a_read_comes_back),
		CASE(a_write_goes_out_with_its_bytes),
		CASE(what_is_carried_has_its_deadline),
		CASE(the_servers_error_is_its_own),
		CASE(a_flush_is_carried),
		CASE(what_the_carrier_loses_waits),
		CASE(without_waiting_what_the_carrier_loses_fails),
		CASE(a_carrier_that_ends_keeps_nothing),
		CASE(a_carrier_does_not_leave_before_it_is_done),
		CASE(force_ends_what_is_lent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
