/* SPDX-License-Identifier: MIT */
/*
 * wrong.h - part of hostile_server.c: everything a reply can have wrong, as one table. A row names
 * the framings and commands it applies to, how the client must take it, and either a field with
 * what is done to it, or a function that makes the whole reply.
 */
#ifndef TESTS_GUEST_HOSTILE_WRONG_H
#define TESTS_GUEST_HOSTILE_WRONG_H

#include <stdio.h>

#include "tests/guest/hostile/reply.h"

#define S	    (1u << NBD_FRAMING_SIMPLE)
#define T	    (1u << NBD_FRAMING_STRUCTURED)
#define E	    (1u << NBD_FRAMING_EXTENDED)

#define COMMAND_ANY UINT16_MAX

/* What the client is expected to make of it. */
enum effect {
	EFFECT_PROTOCOL, /* condemns the connection: the server broke the protocol */
	EFFECT_TIMEOUT,	 /* condemns the connection at the request's deadline */
	EFFECT_CLOSED,	 /* finds the connection closed */
	EFFECT_FAILS,	 /* this request fails, the connection lives on */
	EFFECT_RETIRES,	 /* sends nothing new, and DISC once all is answered */
	EFFECT_HARMLESS, /* nothing: it may be ignored */
};

/* The reply that is made before its field is made wrong. */
enum base { BASE_PLAIN, BASE_HOLE, BASE_ERROR, BASE_ERROR_OFFSET };

enum manner { MANNER_SET, MANNER_ADD, MANNER_XOR };

/* What becomes of the stream behind the reply. */
enum aftermath { AFTER_NOTHING, AFTER_CLOSE, AFTER_RESET, AFTER_HALF_CLOSE, AFTER_STALL };

/* What a row's function works with. */
struct wrong_context {
	struct reply *reply;
	const uint8_t *export;
	uint64_t random;
	uint64_t answered_cookie; /* of the last request answered; 0 none */
	uint64_t other_cookie;	  /* of a request that waits; 0 none */
	enum aftermath aftermath; /* out */
	uint32_t cut_bytes;	  /* out: send only so many bytes of the reply; 0 all */
	bool trickle;		  /* out: a byte every 100 ms */
};

struct wrong {
	const char *name;
	unsigned int framings;
	uint16_t command;
	enum effect effect;
	/* false: not now (nothing else waits); the next reply is tried. NULL: the fields below. */
	bool (*make)(struct wrong_context *context);
	enum base base;
	enum field field;
	enum manner manner;
	uint64_t value;
};

/* --- whole replies ----------------------------------------------------------------------------- */

static uint32_t half_of(const struct request *request)
{
	return (uint32_t)(request->length / 1024 * 512);
}

/* The honest reply, in one piece. */
static void plain_make(struct reply *reply, const uint8_t *export)
{
	const struct request *request = &reply->request;
	bool read = request->command == NBD_CMD_READ;

	reply_clear(reply);
	if (reply->framing == NBD_FRAMING_SIMPLE) {
		struct message *message =
			simple_add(reply, request->error,
				   read && !request->error ? (uint32_t)request->length : 0);

		if (read && !request->error)
			memcpy(message->bytes + NBD_SIMPLE_REPLY_BYTES, export + request->offset,
			       request->length);
		return;
	}
	if (request->error)
		error_add(reply, request->error, false);
	else if (read)
		data_add(reply, export, request->offset, (uint32_t)request->length);
	else
		chunk_add(reply, NBD_REPLY_TYPE_NONE, 0);
	chunks_finish(reply);
}

static void base_make(struct wrong_context *context, enum base base)
{
	struct reply *reply = context->reply;

	if (base == BASE_PLAIN) {
		plain_make(reply, context->export);
		return;
	}
	reply_clear(reply);
	if (base == BASE_HOLE)
		hole_add(reply, reply->request.offset, (uint32_t)reply->request.length);
	else
		error_add(reply, NBD_EIO, base == BASE_ERROR_OFFSET);
	chunks_finish(reply);
}

static bool cookie_other(struct wrong_context *context)
{
	if (!context->other_cookie)
		return false;
	plain_make(context->reply, context->export);
	field_set(context->reply, &context->reply->messages[0], FIELD_COOKIE,
		  context->other_cookie);
	return true;
}

static bool cookie_answered(struct wrong_context *context)
{
	if (!context->answered_cookie)
		return false;
	plain_make(context->reply, context->export);
	field_set(context->reply, &context->reply->messages[0], FIELD_COOKIE,
		  context->answered_cookie);
	return true;
}

static void append_copy(struct reply *reply, uint32_t index)
{
	const struct message *from = &reply->messages[index];
	struct message *to = &reply->messages[reply->count++];

	to->length = from->length;
	to->bytes = malloc(to->length);
	if (!to->bytes)
		abort();
	memcpy(to->bytes, from->bytes, to->length);
}

static bool twice(struct wrong_context *context)
{
	plain_make(context->reply, context->export);
	append_copy(context->reply, 0);
	return true;
}

static bool error_with_data(struct wrong_context *context)
{
	plain_make(context->reply, context->export);
	field_set(context->reply, &context->reply->messages[0], FIELD_SIMPLE_ERROR, NBD_EIO);
	return true;
}

static bool bytes_behind(struct wrong_context *context)
{
	struct message *message;

	plain_make(context->reply, context->export);
	message = message_add(context->reply, 0);
	memset(message->bytes, 0x11, message->length);
	return true;
}

/* Two data chunks that have one sector in common. */
static bool overlap(struct wrong_context *context)
{
	struct reply *reply = context->reply;
	uint64_t offset = reply->request.offset;
	uint32_t half = half_of(&reply->request);

	if (half < 512 || reply->request.length - half < 512)
		return false;
	reply_clear(reply);
	data_add(reply, context->export, offset, half);
	data_add(reply, context->export, offset + half - 512,
		 (uint32_t)reply->request.length - half + 512);
	chunks_finish(reply);
	return true;
}

static bool chunk_repeated(struct wrong_context *context)
{
	struct reply *reply = context->reply;

	reply_clear(reply);
	data_add(reply, context->export, reply->request.offset, (uint32_t)reply->request.length);
	append_copy(reply, 0);
	chunks_finish(reply);
	return true;
}

static bool incomplete_of(struct wrong_context *context, bool none)
{
	struct reply *reply = context->reply;
	uint32_t half = half_of(&reply->request);

	if (half < 512)
		return false;
	reply_clear(reply);
	data_add(reply, context->export, reply->request.offset, half);
	if (none)
		chunk_add(reply, NBD_REPLY_TYPE_NONE, 0);
	chunks_finish(reply);
	return true;
}

static bool incomplete(struct wrong_context *context)
{
	return incomplete_of(context, false);
}

static bool incomplete_none(struct wrong_context *context)
{
	return incomplete_of(context, true);
}

static bool none_only(struct wrong_context *context)
{
	reply_clear(context->reply);
	chunk_add(context->reply, NBD_REPLY_TYPE_NONE, 0);
	chunks_finish(context->reply);
	return true;
}

static bool none_unfinished(struct wrong_context *context)
{
	reply_clear(context->reply);
	chunk_add(context->reply, NBD_REPLY_TYPE_NONE, 0);
	return true;
}

static bool none_behind_done(struct wrong_context *context)
{
	plain_make(context->reply, context->export);
	chunk_add(context->reply, NBD_REPLY_TYPE_NONE, 0);
	chunks_finish(context->reply);
	return true;
}

static bool data_to_write(struct wrong_context *context)
{
	struct reply *reply = context->reply;

	reply_clear(reply);
	data_add(reply, context->export, reply->request.offset, (uint32_t)reply->request.length);
	chunks_finish(reply);
	return true;
}

static bool hole_to_write(struct wrong_context *context)
{
	base_make(context, BASE_HOLE);
	return true;
}

static bool simple_to_read(struct wrong_context *context)
{
	struct reply *reply = context->reply;
	struct message *message;

	reply_clear(reply);
	message = simple_add(reply, 0, (uint32_t)reply->request.length);
	memcpy(message->bytes + NBD_SIMPLE_REPLY_BYTES, context->export + reply->request.offset,
	       reply->request.length);
	return true;
}

static bool simple_amid_chunks(struct wrong_context *context)
{
	struct reply *reply = context->reply;

	if (half_of(&reply->request) < 512)
		return false;
	reply_clear(reply);
	data_add(reply, context->export, reply->request.offset, half_of(&reply->request));
	simple_add(reply, NBD_EIO, 0);
	return true;
}

static bool chunk_amid_simple(struct wrong_context *context)
{
	struct reply *reply = context->reply;

	reply_clear(reply);
	reply->framing = NBD_FRAMING_STRUCTURED;
	plain_make(reply, context->export);
	return true;
}

static bool garbage(struct wrong_context *context)
{
	struct message *message;
	uint64_t x = context->random | 1;

	reply_clear(context->reply);
	message = message_add(context->reply, 4096);
	for (uint32_t i = 0; i < message->length; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		message->bytes[i] = (uint8_t)x;
	}
	return true;
}

/* --- the stream -------------------------------------------------------------------------------- */

static bool cut(struct wrong_context *context, uint32_t bytes, enum aftermath aftermath)
{
	plain_make(context->reply, context->export);
	context->cut_bytes = bytes;
	context->aftermath = aftermath;
	return true;
}

static uint32_t amid_payload(const struct wrong_context *context)
{
	return header_bytes(context->reply->framing) + half_of(&context->reply->request) + 9;
}

static bool close_between(struct wrong_context *context)
{
	return cut(context, 0, AFTER_CLOSE);
}

static bool close_in_header(struct wrong_context *context)
{
	return cut(context, 7, AFTER_CLOSE);
}

static bool close_in_payload(struct wrong_context *context)
{
	return cut(context, amid_payload(context), AFTER_CLOSE);
}

static bool reset_in_payload(struct wrong_context *context)
{
	return cut(context, amid_payload(context), AFTER_RESET);
}

static bool half_close(struct wrong_context *context)
{
	return cut(context, amid_payload(context), AFTER_HALF_CLOSE);
}

static bool stall_in_header(struct wrong_context *context)
{
	return cut(context, 11, AFTER_STALL);
}

static bool stall_in_payload(struct wrong_context *context)
{
	return cut(context, amid_payload(context), AFTER_STALL);
}

/* This one is never answered, all others are. */
static bool stall_one(struct wrong_context *context)
{
	reply_clear(context->reply);
	return true;
}

/* A byte now and then: progress that never ends must not move a deadline. */
static bool trickle(struct wrong_context *context)
{
	plain_make(context->reply, context->export);
	context->trickle = true;
	return true;
}

/* --- the table --------------------------------------------------------------------------------- */

#define ROW(text, where, which, how)                                                               \
	.name = (text), .framings = (where), .command = (which), .effect = EFFECT_##how
#define READ  NBD_CMD_READ
#define WRITE NBD_CMD_WRITE
#define ANY   COMMAND_ANY
#define POKE(kind, what, change, by)                                                               \
	.base = BASE_##kind, .field = FIELD_##what, .manner = MANNER_##change, .value = (by)

static const struct wrong wrongs[] = {
	{ ROW("magic", S | T | E, ANY, PROTOCOL), POKE(PLAIN, MAGIC, XOR, 1) },
	{ ROW("magic-zero", S | T | E, ANY, PROTOCOL), POKE(PLAIN, MAGIC, SET, 0) },
	{ ROW("magic-of-request", S | T | E, ANY, PROTOCOL),
	  POKE(PLAIN, MAGIC, SET, NBD_MAGIC_REQUEST) },
	{ ROW("magic-of-simple", T | E, READ, PROTOCOL),
	  POKE(PLAIN, MAGIC, SET, NBD_MAGIC_SIMPLE_REPLY) },
	{ ROW("magic-of-structured", S | E, READ, PROTOCOL),
	  POKE(PLAIN, MAGIC, SET, NBD_MAGIC_STRUCTURED_REPLY) },
	{ ROW("magic-of-extended", S | T, READ, PROTOCOL),
	  POKE(PLAIN, MAGIC, SET, NBD_MAGIC_EXTENDED_REPLY) },
	{ ROW("simple-error-unknown", S, WRITE, FAILS), POKE(PLAIN, SIMPLE_ERROR, SET, 9999) },
	{ ROW("simple-error-shutdown", S, WRITE, RETIRES),
	  POKE(PLAIN, SIMPLE_ERROR, SET, NBD_ESHUTDOWN) },
	{ ROW("simple-error-with-data", S, READ, PROTOCOL), .make = error_with_data },
	{ ROW("cookie-random", S | T | E, ANY, PROTOCOL),
	  POKE(PLAIN, COOKIE, XOR, UINT64_C(0x5a5a5a5a00000000)) },
	{ ROW("cookie-old", S | T | E, ANY, PROTOCOL),
	  POKE(PLAIN, COOKIE, ADD, -(UINT64_C(1) << 32)) },
	{ ROW("cookie-next", S | T | E, ANY, PROTOCOL),
	  POKE(PLAIN, COOKIE, ADD, UINT64_C(1) << 32) },
	{ ROW("cookie-part", S | T | E, ANY, PROTOCOL), POKE(PLAIN, COOKIE, ADD, 1 << 16) },
	{ ROW("cookie-tag-own", S | T | E, ANY, PROTOCOL), POKE(PLAIN, COOKIE, XOR, 0x20) },
	{ ROW("cookie-tag-large", S | T | E, ANY, PROTOCOL), POKE(PLAIN, COOKIE, XOR, 0x8000) },
	{ ROW("cookie-zero", S | T | E, ANY, PROTOCOL), POKE(PLAIN, COOKIE, SET, 0) },
	{ ROW("cookie-other", T | E, READ, PROTOCOL), .make = cookie_other },
	{ ROW("cookie-answered", S | T | E, ANY, PROTOCOL), .make = cookie_answered },
	{ ROW("twice", S | T | E, ANY, PROTOCOL), .make = twice },
	{ ROW("flags-not-done", T | E, READ, TIMEOUT), POKE(PLAIN, FLAGS, SET, 0) },
	{ ROW("flags-undefined", T | E, ANY, HARMLESS), POKE(PLAIN, FLAGS, XOR, 0x8000) },
	{ ROW("type-unknown", T | E, ANY, PROTOCOL), POKE(PLAIN, TYPE, SET, 3) },
	{ ROW("type-block-status", T | E, READ, PROTOCOL), POKE(PLAIN, TYPE, SET, 5) },
	{ ROW("type-none", T | E, READ, PROTOCOL), POKE(PLAIN, TYPE, SET, 0) },
	{ ROW("type-hole", T | E, READ, PROTOCOL), POKE(PLAIN, TYPE, SET, 2) },
	{ ROW("type-data", T | E, WRITE, PROTOCOL), POKE(PLAIN, TYPE, SET, 1) },
	{ ROW("type-error", T | E, READ, PROTOCOL), POKE(PLAIN, TYPE, SET, 0x8001) },
	{ ROW("type-error-of-write", T | E, WRITE, PROTOCOL), POKE(PLAIN, TYPE, SET, 0x8002) },
	{ ROW("type-error-unknown", T | E, ANY, FAILS), POKE(ERROR, TYPE, SET, 0x80ff) },
	{ ROW("length-plus-one", T | E, READ, PROTOCOL), POKE(PLAIN, LENGTH, ADD, 1) },
	{ ROW("length-minus-one", T | E, READ, PROTOCOL), POKE(PLAIN, LENGTH, ADD, -1ull) },
	{ ROW("length-plus-sector", T | E, READ, PROTOCOL), POKE(PLAIN, LENGTH, ADD, 512) },
	{ ROW("length-zero", T | E, READ, PROTOCOL), POKE(PLAIN, LENGTH, SET, 0) },
	{ ROW("length-no-data", T | E, READ, PROTOCOL), POKE(PLAIN, LENGTH, SET, 8) },
	{ ROW("length-huge", T | E, READ, PROTOCOL), POKE(PLAIN, LENGTH, SET, 0xffffffff) },
	{ ROW("length-negative", E, READ, PROTOCOL), POKE(PLAIN, LENGTH, SET, UINT64_MAX) },
	{ ROW("length-high-word", E, READ, PROTOCOL), POKE(PLAIN, LENGTH, ADD, UINT64_C(1) << 32) },
	{ ROW("length-of-none", T | E, WRITE, PROTOCOL), POKE(PLAIN, LENGTH, SET, 4) },
	{ ROW("request-offset", E, READ, PROTOCOL), POKE(PLAIN, REQUEST_OFFSET, ADD, 512) },
	{ ROW("request-offset-of-write", E, WRITE, PROTOCOL),
	  POKE(PLAIN, REQUEST_OFFSET, XOR, UINT64_C(1) << 63) },
	{ ROW("data-offset-after", T | E, READ, PROTOCOL), POKE(PLAIN, CONTENT_OFFSET, ADD, 512) },
	{ ROW("data-offset-before", T | E, READ, PROTOCOL),
	  POKE(PLAIN, CONTENT_OFFSET, ADD, -512ull) },
	{ ROW("data-offset-huge", T | E, READ, PROTOCOL),
	  POKE(PLAIN, CONTENT_OFFSET, SET, UINT64_MAX) },
	{ ROW("data-offset-sign", T | E, READ, PROTOCOL),
	  POKE(PLAIN, CONTENT_OFFSET, XOR, UINT64_C(1) << 63) },
	{ ROW("hole-offset-after", T | E, READ, PROTOCOL), POKE(HOLE, CONTENT_OFFSET, ADD, 512) },
	{ ROW("hole-offset-before", T | E, READ, PROTOCOL),
	  POKE(HOLE, CONTENT_OFFSET, ADD, -512ull) },
	{ ROW("hole-size-long", T | E, READ, PROTOCOL), POKE(HOLE, HOLE_SIZE, ADD, 512) },
	{ ROW("hole-size-short", T | E, READ, PROTOCOL), POKE(HOLE, HOLE_SIZE, ADD, -512ull) },
	{ ROW("hole-size-zero", T | E, READ, PROTOCOL), POKE(HOLE, HOLE_SIZE, SET, 0) },
	{ ROW("hole-size-huge", T | E, READ, PROTOCOL), POKE(HOLE, HOLE_SIZE, SET, 0xffffffff) },
	{ ROW("hole-length", T | E, READ, PROTOCOL), POKE(HOLE, LENGTH, ADD, 1) },
	{ ROW("error-value-zero", T | E, ANY, PROTOCOL), POKE(ERROR, ERROR_VALUE, SET, 0) },
	{ ROW("error-value-unknown", T | E, ANY, FAILS), POKE(ERROR, ERROR_VALUE, SET, 9999) },
	{ ROW("error-value-shutdown", T | E, ANY, RETIRES),
	  POKE(ERROR, ERROR_VALUE, SET, NBD_ESHUTDOWN) },
	{ ROW("error-text-long", T | E, ANY, PROTOCOL), POKE(ERROR, MESSAGE_LENGTH, SET, 4000) },
	{ ROW("error-length-short", T | E, ANY, PROTOCOL), POKE(ERROR, LENGTH, SET, 4) },
	{ ROW("error-length-long", T | E, ANY, PROTOCOL), POKE(ERROR, LENGTH, SET, 70000) },
	{ ROW("error-offset-outside", T | E, ANY, PROTOCOL),
	  POKE(ERROR_OFFSET, ERROR_OFFSET, ADD, UINT64_C(1) << 40) },
	{ ROW("bytes-behind-read", S, READ, PROTOCOL), .make = bytes_behind },
	{ ROW("bytes-behind-write", S | T | E, WRITE, PROTOCOL), .make = bytes_behind },
	{ ROW("overlap", T | E, READ, PROTOCOL), .make = overlap },
	{ ROW("chunk-repeated", T | E, READ, PROTOCOL), .make = chunk_repeated },
	{ ROW("incomplete", T | E, READ, PROTOCOL), .make = incomplete },
	{ ROW("incomplete-none", T | E, READ, PROTOCOL), .make = incomplete_none },
	{ ROW("none-to-read", T | E, READ, PROTOCOL), .make = none_only },
	{ ROW("none-unfinished", T | E, ANY, PROTOCOL), .make = none_unfinished },
	{ ROW("none-behind-done", T | E, ANY, PROTOCOL), .make = none_behind_done },
	{ ROW("data-to-write", T | E, WRITE, PROTOCOL), .make = data_to_write },
	{ ROW("hole-to-write", T | E, WRITE, PROTOCOL), .make = hole_to_write },
	{ ROW("simple-to-read", T | E, READ, PROTOCOL), .make = simple_to_read },
	{ ROW("simple-amid-chunks", T | E, READ, PROTOCOL), .make = simple_amid_chunks },
	{ ROW("chunk-amid-simple", S, READ, PROTOCOL), .make = chunk_amid_simple },
	{ ROW("garbage", S | T | E, ANY, PROTOCOL), .make = garbage },
	{ ROW("close-between", S | T | E, ANY, CLOSED), .make = close_between },
	{ ROW("close-in-header", S | T | E, ANY, CLOSED), .make = close_in_header },
	{ ROW("close-in-payload", S | T | E, READ, CLOSED), .make = close_in_payload },
	{ ROW("reset-in-payload", S | T | E, READ, CLOSED), .make = reset_in_payload },
	{ ROW("half-close", S | T | E, READ, CLOSED), .make = half_close },
	{ ROW("stall-in-header", S | T | E, ANY, TIMEOUT), .make = stall_in_header },
	{ ROW("stall-in-payload", S | T | E, READ, TIMEOUT), .make = stall_in_payload },
	{ ROW("stall-one", S | T | E, ANY, TIMEOUT), .make = stall_one },
	{ ROW("trickle", S | T | E, READ, TIMEOUT), .make = trickle },
};

#undef READ
#undef WRITE
#undef ANY
#undef POKE
#undef ROW

#define WRONGS (sizeof(wrongs) / sizeof(wrongs[0]))

static const char *const framing_names[] = { "simple", "structured", "extended" };

static const struct wrong *wrong_find(const char *name)
{
	for (size_t i = 0; i < WRONGS; i++)
		if (!strcmp(wrongs[i].name, name))
			return &wrongs[i];
	return NULL;
}

/* A line for each framing and row: FRAMING NAME EFFECT. */
static void wrongs_print(void)
{
	static const char *const effects[] = { "protocol", "timeout", "closed",
					       "fails",	   "retires", "harmless" };

	for (int framing = 0; framing < 3; framing++)
		for (size_t i = 0; i < WRONGS; i++)
			if (wrongs[i].framings & (1u << framing))
				printf("%s %s %s\n", framing_names[framing], wrongs[i].name,
				       effects[wrongs[i].effect]);
}

/* Makes context->reply wrong. false: this reply is none for it. */
static bool wrong_apply(const struct wrong *wrong, struct wrong_context *context)
{
	struct reply *reply = context->reply;
	struct message *message;
	uint64_t value;

	if (!(wrong->framings & (1u << reply->framing)) || reply->request.error)
		return false;
	if (wrong->command != COMMAND_ANY && wrong->command != reply->request.command)
		return false;
	if (reply->request.command != NBD_CMD_READ && reply->request.command != NBD_CMD_WRITE)
		return false;
	if (wrong->make)
		return wrong->make(context);
	base_make(context, wrong->base);
	message = &reply->messages[0];
	value = wrong->value;
	if (wrong->manner == MANNER_ADD)
		value += field_get(reply, message, wrong->field);
	else if (wrong->manner == MANNER_XOR)
		value ^= field_get(reply, message, wrong->field);
	field_set(reply, message, wrong->field, value);
	return true;
}

#undef S
#undef T
#undef E

#endif
