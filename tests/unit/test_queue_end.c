/* SPDX-License-Identifier: MIT */
/*
 * Goal: a queue leaves its server when no request is under way, and no memory is given back that an operation of a queue's ring may still use. A ring that failed is
 * drained before it is closed; where that cannot be done, the memory stays.
 * Method: the queue's own thread on a real ring, with a connection whose server says nothing, so that
 * its receive is under way; then waiting for completions fails, and in one case the ring's descriptor is
 * no ring any more. What is mapped afterwards is asked of the kernel (mincore(2)); a page at the same
 * place is watched while the server answers at last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "gateway/block/ring.h"
#include "gateway/nbd/client.h"
#include "gateway/ublk/tags.h"
#include "tests/unit/transport_pair.h"

static int failing_wait(struct io_uring *ring, unsigned int count);

static void fetch_nothing(struct tags *tags)
{
	(void)tags;
}

#define io_uring_submit_and_wait failing_wait
#define tags_fetch_all		 fetch_nothing
#include "gateway/disk/queue.c" /* NOLINT(bugprone-suspicious-include): its waits are made to fail */
#undef io_uring_submit_and_wait
#undef tags_fetch_all

#define CANARY	    0x5a
#define LATE_MS	    200
#define CHAR_BYTES  (1u << 20)
#define FAILS_AFTER 2

static bool poisons; /* the ring's descriptor is made another file's */
static int turns;

/* Arms what the turn wants armed; from the second turn on it fails. */
static int failing_wait(struct io_uring *ring, unsigned int count)
{
	(void)count;
	assert_true(io_uring_submit(ring) >= 0);
	if (++turns < FAILS_AFTER)
		return 0;
	if (poisons) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		assert_int_equal(dup2(fd, ring->ring_fd), ring->ring_fd);
		close(fd);
	}
	return -EBADF;
}

static struct queue_shared shared;
static struct nbd_client_shared client_shared;
static struct queue queue;
static struct nbd_client client;
static int server_fd;
static struct nbd_export export = { .size_bytes = 1u << 20, .framing = NBD_FRAMING_SIMPLE };

static bool is_mapped(void *place)
{
	unsigned char resident;

	return mincore(place, 1, &resident) == 0;
}

static void open_queue(void)
{
	struct transport *transport;

	memset(&shared, 0, sizeof(shared));
	memset(&client_shared, 0, sizeof(client_shared));
	shared.depth = 4;
	shared.max_io_bytes = 64u << 10;
	client_shared.export = &export;
	client_shared.depth = shared.depth;
	client_shared.parts_max = 1;
	client_shared.max_io_bytes = shared.max_io_bytes;
	client_shared.timeout_ms = 30000;
	holds_init(&client_shared.holds);
	server_link_init(&client_shared.link, -1);
	shared.char_fd = memfd_create("char", MFD_CLOEXEC);
	assert_int_equal(ftruncate(shared.char_fd, CHAR_BYTES), 0);
	transport = transport_pair_open(&server_fd);
	assert_int_equal(nbd_client_open(&client, &client_shared, &transport, 1), 0);
	assert_int_equal(queue_open(&queue, &shared, 0, &client.base), 0);
}

/* Runs the queue until its ring has failed, and closes it. What it returned; *staging: where the receive
 * was to write. */
static bool run_and_close(bool poison, uint8_t **staging)
{
	bool released;

	poisons = poison;
	turns = 0;
	open_queue();
	*staging = client.connections[0].staging;
	assert_int_equal(queue_start(&queue), 0);
	assert_true(queue_join(&queue, 10000));
	if (atomic_load(&queue.failure) != EBADF) {
		print_message("no io_uring here: %d\n", atomic_load(&queue.failure));
		skip();
	}
	assert_int_equal(turns, FAILS_AFTER);
	released = queue_close(&queue);
	nbd_client_close(&client);
	close(shared.char_fd);
	return released;
}

/* What the server says now goes nowhere. */
static void assert_untouched(uint8_t *place, size_t bytes)
{
	char noise[4096];

	memset(noise, ~CANARY, sizeof(noise));
	send(server_fd, noise, sizeof(noise), MSG_NOSIGNAL);
	usleep(LATE_MS * 1000);
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(place[i], CANARY);
	close(server_fd);
}

static void memory_is_given_back_once_the_ring_is_empty(void **state)
{
	uint8_t *staging, *place;

	(void)state;
	assert_true(run_and_close(false, &staging));
	assert_false(connection_is_armed(&client.connections[0]));
	assert_false(is_mapped(staging));
	place = mmap(staging, 4096, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(place, staging);
	memset(place, CANARY, 4096);
	assert_untouched(place, 4096);
	munmap(place, 4096);
}

static void memory_stays_where_the_ring_keeps_it(void **state)
{
	uint8_t *staging;

	(void)state;
	assert_false(run_and_close(true, &staging));
	assert_true(connection_is_armed(&client.connections[0]));
	assert_true(is_mapped(staging));
	assert_true(is_mapped(client.connections[0].batch.memory));
	close(server_fd);
}

/* A driver has each tag's buffer's address as long as it has the tag's command. */
static void buffers_stay_while_the_driver_has_commands(void **state)
{
	uint8_t *buffers;

	(void)state;
	open_queue();
	assert_int_equal(tag_payload_open_mapped(&queue.tags.payload), 0);
	buffers = queue.tags.payload.buffers;
	assert_true(queue_close(&queue));
	nbd_client_close(&client);
	assert_true(is_mapped(buffers));
	close(server_fd);
	close(shared.char_fd);
}

static int leaves;

static bool refuse_once(struct block_backend *backend)
{
	(void)backend;
	assert_int_equal(queue.tags.active, 0);
	return ++leaves > 1;
}

/* The driver refused a command: the queue leaves, but another tag's request still comes in between. */
static void nobody_is_left_amid_a_request(void **state)
{
	struct block_backend_ops ops = { .leave = refuse_once };
	struct block_backend backend = { .ops = &ops };

	(void)state;
	memset(&queue, 0, sizeof(queue));
	leaves = 0;
	queue.backend = &backend;
	queue.tags.depth = 2;
	queue.state = QUEUE_SERVING;
	queue.failure = EINVAL;
	leave_when_ended(&queue);
	assert_int_equal(leaves, 1);
	queue.tags.active = 1;
	leave_when_ended(&queue);
	assert_int_equal(leaves, 1);
	assert_int_equal(queue.state, QUEUE_LEAVING);
	queue.tags.active = 0;
	leave_when_ended(&queue);
	assert_int_equal(queue.state, QUEUE_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_given_back_once_the_ring_is_empty),
		cmocka_unit_test(memory_stays_where_the_ring_keeps_it),
		cmocka_unit_test(buffers_stay_while_the_driver_has_commands),
		cmocka_unit_test(nobody_is_left_amid_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
