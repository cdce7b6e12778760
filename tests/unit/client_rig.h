/* SPDX-License-Identifier: MIT */
/*
 * client_rig.h - a client on a real ring and socket pairs: the test is the queue's thread, the driver and the
 * servers.
 */
#ifndef TESTS_UNIT_CLIENT_RIG_H
#define TESTS_UNIT_CLIENT_RIG_H

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/nbd/client.h"
#include "gateway/nbd/connection.h"
#include "tests/unit/bytes.h"
#include "tests/unit/transport_pair.h"

#define CONNECTIONS 2
#define DEPTH	    4
#define WAIT_MS	    200
#define TURNS_MAX   200

static struct nbd_export export = {
	.size_bytes = 1 << 20,
	.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN,
	.block_minimum_bytes = 1,
	.payload_max_bytes = 64 << 10,
	.framing = NBD_FRAMING_SIMPLE,
};
static struct nbd_client_shared shared;
static struct nbd_client client;
static struct io_uring ring;
static struct stats stats;
static struct trouble trouble;
static struct block_request requests[DEPTH];
static uint32_t done_count;
static int peers[CONNECTIONS];

static uint8_t memory[DEPTH][4096];

static struct payload_place place(const struct payload *payload, uint16_t tag,
				  uint32_t offset_bytes)
{
	(void)payload;
	return (struct payload_place){ &memory[tag][offset_bytes] };
}

static inline int store(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
			const void *from, uint32_t length_bytes)
{
	memcpy(place(payload, tag, offset_bytes).memory, from, length_bytes);
	return 0;
}

static const struct payload_ops memory_ops = { .in_place = true, .place = place, .store = store };
static struct payload payload = { &memory_ops };

static inline void done(void *unused, struct block_request *request)
{
	(void)unused;
	(void)request;
	done_count++;
}

static inline int setup(void **state)
{
	struct transport *transports[CONNECTIONS];
	int fds[RING_FILE_BACKEND + RING_BACKEND_FILES_MAX] = { -1 };

	(void)state;
	memset(&stats, 0, sizeof(stats));
	memset(&shared, 0, sizeof(shared));
	memset(requests, 0, sizeof(requests));
	trouble_init(&trouble);
	holds_init(&shared.holds);
	server_link_init(&shared.link, -1);
	shared.quiet_closed_ms = HOLDS_NEVER;
	shared.quiet_silent_ms = HOLDS_NEVER;
	shared.export = &export;
	shared.export_size_bytes = export.size_bytes;
	shared.depth = DEPTH;
	shared.parts_max = 1;
	shared.max_io_bytes = 4096;
	shared.timeout_ms = 1000;
	shared.in_place = true;
	done_count = 0;
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		transports[i] = transport_pair_open(&peers[i]);
	assert_int_equal(nbd_client_open(&client, &shared, transports, CONNECTIONS), 0);
	client.base.ring = &ring;
	client.base.stats = &stats;
	client.base.trouble = &trouble;
	client.base.payload = &payload;
	client.base.done = done;
	assert_int_equal(ring_open(&ring, DEPTH), 0);
	return ring_register_files(
		&ring, fds,
		RING_FILE_BACKEND + client.base.ops->files(&client.base, &fds[RING_FILE_BACKEND]));
}

static inline int teardown(void **state)
{
	(void)state;
	io_uring_queue_exit(&ring);
	nbd_client_close(&client);
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		close(peers[i]);
	return 0;
}

/* One turn of a queue: what waits goes out, what comes is taken. false: nothing came. */
static inline bool turn(void)
{
	struct __kernel_timespec limit = { .tv_nsec = WAIT_MS * 1000000LL };
	struct block_backend *base = &client.base;
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	base->ops->arm(base);
	io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &limit, NULL);
	io_uring_for_each_cqe(&ring, head, cqe) {
		seen++;
		if (ring_kind_of(cqe->user_data) >= RING_BACKEND)
			base->ops->completed(base, cqe);
	}
	io_uring_cq_advance(&ring, seen);
	base->ops->advance(base, false);
	return seen > 0;
}

static inline void turn_until_idle(void)
{
	for (int i = 0; i < TURNS_MAX && turn(); i++)
		;
}

/* The next request that the server of a connection got; its cookie. */
static inline uint64_t expect_request(uint32_t connection, uint16_t command)
{
	uint8_t header[NBD_REQUEST_BYTES];
	uint64_t cookie;

	assert_int_equal(recv(peers[connection], header, sizeof(header), MSG_DONTWAIT),
			 sizeof(header));
	assert_int_equal(header[6] << 8 | header[7], command);
	memcpy(&cookie, header + 8, sizeof(cookie));
	return be64toh(cookie);
}

static inline void expect_nothing(uint32_t connection)
{
	uint8_t byte;

	assert_int_equal(recv(peers[connection], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static inline void answer(uint32_t connection, uint64_t cookie, uint32_t error)
{
	struct bytes reply = { 0 };

	put32(&reply, NBD_MAGIC_SIMPLE_REPLY);
	put32(&reply, error);
	put64(&reply, cookie);
	assert_int_equal(send(peers[connection], reply.data, reply.len, MSG_NOSIGNAL), reply.len);
}

static inline void submit(uint16_t tag, enum block_op op)
{
	requests[tag] = (struct block_request){ .op = op, .tag = tag, .error = 1 };
	if (op != BLOCK_FLUSH)
		requests[tag].length_bytes = 512;
	client.base.ops->submit(&client.base, &requests[tag]);
}

#endif
