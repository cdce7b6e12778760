/* SPDX-License-Identifier: MIT */
/*
 * Goal: the reply parser understands every legal reply, refuses every illegal one, and never
 * depends on how the stream was cut.
 * Method: each test builds a stream of replies to a fixed set of requests and says which events
 * must come of it. The stream is then played whole, cut in two at every byte, byte by byte, and
 * with read data received straight into its place; the outcome must be the same each time. Each
 * byte of read data is checked against a pattern of its offset in the export.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/reply.h"
#include "tests/unit/bytes.h"

/* The requests that wait. Cookies are their numbers; 1 to 7. */
enum { R1 = 1, R2, W3, F4, T5, D6, Z7, REQUESTS };

static const struct nbd_request waiting[REQUESTS] = {
	[R1] = { .cookie = R1, .command = NBD_CMD_READ, .offset_bytes = 4096, .length_bytes = 32 },
	[R2] = { .cookie = R2, .command = NBD_CMD_READ, .offset_bytes = 0, .length_bytes = 64 },
	[W3] = { .cookie = W3, .command = NBD_CMD_WRITE, .offset_bytes = 512, .length_bytes = 32 },
	[F4] = { .cookie = F4, .command = NBD_CMD_FLUSH },
	[T5] = { .cookie = T5,
		 .command = NBD_CMD_TRIM,
		 .offset_bytes = 8192,
		 .length_bytes = 4096 },
	[D6] = { .cookie = D6,
		 .command = NBD_CMD_READ,
		 .flags = NBD_CMD_FLAG_DF,
		 .offset_bytes = 65536,
		 .length_bytes = 32 },
	[Z7] = { .cookie = Z7,
		 .command = NBD_CMD_WRITE_ZEROES,
		 .offset_bytes = INT64_MAX - 4095,
		 .length_bytes = 4096 },
};

struct play {
	struct nbd_reply_parser parser;
	struct nbd_request requests[REQUESTS];
	char text[16384]; /* the events so far, neighbouring data merged */
	size_t text_bytes;
	unsigned int data_cookie; /* of the data not yet written to text; 0: none */
	uint64_t data_from, data_to;
	int rc;
};

static struct bytes stream;
static struct play play;

/* --- building ---------------------------------------------------------------------------------- */

static void simple(uint32_t error, uint64_t cookie)
{
	put32(&stream, NBD_MAGIC_SIMPLE_REPLY);
	put32(&stream, error);
	put64(&stream, cookie);
}

static void chunk(uint16_t flags, uint16_t type, uint64_t cookie, uint32_t length)
{
	put32(&stream, NBD_MAGIC_STRUCTURED_REPLY);
	put16(&stream, flags);
	put16(&stream, type);
	put64(&stream, cookie);
	put32(&stream, length);
}

static void extended(uint16_t flags, uint16_t type, uint64_t cookie, uint64_t length)
{
	put32(&stream, NBD_MAGIC_EXTENDED_REPLY);
	put16(&stream, flags);
	put16(&stream, type);
	put64(&stream, cookie);
	put64(&stream, waiting[cookie].offset_bytes);
	put64(&stream, length);
}

static uint8_t pattern(uint64_t offset_bytes)
{
	return (uint8_t)(offset_bytes * 37 + (offset_bytes >> 8) + 11);
}

static void data(uint64_t offset_bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		put8(&stream, pattern(offset_bytes + i));
}

static void data_chunk(uint16_t flags, uint64_t cookie, uint64_t offset_bytes, uint32_t count)
{
	chunk(flags, NBD_REPLY_TYPE_OFFSET_DATA, cookie, 8 + count);
	put64(&stream, offset_bytes);
	data(offset_bytes, count);
}

static void hole_chunk(uint16_t flags, uint64_t cookie, uint64_t offset_bytes, uint32_t count)
{
	chunk(flags, NBD_REPLY_TYPE_OFFSET_HOLE, cookie, 12);
	put64(&stream, offset_bytes);
	put32(&stream, count);
}

static void error_payload(uint32_t error, const char *message)
{
	put32(&stream, error);
	put16(&stream, (uint16_t)strlen(message));
	put_text(&stream, message);
}

static void error_chunk(uint16_t flags, uint64_t cookie, uint32_t error, const char *message)
{
	chunk(flags, NBD_REPLY_TYPE_ERROR, cookie, 6 + (uint32_t)strlen(message));
	error_payload(error, message);
}

static void none(uint64_t cookie)
{
	chunk(NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, cookie, 0);
}

#define DONE NBD_REPLY_FLAG_DONE

/* --- playing ----------------------------------------------------------------------------------- */

static struct nbd_request *find(void *context, uint64_t cookie)
{
	struct play *p = context;

	return cookie > 0 && cookie < REQUESTS ? &p->requests[cookie] : NULL;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	play.text_bytes += (size_t)vsnprintf(play.text + play.text_bytes,
					     sizeof(play.text) - play.text_bytes, format, args);
	va_end(args);
	assert_true(play.text_bytes < sizeof(play.text));
}

static void note_pending_data(void)
{
	if (play.data_cookie)
		note("data %u %llu+%llu\n", play.data_cookie, (unsigned long long)play.data_from,
		     (unsigned long long)(play.data_to - play.data_from));
	play.data_cookie = 0;
}

static void note_data(const struct nbd_request *request, uint64_t offset_bytes,
		      const uint8_t *bytes, uint32_t count)
{
	assert_true(count > 0);
	assert_int_equal(request->rx == NBD_RX_FINAL || request->rx == NBD_RX_IDLE, 0);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bytes[i], pattern(request->offset_bytes + offset_bytes + i));
	if (play.data_cookie != request->cookie || play.data_to != offset_bytes) {
		note_pending_data();
		play.data_cookie = (unsigned int)request->cookie;
		play.data_from = offset_bytes;
	}
	play.data_to = offset_bytes + count;
}

static void note_event(const struct nbd_reply_event *event)
{
	unsigned int cookie = event->request ? (unsigned int)event->request->cookie : 0;

	if (event->type == NBD_REPLY_DATA) {
		note_data(event->request, event->offset_bytes, event->data, event->length_bytes);
		return;
	}
	note_pending_data();
	if (event->type == NBD_REPLY_HOLE) {
		note("hole %u %llu+%u\n", cookie, (unsigned long long)event->offset_bytes,
		     event->length_bytes);
	} else if (event->type == NBD_REPLY_ERROR) {
		note("error %u %u", cookie, event->wire_error);
		if (event->offset_bytes != UINT64_MAX)
			note(" at %llu", (unsigned long long)event->offset_bytes);
		if (event->message_bytes)
			note(" \"%.*s\"", (int)event->message_bytes, event->message);
		note("\n");
	} else {
		assert_int_equal(event->type, NBD_REPLY_FINAL);
		assert_int_equal(event->request->rx, NBD_RX_FINAL);
		assert_int_equal(event->wire_error, event->request->error);
		note("final %u %u\n", cookie, event->request->error);
	}
}

/* Parses one piece; false when the stream is broken. */
static bool feed(const uint8_t *bytes, size_t len)
{
	struct nbd_reply_event event;
	size_t used;

	for (;;) {
		play.rc = nbd_reply_parse(&play.parser, bytes, len, &used, &event);
		assert_true(used <= len);
		if (play.rc < 0)
			return false;
		bytes += used;
		len -= used;
		if (event.type == NBD_REPLY_NEED_MORE) {
			assert_int_equal(len, 0);
			assert_null(event.request);
			return true;
		}
		note_event(&event);
	}
}

static void start(enum nbd_framing framing)
{
	memset(&play, 0, sizeof(play));
	memcpy(play.requests, waiting, sizeof(waiting));
	for (unsigned int i = 1; i < REQUESTS; i++)
		nbd_request_expect(&play.requests[i]);
	nbd_reply_parser_init(&play.parser, framing, find, &play);
}

/* Between two replies or chunks, the parser waits for a header as at the start, and has nothing of it. */
static bool between_headers(void)
{
	struct nbd_reply_parser fresh;

	nbd_reply_parser_init(&fresh, play.parser.framing, find, &play);
	return play.parser.state == fresh.state && play.parser.gathered_bytes == 0;
}

/* Plays the stream in pieces of at most piece bytes, the first of at most first. */
static void play_pieces(enum nbd_framing framing, size_t first, size_t piece, bool in_place)
{
	size_t at = 0, want = first;

	start(framing);
	while (at < stream.len) {
		struct nbd_request *request;
		uint64_t offset_bytes;
		uint32_t left = nbd_reply_payload_left(&play.parser, &request, &offset_bytes);
		size_t n = want < stream.len - at ? want : stream.len - at;

		if (in_place && left > 0) {
			n = n < left ? n : left;
			note_data(request, offset_bytes, stream.data + at, (uint32_t)n);
			nbd_reply_payload_received(&play.parser, (uint32_t)n);
			if (!feed(NULL, 0))
				break;
		} else if (!feed(stream.data + at, n)) {
			break;
		}
		at += n;
		want = piece;
	}
	note_pending_data();
}

static void check(const char *events, const char *why, const char *how, size_t at)
{
	bool same = strcmp(play.text, events) == 0;
	bool told = why ? play.rc == -EPROTO && strstr(play.parser.why, why) : play.rc == 0;

	if (!same || !told)
		fail_msg("%s at %zu: rc %d, why \"%s\", events:\n%s\nexpected%s%s:\n%s", how, at,
			 play.rc, play.parser.why, play.text, why ? " broken by " : "",
			 why ? why : "", events);
	if (why) {
		struct nbd_reply_event event;
		size_t used;

		assert_int_equal(nbd_reply_parse(&play.parser, NULL, 0, &used, &event), -EPROTO);
		return;
	}
	assert_true(between_headers());
}

/* The stream must give these events, and be broken because of why (NULL: be whole). */
static void expect(enum nbd_framing framing, const char *events, const char *why)
{
	play_pieces(framing, stream.len, stream.len, false);
	check(events, why, "whole", 0);
	for (size_t split = 1; split < stream.len; split++) {
		play_pieces(framing, split, stream.len, false);
		check(events, why, "split", split);
		play_pieces(framing, split, stream.len, true);
		check(events, why, "split, data in place", split);
	}
	for (size_t piece = 1; piece <= 7; piece++) {
		play_pieces(framing, piece, piece, false);
		check(events, why, "pieces", piece);
		play_pieces(framing, piece, piece, true);
		check(events, why, "pieces, data in place", piece);
	}
	stream.len = 0;
}

#define SIMPLE	   NBD_FRAMING_SIMPLE
#define STRUCTURED NBD_FRAMING_STRUCTURED
#define EXTENDED   NBD_FRAMING_EXTENDED

/* --- simple replies ---------------------------------------------------------------------------- */

static void simple_read_carries_its_data(void **state)
{
	(void)state;
	simple(0, R1);
	data(4096, 32);
	expect(SIMPLE, "data 1 0+32\nfinal 1 0\n", NULL);
}

static void simple_read_error_carries_no_payload(void **state)
{
	(void)state;
	simple(NBD_EIO, R1);
	simple(0, W3);
	expect(SIMPLE, "error 1 5\nfinal 1 5\nfinal 3 0\n", NULL);
}

static void replies_come_in_any_order(void **state)
{
	(void)state;
	simple(0, Z7);
	simple(0, F4);
	simple(0, R2);
	data(0, 64);
	simple(0, W3);
	simple(0, T5);
	simple(0, R1);
	data(4096, 32);
	expect(SIMPLE,
	       "final 7 0\nfinal 4 0\ndata 2 0+64\nfinal 2 0\nfinal 3 0\nfinal 5 0\n"
	       "data 1 0+32\nfinal 1 0\n",
	       NULL);
}

static void unknown_wire_error_is_only_an_error(void **state)
{
	(void)state;
	simple(4711, W3);
	simple(0, F4);
	expect(SIMPLE, "error 3 4711\nfinal 3 4711\nfinal 4 0\n", NULL);
}

static void shutdown_passes_as_an_error(void **state)
{
	(void)state;
	simple(NBD_ESHUTDOWN, F4);
	expect(SIMPLE, "error 4 108\nfinal 4 108\n", NULL);
	error_chunk(DONE, R1, NBD_ESHUTDOWN, "bye");
	expect(STRUCTURED, "error 1 108 \"bye\"\nfinal 1 108\n", NULL);
}

static void unknown_cookie_breaks(void **state)
{
	static const uint64_t cookies[] = { 0, REQUESTS, UINT64_MAX, UINT64_C(1) << 32 };

	(void)state;
	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		simple(0, cookies[i]);
		expect(SIMPLE, "", "no request is waiting");
	}
}

static void second_reply_to_a_request_breaks(void **state)
{
	(void)state;
	simple(0, W3);
	simple(0, W3);
	expect(SIMPLE, "final 3 0\n", "no request is waiting");
	none(W3);
	error_chunk(DONE, W3, NBD_EIO, "");
	expect(STRUCTURED, "final 3 0\n", "no request is waiting");
}

static void wrong_magic_breaks(void **state)
{
	static const uint32_t magics[] = { 0,
					   UINT32_MAX,
					   NBD_MAGIC_REQUEST,
					   NBD_MAGIC_EXTENDED_REQUEST,
					   NBD_MAGIC_SIMPLE_REPLY ^ 1,
					   NBD_MAGIC_SIMPLE_REPLY ^ 0x80000000 };

	(void)state;
	for (enum nbd_framing framing = SIMPLE; framing <= EXTENDED; framing++)
		for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
			put32(&stream, magics[i]);
			put_fill(&stream, 0, 28);
			expect(framing, "", "where a reply should begin");
		}
}

static void framing_not_agreed_on_breaks(void **state)
{
	(void)state;
	none(W3);
	expect(SIMPLE, "", "where a reply should begin");
	none(W3);
	expect(EXTENDED, "", "where a reply should begin");
	simple(0, W3);
	put_fill(&stream, 0, 16);
	expect(EXTENDED, "", "where a reply should begin");
	extended(DONE, NBD_REPLY_TYPE_NONE, W3, 0);
	expect(STRUCTURED, "", "where a reply should begin");
}

/* --- structured replies ------------------------------------------------------------------------ */

static void data_in_one_chunk(void **state)
{
	(void)state;
	data_chunk(DONE, R1, 4096, 32);
	expect(STRUCTURED, "data 1 0+32\nfinal 1 0\n", NULL);
	data_chunk(0, R1, 4096, 32);
	none(R1);
	expect(STRUCTURED, "data 1 0+32\nfinal 1 0\n", NULL);
}

static void chunks_come_in_any_order_with_holes(void **state)
{
	(void)state;
	data_chunk(0, R2, 48, 16);
	hole_chunk(0, R2, 16, 16);
	data_chunk(0, R2, 0, 16);
	hole_chunk(DONE, R2, 32, 16);
	expect(STRUCTURED, "data 2 48+16\nhole 2 16+16\ndata 2 0+16\nhole 2 32+16\nfinal 2 0\n",
	       NULL);
}

static void chunks_of_many_requests_interleave(void **state)
{
	(void)state;
	data_chunk(0, R1, 4096, 8);
	data_chunk(0, R2, 32, 32);
	none(W3);
	data_chunk(0, R1, 4112, 16);
	simple(0, F4);
	data_chunk(DONE, R2, 0, 32);
	hole_chunk(0, R1, 4104, 8);
	error_chunk(DONE, T5, NBD_EPERM, "no");
	none(R1);
	expect(STRUCTURED,
	       "data 1 0+8\ndata 2 32+32\nfinal 3 0\ndata 1 16+16\nfinal 4 0\n"
	       "data 2 0+32\nfinal 2 0\nhole 1 8+8\nerror 5 1 \"no\"\nfinal 5 1\nfinal 1 0\n",
	       NULL);
}

static void simple_reply_under_structured_is_for_all_but_read(void **state)
{
	(void)state;
	simple(0, W3);
	simple(0, F4);
	simple(NBD_ENOSPC, T5);
	simple(0, Z7);
	expect(STRUCTURED, "final 3 0\nfinal 4 0\nerror 5 28\nfinal 5 28\nfinal 7 0\n", NULL);
	simple(0, R1);
	data(4096, 32);
	expect(STRUCTURED, "", "a READ with a simple reply");
	simple(NBD_EINVAL, R1);
	expect(STRUCTURED, "", "a READ with a simple reply");
}

static void simple_reply_amid_chunks_breaks(void **state)
{
	(void)state;
	error_chunk(0, W3, NBD_EIO, "");
	simple(0, W3);
	expect(STRUCTURED, "error 3 5\n", "amid the chunks");
}

static void unknown_reply_flags_are_ignored(void **state)
{
	(void)state;
	data_chunk(0xfffe, R1, 4096, 16);
	data_chunk(0xffff, R1, 4112, 16);
	expect(STRUCTURED, "data 1 0+32\nfinal 1 0\n", NULL);
}

static void read_not_wholly_answered_breaks(void **state)
{
	(void)state;
	none(R1);
	expect(STRUCTURED, "", "without all of its data");
	data_chunk(DONE, R1, 4096, 31);
	expect(STRUCTURED, "data 1 0+31\n", "without all of its data");
	data_chunk(0, R1, 4096, 8);
	data_chunk(0, R1, 4112, 16);
	none(R1);
	expect(STRUCTURED, "data 1 0+8\ndata 1 16+16\n", "without all of its data");
	hole_chunk(DONE, R1, 4097, 31);
	expect(STRUCTURED, "hole 1 1+31\n", "without all of its data");
}

static void bytes_answered_twice_break(void **state)
{
	(void)state;
	data_chunk(0, R1, 4096, 16);
	data_chunk(0, R1, 4111, 16);
	expect(STRUCTURED, "data 1 0+16\n", "more than once");
	hole_chunk(0, R1, 4104, 8);
	data_chunk(0, R1, 4096, 9);
	expect(STRUCTURED, "hole 1 8+8\n", "more than once");
	data_chunk(0, R1, 4096, 32);
	hole_chunk(DONE, R1, 4127, 1);
	expect(STRUCTURED, "data 1 0+32\n", "more than once");
}

static void bytes_out_of_bounds_break(void **state)
{
	static const struct {
		uint64_t offset_bytes;
		uint32_t count;
	} cases[] = {
		{ 4095, 2 },
		{ 4095, 1 },
		{ 4128, 1 },
		{ 4127, 2 },
		{ 4097, 32 },
		{ 0, 32 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - 31, 32 },
		{ UINT64_C(1) << 63, 32 },
		{ UINT64_C(0x100000000) + 4096, 32 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		data_chunk(DONE, R1, cases[i].offset_bytes, cases[i].count);
		expect(STRUCTURED, "", "answered a READ of 32 bytes at 4096 with");
		hole_chunk(DONE, R1, cases[i].offset_bytes, cases[i].count);
		expect(STRUCTURED, "", "answered a READ of 32 bytes at 4096 with");
	}
	hole_chunk(DONE, R1, 4096, UINT32_MAX);
	expect(STRUCTURED, "", "answered a READ of 32 bytes at 4096 with");
	data_chunk(DONE, R1, 4096, 33);
	expect(STRUCTURED, "", "answered a READ of 32 bytes with 33");
}

static void chunk_of_wrong_length_breaks(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t length;
		const char *why;
	} cases[] = {
		{ NBD_REPLY_TYPE_NONE, 1, "not empty" },
		{ NBD_REPLY_TYPE_NONE, UINT32_MAX, "not empty" },
		{ NBD_REPLY_TYPE_OFFSET_DATA, 0, "without data" },
		{ NBD_REPLY_TYPE_OFFSET_DATA, 7, "without data" },
		{ NBD_REPLY_TYPE_OFFSET_DATA, 8, "without data" },
		{ NBD_REPLY_TYPE_OFFSET_DATA, UINT32_MAX, "answered a READ of 32 bytes with" },
		{ NBD_REPLY_TYPE_OFFSET_HOLE, 11, "hole chunk of 11" },
		{ NBD_REPLY_TYPE_OFFSET_HOLE, 13, "hole chunk of 13" },
		{ NBD_REPLY_TYPE_ERROR, 5, "error chunk of type 0x8001 with 5" },
		{ NBD_REPLY_TYPE_ERROR, 65537, "error chunk of type 0x8001 with 65537" },
		{ NBD_REPLY_TYPE_ERROR, UINT32_MAX, "error chunk of type 0x8001" },
		{ NBD_REPLY_TYPE_ERROR_OFFSET, 13, "error chunk of type 0x8002 with 13" },
		{ 0x8003, 5, "error chunk of type 0x8003 with 5" },
		{ 0xffff, UINT32_MAX, "error chunk of type 0xffff" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		chunk(DONE, cases[i].type, R1, cases[i].length);
		put_fill(&stream, 0, 16);
		expect(STRUCTURED, "", cases[i].why);
	}
}

static void none_without_done_breaks(void **state)
{
	(void)state;
	chunk(0, NBD_REPLY_TYPE_NONE, W3, 0);
	expect(STRUCTURED, "", "not the last one");
}

static void hole_of_no_bytes_breaks(void **state)
{
	(void)state;
	hole_chunk(0, R1, 4096, 0);
	expect(STRUCTURED, "", "hole of no bytes");
}

static void unknown_chunk_type_breaks(void **state)
{
	static const uint16_t types[] = { 3, 4, 5, 6, 0x7fff };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		chunk(DONE, types[i], R1, 12);
		put_fill(&stream, 0, 12);
		expect(STRUCTURED, "", "unknown type");
	}
}

static void read_data_for_another_command_breaks(void **state)
{
	static const unsigned int cookies[] = { W3, F4, T5, Z7 };

	(void)state;
	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		data_chunk(DONE, cookies[i], waiting[cookies[i]].offset_bytes, 32);
		expect(STRUCTURED, "", "with read data");
		hole_chunk(DONE, cookies[i], waiting[cookies[i]].offset_bytes, 32);
		expect(STRUCTURED, "", "with read data");
	}
}

static void fragments_of_a_read_that_forbids_them_break(void **state)
{
	(void)state;
	data_chunk(0, D6, 65536, 16);
	data_chunk(DONE, D6, 65552, 16);
	expect(STRUCTURED, "data 6 0+16\n", "fragmented");
	data_chunk(0, D6, 65536, 32);
	none(D6);
	expect(STRUCTURED, "data 6 0+32\nfinal 6 0\n", NULL);
	error_chunk(DONE, D6, NBD_EOVERFLOW, "");
	expect(STRUCTURED, "error 6 75\nfinal 6 75\n", NULL);
}

/* It cannot be told any more whether all of it came: the READ fails, and only that. */
static void too_many_scattered_pieces_fail_the_read(void **state)
{
	(void)state;
	stream.len = 0;
	start(STRUCTURED);
	play.requests[R1].length_bytes = 4 * NBD_COVERAGE_SPANS_MAX;
	for (uint32_t i = 0; i <= NBD_COVERAGE_SPANS_MAX; i++)
		data_chunk(0, R1, 4096 + 2 * i, 1);
	assert_true(feed(stream.data, stream.len));
	assert_true(play.requests[R1].scattered);
	stream.len = 0;
	none(R1);
	assert_true(feed(stream.data, stream.len));
	assert_non_null(strstr(play.text, "final 1 5\n"));
	stream.len = 0;
	none(W3);
	assert_true(feed(stream.data, stream.len));
	assert_non_null(strstr(play.text, "final 3 0\n"));
	stream.len = 0;
}

/* One less than too many, and then all the gaps: a READ like any other. */
static void many_scattered_pieces_are_fine(void **state)
{
	(void)state;
	stream.len = 0;
	start(STRUCTURED);
	play.requests[R1].length_bytes = 2 * NBD_COVERAGE_SPANS_MAX;
	for (uint32_t i = 0; i < NBD_COVERAGE_SPANS_MAX; i++)
		data_chunk(0, R1, 4096 + 2 * i, 1);
	for (uint32_t i = 0; i < NBD_COVERAGE_SPANS_MAX; i++)
		data_chunk(0, R1, 4096 + 2 * i + 1, 1);
	assert_true(feed(stream.data, stream.len));
	assert_false(play.requests[R1].scattered);
	stream.len = 0;
	none(R1);
	assert_true(feed(stream.data, stream.len));
	assert_non_null(strstr(play.text, "final 1 0\n"));
	stream.len = 0;
}

static void too_many_chunks_break(void **state)
{
	(void)state;
	start(STRUCTURED);
	play.requests[R1].chunks = NBD_CHUNKS_PER_REQUEST_MAX - 1;
	error_chunk(0, R1, NBD_EIO, "");
	error_chunk(0, R1, NBD_EIO, "");
	assert_false(feed(stream.data, stream.len));
	assert_string_equal(play.text, "error 1 5\n");
	assert_non_null(strstr(play.parser.why, "chunks"));
	stream.len = 0;
}

/* --- errors in chunks -------------------------------------------------------------------------- */

static void error_with_message(void **state)
{
	(void)state;
	error_chunk(DONE, R1, NBD_EIO, "disk on fire");
	expect(STRUCTURED, "error 1 5 \"disk on fire\"\nfinal 1 5\n", NULL);
	error_chunk(0, F4, NBD_EIO, "");
	none(F4);
	expect(STRUCTURED, "error 4 5\nfinal 4 5\n", NULL);
}

static void message_shorter_than_its_chunk(void **state)
{
	(void)state;
	chunk(DONE, NBD_REPLY_TYPE_ERROR, R1, 6 + 2 + 3);
	error_payload(NBD_EIO, "ab");
	put_text(&stream, "xyz");
	expect(STRUCTURED, "error 1 5 \"ab\"\nfinal 1 5\n", NULL);
}

static void message_longer_than_its_chunk_breaks(void **state)
{
	(void)state;
	chunk(DONE, NBD_REPLY_TYPE_ERROR, R1, 6 + 1);
	error_payload(NBD_EIO, "ab");
	expect(STRUCTURED, "", "does not fit its chunk");
	chunk(DONE, NBD_REPLY_TYPE_ERROR_OFFSET, R1, 14 + 1);
	error_payload(NBD_EIO, "ab");
	put64(&stream, 4096);
	expect(STRUCTURED, "", "does not fit its chunk");
	chunk(DONE, 0x8007, R1, 6 + 1);
	error_payload(NBD_EIO, "ab");
	expect(STRUCTURED, "", "does not fit its chunk");
}

static void long_message_is_cut_and_has_no_nul(void **state)
{
	char events[1024];

	(void)state;
	chunk(DONE, NBD_REPLY_TYPE_ERROR, W3, 6 + 700);
	put32(&stream, NBD_EIO);
	put16(&stream, 700);
	put_fill(&stream, 0, 1);
	put_fill(&stream, 'a', 699);
	memset(events, 'a', sizeof(events));
	memcpy(events, "error 3 5 \"?", 12);
	strcpy(events + 11 + sizeof(play.parser.message), "\"\nfinal 3 5\n");
	expect(STRUCTURED, events, NULL);
}

static void longest_error_chunk(void **state)
{
	(void)state;
	chunk(DONE, 0x8009, W3, NBD_CHUNK_CONTROL_BYTES_MAX);
	error_payload(NBD_EIO, "x");
	put_fill(&stream, 0xaa, NBD_CHUNK_CONTROL_BYTES_MAX - 7);
	start(STRUCTURED);
	assert_true(feed(stream.data, stream.len));
	assert_string_equal(play.text, "error 3 5 \"x\"\nfinal 3 5\n");
	stream.len = 0;
}

static void error_offset(void **state)
{
	(void)state;
	data_chunk(0, R1, 4096, 32);
	chunk(0, NBD_REPLY_TYPE_ERROR_OFFSET, R1, 14 + 3);
	error_payload(NBD_EIO, "bad");
	put64(&stream, 4096 + 7);
	none(R1);
	expect(STRUCTURED, "data 1 0+32\nerror 1 5 at 7 \"bad\"\nfinal 1 5\n", NULL);
}

static void error_offset_with_more_behind_it(void **state)
{
	(void)state;
	chunk(DONE, NBD_REPLY_TYPE_ERROR_OFFSET, W3, 14 + 5);
	error_payload(NBD_EIO, "");
	put64(&stream, 512);
	put_fill(&stream, 0xff, 5);
	expect(STRUCTURED, "error 3 5 at 0\nfinal 3 5\n", NULL);
}

static void error_offset_out_of_bounds_breaks(void **state)
{
	static const uint64_t offsets[] = { 4095, 4128, 0, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		chunk(DONE, NBD_REPLY_TYPE_ERROR_OFFSET, R1, 14);
		error_payload(NBD_EIO, "");
		put64(&stream, offsets[i]);
		expect(STRUCTURED, "", "reports an error at");
	}
}

static void error_offset_for_a_flush_is_an_error(void **state)
{
	(void)state;
	chunk(DONE, NBD_REPLY_TYPE_ERROR_OFFSET, F4, 14);
	error_payload(NBD_EIO, "");
	put64(&stream, 12345);
	expect(STRUCTURED, "error 4 5\nfinal 4 5\n", NULL);
}

static void unknown_error_type_is_an_error(void **state)
{
	(void)state;
	chunk(0, 0x8003, R1, 6 + 4 + 20);
	error_payload(NBD_ENOMEM, "what");
	put_fill(&stream, 0xee, 20);
	data_chunk(DONE, R1, 4096, 32);
	simple(0, W3);
	expect(STRUCTURED, "error 1 12 \"what\"\ndata 1 0+32\nfinal 1 12\nfinal 3 0\n", NULL);
}

static void error_that_reports_success_breaks(void **state)
{
	(void)state;
	error_chunk(DONE, R1, 0, "fine");
	expect(STRUCTURED, "", "reports success");
}

static void data_after_an_error_is_taken(void **state)
{
	(void)state;
	error_chunk(0, R1, NBD_EIO, "");
	data_chunk(0, R1, 4096, 16);
	hole_chunk(0, R1, 4112, 16);
	none(R1);
	expect(STRUCTURED, "error 1 5\ndata 1 0+16\nhole 1 16+16\nfinal 1 5\n", NULL);
}

static void first_of_many_errors_is_the_result(void **state)
{
	(void)state;
	error_chunk(0, R1, NBD_ENOSPC, "one");
	error_chunk(0, R1, NBD_EIO, "two");
	none(R1);
	expect(STRUCTURED, "error 1 28 \"one\"\nerror 1 5 \"two\"\nfinal 1 28\n", NULL);
}

/* --- extended replies -------------------------------------------------------------------------- */

static void extended_replies(void **state)
{
	(void)state;
	extended(0, NBD_REPLY_TYPE_OFFSET_DATA, R1, 8 + 16);
	put64(&stream, 4112);
	data(4112, 16);
	extended(DONE, NBD_REPLY_TYPE_NONE, F4, 0);
	extended(0, NBD_REPLY_TYPE_OFFSET_HOLE, R1, 12);
	put64(&stream, 4096);
	put32(&stream, 16);
	extended(DONE, NBD_REPLY_TYPE_ERROR, Z7, 6 + 2);
	error_payload(NBD_ENOTSUP, "no");
	extended(DONE, NBD_REPLY_TYPE_NONE, R1, 0);
	expect(EXTENDED,
	       "data 1 16+16\nfinal 4 0\nhole 1 0+16\nerror 7 95 \"no\"\nfinal 7 95\nfinal 1 0\n",
	       NULL);
}

static void extended_reply_with_another_offset_breaks(void **state)
{
	(void)state;
	for (unsigned int cookie = R1; cookie < REQUESTS; cookie++) {
		bool read = waiting[cookie].command == NBD_CMD_READ;

		put32(&stream, NBD_MAGIC_EXTENDED_REPLY);
		put16(&stream, DONE);
		put16(&stream, read ? NBD_REPLY_TYPE_OFFSET_HOLE : NBD_REPLY_TYPE_NONE);
		put64(&stream, cookie);
		put64(&stream, waiting[cookie].offset_bytes + 1);
		put64(&stream, read ? 12 : 0);
		expect(EXTENDED, "", "as one for offset");
	}
}

static void extended_length_beyond_32_bits_breaks(void **state)
{
	static const uint16_t types[] = { NBD_REPLY_TYPE_NONE, NBD_REPLY_TYPE_OFFSET_DATA,
					  NBD_REPLY_TYPE_OFFSET_HOLE, NBD_REPLY_TYPE_ERROR,
					  NBD_REPLY_TYPE_ERROR_OFFSET };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		extended(DONE, types[i], R1, (UINT64_C(1) << 32) + 12);
		put_fill(&stream, 0, 16);
		expect(EXTENDED, "", "the server");
	}
}

/* --- state ------------------------------------------------------------------------------------- */

static void request_states_follow_the_stream(void **state)
{
	struct nbd_request *request;
	uint64_t offset_bytes;

	(void)state;
	start(STRUCTURED);
	data_chunk(0, R1, 4096, 16);
	assert_true(feed(stream.data, 24));
	assert_int_equal(play.requests[R1].rx, NBD_RX_PARTIAL);
	assert_int_equal(nbd_reply_payload_left(&play.parser, &request, &offset_bytes), 0);
	assert_true(feed(stream.data + 24, 4 + 5));
	assert_int_equal(nbd_reply_payload_left(&play.parser, &request, &offset_bytes), 11);
	assert_ptr_equal(request, &play.requests[R1]);
	assert_int_equal(offset_bytes, 5);
	assert_false(between_headers());
	assert_true(feed(stream.data + 33, 11));
	assert_int_equal(play.requests[R1].rx, NBD_RX_WAITING);
	assert_int_equal(nbd_reply_payload_left(&play.parser, &request, &offset_bytes), 0);
	assert_true(between_headers());
	stream.len = 0;
}

static void request_that_does_not_wait_breaks(void **state)
{
	static const enum nbd_rx_state states[] = { NBD_RX_IDLE, NBD_RX_PARTIAL, NBD_RX_FINAL };

	(void)state;
	simple(0, W3);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		start(SIMPLE);
		play.requests[W3].rx = states[i];
		assert_false(feed(stream.data, stream.len));
		assert_non_null(strstr(play.parser.why, "no request is waiting"));
	}
	start(SIMPLE);
	play.requests[W3].cookie = 99;
	assert_false(feed(stream.data, stream.len));
	stream.len = 0;
}

static void final_after_data_in_place_needs_no_input(void **state)
{
	struct nbd_reply_event event;
	size_t used;

	(void)state;
	start(SIMPLE);
	simple(0, R1);
	assert_true(feed(stream.data, stream.len));
	nbd_reply_payload_received(&play.parser, 20);
	assert_int_equal(nbd_reply_parse(&play.parser, NULL, 0, &used, &event), 0);
	assert_int_equal(event.type, NBD_REPLY_NEED_MORE);
	nbd_reply_payload_received(&play.parser, 12);
	assert_int_equal(nbd_reply_parse(&play.parser, NULL, 0, &used, &event), 0);
	assert_int_equal(event.type, NBD_REPLY_FINAL);
	assert_ptr_equal(event.request, &play.requests[R1]);
	assert_int_equal(used, 0);
	stream.len = 0;
}

static void shortest_reads(void **state)
{
	(void)state;
	for (uint32_t length = 0; length < 2; length++) {
		start(SIMPLE);
		play.requests[R1].length_bytes = length;
		simple(0, R1);
		data(4096, length);
		assert_true(feed(stream.data, stream.len));
		note_pending_data();
		assert_string_equal(play.text, length ? "data 1 0+1\nfinal 1 0\n" : "final 1 0\n");
		stream.len = 0;
	}
}

static void data_points_into_the_callers_bytes(void **state)
{
	struct nbd_reply_event event;
	size_t used;

	(void)state;
	start(SIMPLE);
	simple(0, R1);
	data(4096, 32);
	assert_int_equal(nbd_reply_parse(&play.parser, stream.data, stream.len, &used, &event), 0);
	assert_int_equal(event.type, NBD_REPLY_DATA);
	assert_ptr_equal(event.data, stream.data + NBD_SIMPLE_REPLY_BYTES);
	assert_int_equal(event.length_bytes, 32);
	assert_int_equal(used, stream.len);
	stream.len = 0;
}

static void every_wrong_byte_of_a_header_is_safe(void **state)
{
	struct bytes good;

	(void)state;
	data_chunk(DONE, R1, 4096, 32);
	simple(0, W3);
	good = stream;
	for (size_t i = 0; i < 28; i++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			stream = good;
			stream.data[i] ^= (uint8_t)(1u << bit);
			start(STRUCTURED);
			if (!feed(stream.data, stream.len))
				assert_int_not_equal(play.parser.why[0], 0);
			/* the unused reply flags are the only bits that do not matter */
			else
				assert_true((i == 4 || i == 5) ||
					    play.requests[R1].rx != NBD_RX_FINAL);
		}
	stream.len = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(simple_read_carries_its_data),
		cmocka_unit_test(simple_read_error_carries_no_payload),
		cmocka_unit_test(replies_come_in_any_order),
		cmocka_unit_test(unknown_wire_error_is_only_an_error),
		cmocka_unit_test(shutdown_passes_as_an_error),
		cmocka_unit_test(unknown_cookie_breaks),
		cmocka_unit_test(second_reply_to_a_request_breaks),
		cmocka_unit_test(wrong_magic_breaks),
		cmocka_unit_test(framing_not_agreed_on_breaks),
		cmocka_unit_test(data_in_one_chunk),
		cmocka_unit_test(chunks_come_in_any_order_with_holes),
		cmocka_unit_test(chunks_of_many_requests_interleave),
		cmocka_unit_test(simple_reply_under_structured_is_for_all_but_read),
		cmocka_unit_test(simple_reply_amid_chunks_breaks),
		cmocka_unit_test(unknown_reply_flags_are_ignored),
		cmocka_unit_test(read_not_wholly_answered_breaks),
		cmocka_unit_test(bytes_answered_twice_break),
		cmocka_unit_test(bytes_out_of_bounds_break),
		cmocka_unit_test(chunk_of_wrong_length_breaks),
		cmocka_unit_test(none_without_done_breaks),
		cmocka_unit_test(hole_of_no_bytes_breaks),
		cmocka_unit_test(unknown_chunk_type_breaks),
		cmocka_unit_test(read_data_for_another_command_breaks),
		cmocka_unit_test(fragments_of_a_read_that_forbids_them_break),
		cmocka_unit_test(too_many_scattered_pieces_fail_the_read),
		cmocka_unit_test(many_scattered_pieces_are_fine),
		cmocka_unit_test(too_many_chunks_break),
		cmocka_unit_test(error_with_message),
		cmocka_unit_test(message_shorter_than_its_chunk),
		cmocka_unit_test(message_longer_than_its_chunk_breaks),
		cmocka_unit_test(long_message_is_cut_and_has_no_nul),
		cmocka_unit_test(longest_error_chunk),
		cmocka_unit_test(error_offset),
		cmocka_unit_test(error_offset_with_more_behind_it),
		cmocka_unit_test(error_offset_out_of_bounds_breaks),
		cmocka_unit_test(error_offset_for_a_flush_is_an_error),
		cmocka_unit_test(unknown_error_type_is_an_error),
		cmocka_unit_test(error_that_reports_success_breaks),
		cmocka_unit_test(data_after_an_error_is_taken),
		cmocka_unit_test(first_of_many_errors_is_the_result),
		cmocka_unit_test(extended_replies),
		cmocka_unit_test(extended_reply_with_another_offset_breaks),
		cmocka_unit_test(extended_length_beyond_32_bits_breaks),
		cmocka_unit_test(request_states_follow_the_stream),
		cmocka_unit_test(request_that_does_not_wait_breaks),
		cmocka_unit_test(final_after_data_in_place_needs_no_input),
		cmocka_unit_test(shortest_reads),
		cmocka_unit_test(data_points_into_the_callers_bytes),
		cmocka_unit_test(every_wrong_byte_of_a_header_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
