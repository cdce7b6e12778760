/* SPDX-License-Identifier: MIT */
#include "tests/guest/tls/wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/wire.h"
#include "tests/guest/tls/options.h"

#define RECORD_HEADER_BYTES 5
#define RANDOM_PIECE_BYTES  3000
/* Between the two parts of a record, so that the client gets them one by one. */
#define WALK_PAUSE_US 300

bool socket_send(int fd, const void *bytes, size_t count)
{
	const uint8_t *next = bytes;

	while (count > 0) {
		ssize_t n = send(fd, next, count, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		next += n;
		count -= (size_t)n;
	}
	return true;
}

bool socket_receive(int fd, void *place, size_t count)
{
	return count == 0 || recv(fd, place, count, MSG_WAITALL) == (ssize_t)count;
}

void wire_open(struct wire *wire, SSL *ssl, int fd, uint64_t seed)
{
	memset(wire, 0, sizeof(*wire));
	wire->fd = fd;
	wire->ssl = ssl;
	wire->in = BIO_new(BIO_s_mem());
	wire->out = BIO_new(BIO_s_mem());
	assert(wire->in && wire->out);
	wire->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	SSL_set_bio(ssl, wire->in, wire->out);
}

/* xorshift */
uint32_t wire_random(struct wire *wire, uint32_t limit)
{
	assert(limit > 0);
	wire->random ^= wire->random << 13;
	wire->random ^= wire->random >> 7;
	wire->random ^= wire->random << 17;
	return (uint32_t)(wire->random >> 32) % limit;
}

/* --- pieces ------------------------------------------------------------------------------------- */

static bool send_in_steps(struct wire *wire, const uint8_t *bytes, size_t count)
{
	size_t at = 0, step;

	for (; at < count; at += step) {
		step = options.pieces == PIECES_BYTES ? 1
						      : 1 + wire_random(wire, RANDOM_PIECE_BYTES);
		if (step > count - at)
			step = count - at;
		if (!socket_send(wire->fd, bytes + at, step))
			return false;
	}
	return true;
}

static bool send_pieces(struct wire *wire, const uint8_t *bytes, size_t count)
{
	size_t cut = wire->records % count;

	switch (options.pieces) {
	case PIECES_BYTES:
	case PIECES_RANDOM:
		return send_in_steps(wire, bytes, count);
	case PIECES_WALK:
		if (!socket_send(wire->fd, bytes, cut))
			return false;
		usleep(WALK_PAUSE_US);
		return socket_send(wire->fd, bytes + cut, count - cut);
	case PIECES_WHOLE:
	case PIECES_COUNT:
		break;
	}
	return socket_send(wire->fd, bytes, count);
}

/* --- faults ------------------------------------------------------------------------------------- */

/* Nothing more is sent; what the client sends is taken until it closes. */
static bool end_and_listen(struct wire *wire, bool shut)
{
	uint8_t nowhere[4096];

	wire->over = true;
	if (shut)
		shutdown(wire->fd, SHUT_WR);
	while (recv(wire->fd, nowhere, sizeof(nowhere), 0) > 0)
		;
	return false;
}

static bool flip(struct wire *wire, uint8_t *record, size_t from, size_t to)
{
	size_t at = from + wire_random(wire, (uint32_t)(to - from));

	record[at] ^= (uint8_t)(1u << wire_random(wire, 8));
	printf("fault: a bit of byte %zu of a record of %zu\n", at, to);
	return true;
}

/* Behind all that the SSL object has written: each record's number is part of the next one's cipher. */
static bool farewell(struct wire *wire)
{
	uint8_t *bytes;
	long count;

	BIO_reset(wire->out);
	SSL_shutdown(wire->ssl);
	count = BIO_get_mem_data(wire->out, &bytes);
	socket_send(wire->fd, bytes, (size_t)count);
	return end_and_listen(wire, false);
}

/* A reply to nobody, as application data of a cipher that does nothing. */
static bool send_plaintext(struct wire *wire)
{
	uint8_t record[RECORD_HEADER_BYTES + NBD_STRUCTURED_REPLY_BYTES] = {
		0x17, 3, 3, 0, NBD_STRUCTURED_REPLY_BYTES
	};

	wire_put32(record + RECORD_HEADER_BYTES, NBD_MAGIC_STRUCTURED_REPLY);
	return send_pieces(wire, record, sizeof(record));
}

/* The record at which the fault is to happen. false: the connection is over. */
static bool do_fault(struct wire *wire, uint8_t *record, size_t count)
{
	printf("fault %d at record %llu\n", options.fault, (unsigned long long)wire->records);
	switch (options.fault) {
	case FAULT_FLIP:
		flip(wire, record, RECORD_HEADER_BYTES, count);
		break;
	case FAULT_FLIP_HEADER:
		flip(wire, record, 0, RECORD_HEADER_BYTES);
		break;
	case FAULT_REPLAY:
		if (!send_pieces(wire, record, count))
			return false;
		break;
	case FAULT_DROP:
		return true;
	case FAULT_SWAP:
		wire->kept = record;
		wire->kept_bytes = count;
		return true;
	case FAULT_TRUNCATE:
		socket_send(wire->fd, record, 1 + wire_random(wire, (uint32_t)count - 1));
		return end_and_listen(wire, true);
	case FAULT_HALF_CLOSE:
		return end_and_listen(wire, true);
	case FAULT_CLOSE_NOTIFY:
		wire->leaves = true;
		break;
	case FAULT_PLAINTEXT:
		if (!send_plaintext(wire))
			return false;
		break;
	case FAULT_NONE:
	case FAULT_FLIP_RECEIVED: /* wire_feed() has it */
	case FAULT_HELLO_REQUEST: /* session.c has it */
	case FAULTS:
		break;
	}
	return send_pieces(wire, record, count);
}

static bool send_kept(struct wire *wire)
{
	const uint8_t *kept = wire->kept;

	wire->kept = NULL;
	return send_pieces(wire, kept, wire->kept_bytes);
}

static bool send_record(struct wire *wire, uint8_t *record, size_t count)
{
	bool counts = wire->armed && record[0] == SSL3_RT_APPLICATION_DATA;

	wire->records += counts;
	if (counts && wire->faulty && wire->records == options.fault_at)
		return do_fault(wire, record, count);
	return send_pieces(wire, record, count) && (!wire->kept || send_kept(wire));
}

/* --- both directions ---------------------------------------------------------------------------- */

/* FAULT_SWAP without a record behind it: the next flush's first one would come too late. */
static bool end_flush(struct wire *wire, bool good)
{
	BIO_reset(wire->out);
	wire->kept = NULL;
	return good;
}

bool wire_flush(struct wire *wire)
{
	uint8_t *bytes;
	size_t count = (size_t)BIO_get_mem_data(wire->out, &bytes), at = 0, length;
	bool good = !wire->over;

	for (; good && at < count; at += length) {
		assert(count - at >= RECORD_HEADER_BYTES);
		length = RECORD_HEADER_BYTES + (size_t)wire_get16(bytes + at + 3);
		assert(length <= count - at);
		good = send_record(wire, bytes + at, length);
	}
	if (good && wire->leaves)
		good = farewell(wire);
	return end_flush(wire, good);
}

bool wire_feed(struct wire *wire)
{
	static _Thread_local uint8_t bytes[64 << 10];
	ssize_t n = recv(wire->fd, bytes, sizeof(bytes), 0);

	if (n <= 0)
		return false;
	if (wire->armed && wire->faulty && options.fault == FAULT_FLIP_RECEIVED &&
	    wire->records >= options.fault_at) {
		wire->faulty = false;
		flip(wire, bytes, 0, (size_t)n);
	}
	return BIO_write(wire->in, bytes, (int)n) == n;
}
