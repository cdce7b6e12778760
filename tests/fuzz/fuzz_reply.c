/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever a server sends, the reply parser keeps its promises (reply.h).
 * Method: the input is a framing, a seed, and a stream of replies to a fixed set of requests. The
 * stream is parsed whole, then in random pieces with some of the read data received in place; both
 * must give the same events and the same end. On the way each event is checked against a model
 * that shares nothing with the parser: which requests wait, and a map of the bytes each READ got.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/reply.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes);

enum { INPUT_HEADER_BYTES = 3, REQUESTS = 9, READ_BYTES_MAX = 600, AGAIN = 8 };

/* Cookies are the index; 0 is never used. Request AGAIN waits anew each time it was answered. */
static const struct nbd_request templates[REQUESTS] = {
	[1] = { .command = NBD_CMD_READ, .offset_bytes = 4096, .length_bytes = 32 },
	[2] = { .command = NBD_CMD_READ, .offset_bytes = 0, .length_bytes = 64 },
	[3] = { .command = NBD_CMD_WRITE, .offset_bytes = 512, .length_bytes = 32 },
	[4] = { .command = NBD_CMD_FLUSH },
	[5] = { .command = NBD_CMD_TRIM, .offset_bytes = 8192, .length_bytes = UINT32_MAX },
	[6] = { .command = NBD_CMD_READ,
		.flags = NBD_CMD_FLAG_DF,
		.offset_bytes = 65536,
		.length_bytes = 32 },
	[7] = { .command = NBD_CMD_WRITE_ZEROES,
		.offset_bytes = INT64_MAX - 4095,
		.length_bytes = 4096 },
	[AGAIN] = { .command = NBD_CMD_READ,
		    .offset_bytes = INT64_MAX - READ_BYTES_MAX,
		    .length_bytes = READ_BYTES_MAX },
};

struct model {
	bool waits;
	uint32_t error; /* of the first ERROR event */
	bool got[READ_BYTES_MAX];
};

struct play {
	struct nbd_reply_parser parser;
	struct nbd_request requests[REQUESTS];
	struct model models[REQUESTS];
	int rc;
	uint64_t digest; /* of all events, neighbouring data merged */
	uint64_t data_cookie, data_from, data_to;
	uint64_t data_digest;
};

static void digest(uint64_t *sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		*sum = (*sum ^ p[i]) * UINT64_C(0x100000001b3);
}

static void digest_number(struct play *play, uint64_t number)
{
	digest(&play->digest, &number, sizeof(number));
}

static void end_data(struct play *play)
{
	if (play->data_cookie) {
		digest_number(play, NBD_REPLY_DATA);
		digest_number(play, play->data_cookie);
		digest_number(play, play->data_from);
		digest_number(play, play->data_to);
		digest_number(play, play->data_digest);
	}
	play->data_cookie = 0;
	play->data_digest = 0;
}

/* Bytes of a READ came, as data or as a hole: in bounds, and none of them before. */
static struct model *got_bytes(struct play *play, const struct nbd_request *request,
			       uint64_t offset_bytes, uint32_t length_bytes)
{
	struct model *model = &play->models[request->cookie];

	must(model->waits);
	must(request->command == NBD_CMD_READ);
	must(length_bytes > 0 && length_bytes <= request->length_bytes);
	must(offset_bytes <= request->length_bytes - length_bytes);
	for (uint64_t i = offset_bytes; i < offset_bytes + length_bytes; i++) {
		must(!model->got[i]);
		model->got[i] = true;
	}
	return model;
}

static void got_data(struct play *play, const struct nbd_request *request, uint64_t offset_bytes,
		     const uint8_t *data, uint32_t length_bytes)
{
	got_bytes(play, request, offset_bytes, length_bytes);
	if (play->data_cookie != request->cookie || play->data_to != offset_bytes) {
		end_data(play);
		play->data_cookie = request->cookie;
		play->data_from = offset_bytes;
	}
	play->data_to = offset_bytes + length_bytes;
	digest(&play->data_digest, data, length_bytes);
}

static void got_error(struct play *play, const struct nbd_reply_event *event)
{
	struct model *model = &play->models[event->request->cookie];

	must(model->waits);
	must(event->wire_error != 0);
	must(event->offset_bytes == UINT64_MAX ||
	     event->offset_bytes < event->request->length_bytes);
	must(event->message_bytes <= sizeof(play->parser.message));
	must(!memchr(event->message, 0, event->message_bytes));
	if (!model->error)
		model->error = event->wire_error;
	digest_number(play, event->wire_error);
	digest_number(play, event->offset_bytes);
	digest(&play->digest, event->message, event->message_bytes);
}

static void got_final(struct play *play, struct nbd_request *request)
{
	struct model *model = &play->models[request->cookie];

	must(model->waits);
	must(request->rx == NBD_RX_FINAL);
	must(request->error == model->error);
	if (request->command == NBD_CMD_READ && request->error == 0)
		for (uint32_t i = 0; i < request->length_bytes; i++)
			must(model->got[i]);
	digest_number(play, request->error);
	memset(model, 0, sizeof(*model));
	if (request->cookie == AGAIN) {
		nbd_request_move_rx(request, NBD_RX_IDLE);
		nbd_request_expect(request);
		model->waits = true;
	}
}

static void got_event(struct play *play, const struct nbd_reply_event *event)
{
	must(event->request == &play->requests[event->request->cookie]);
	if (event->type == NBD_REPLY_DATA) {
		got_data(play, event->request, event->offset_bytes, event->data,
			 event->length_bytes);
		return;
	}
	end_data(play);
	digest_number(play, event->type);
	digest_number(play, event->request->cookie);
	if (event->type == NBD_REPLY_HOLE) {
		got_bytes(play, event->request, event->offset_bytes, event->length_bytes);
		digest_number(play, event->offset_bytes);
		digest_number(play, event->length_bytes);
	} else if (event->type == NBD_REPLY_ERROR) {
		got_error(play, event);
	} else {
		must(event->type == NBD_REPLY_FINAL);
		got_final(play, event->request);
	}
}

static struct nbd_request *find(void *context, uint64_t cookie)
{
	struct play *play = context;

	return cookie < REQUESTS ? &play->requests[cookie] : NULL;
}

static bool feed(struct play *play, const uint8_t *bytes, size_t len)
{
	struct nbd_reply_event event;
	size_t used;

	for (;;) {
		play->rc = nbd_reply_parse(&play->parser, bytes, len, &used, &event);
		must(used <= len);
		if (play->rc < 0) {
			must(play->rc == -EPROTO);
			must(play->parser.why[0]);
			must(nbd_reply_parse(&play->parser, bytes, len, &used, &event) == -EPROTO);
			return false;
		}
		if (event.type == NBD_REPLY_NEED_MORE) {
			must(used == len);
			return true;
		}
		if (event.type == NBD_REPLY_DATA)
			must(event.data >= bytes &&
			     event.data + event.length_bytes == bytes + used);
		got_event(play, &event);
		bytes += used;
		len -= used;
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void start(struct play *play, enum nbd_framing framing)
{
	memset(play, 0, sizeof(*play));
	for (uint32_t i = 1; i < REQUESTS; i++) {
		play->requests[i] = templates[i];
		play->requests[i].cookie = i;
		nbd_request_expect(&play->requests[i]);
		play->models[i].waits = true;
	}
	nbd_reply_parser_init(&play->parser, framing, find, play);
}

/* Feeds one piece, in place where read data is due and the seed says so; the bytes it took. */
static size_t feed_piece(struct play *play, const uint8_t *bytes, size_t len, uint32_t *seed)
{
	struct nbd_request *request;
	uint64_t offset_bytes;
	uint32_t left = nbd_reply_payload_left(&play->parser, &request, &offset_bytes);

	if (left == 0 || next_random(seed) % 2)
		return feed(play, bytes, len) ? len : 0;
	if (len > left)
		len = left;
	must(offset_bytes + left <= request->length_bytes);
	got_data(play, request, offset_bytes, bytes, (uint32_t)len);
	nbd_reply_payload_received(&play->parser, (uint32_t)len);
	return feed(play, bytes + len, 0) ? len : 0;
}

static void play_pieces(struct play *play, const uint8_t *stream, size_t stream_bytes,
			uint32_t seed)
{
	uint32_t longest = 1 + next_random(&seed) % 64;

	while (stream_bytes > 0) {
		size_t n = 1 + next_random(&seed) % longest;
		size_t used;

		if (n > stream_bytes)
			n = stream_bytes;
		used = feed_piece(play, stream, n, &seed);
		if (used == 0)
			return;
		stream += used;
		stream_bytes -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes)
{
	static struct play whole, pieces;
	enum nbd_framing framing;
	uint32_t seed;

	if (input_bytes < INPUT_HEADER_BYTES)
		return 0;
	framing = input[0] % 3;
	seed = 1 + input[1] + 256u * input[2];
	input += INPUT_HEADER_BYTES;
	input_bytes -= INPUT_HEADER_BYTES;

	start(&whole, framing);
	feed(&whole, input, input_bytes);
	end_data(&whole);
	start(&pieces, framing);
	play_pieces(&pieces, input, input_bytes, seed);
	end_data(&pieces);

	must(whole.rc == pieces.rc);
	must(whole.digest == pieces.digest);
	must(strcmp(whole.parser.why, pieces.parser.why) == 0);
	must(whole.parser.state == pieces.parser.state);
	must(whole.rc < 0 || whole.parser.gathered_bytes == pieces.parser.gathered_bytes);
	for (uint32_t i = 1; i < REQUESTS; i++) {
		must(whole.requests[i].rx == pieces.requests[i].rx);
		must(whole.requests[i].error == pieces.requests[i].error);
	}
	return 0;
}
