/* SPDX-License-Identifier: MIT */
/*
 * reply.h - part of hostile_server.c: a reply as a list of messages (a simple reply, or chunks),
 * each kept in whole so that any field of it can be made wrong before it is sent.
 */
#ifndef TESTS_GUEST_HOSTILE_REPLY_H
#define TESTS_GUEST_HOSTILE_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handshake.h"
#include "proto/limits.h"
#include "proto/wire.h"

/* Of which at most half lie apart at any time, as the client can bear (NBD_COVERAGE_SPANS_MAX). */
#define CHUNKS_MAX (2 * NBD_COVERAGE_SPANS_MAX)

struct request {
	uint16_t flags, command;
	uint64_t cookie, offset, length;
	uint32_t error; /* to be answered; 0 none */
};

struct message {
	uint8_t *bytes;
	uint32_t length;
};

struct reply {
	struct request request;
	enum nbd_framing framing;
	uint32_t count, next; /* next: the first that was not sent */
	struct message messages[CHUNKS_MAX + 8];
};

/* Fields of a message, whatever its framing. */
enum field {
	FIELD_MAGIC,
	FIELD_SIMPLE_ERROR,
	FIELD_FLAGS,
	FIELD_TYPE,
	FIELD_COOKIE,
	FIELD_REQUEST_OFFSET,
	FIELD_LENGTH,
	FIELD_CONTENT_OFFSET,
	FIELD_HOLE_SIZE,
	FIELD_ERROR_VALUE,
	FIELD_MESSAGE_LENGTH,
	FIELD_ERROR_OFFSET,
};

#define ERROR_TEXT "hm"

static uint32_t header_bytes(enum nbd_framing framing)
{
	return framing == NBD_FRAMING_SIMPLE	 ? NBD_SIMPLE_REPLY_BYTES
	       : framing == NBD_FRAMING_EXTENDED ? NBD_EXTENDED_REPLY_BYTES
						 : NBD_STRUCTURED_REPLY_BYTES;
}

/* Where a field lies and how many bytes it has. */
static void field_place(enum nbd_framing framing, enum field field, uint32_t *at, uint32_t *size)
{
	uint32_t body = header_bytes(framing);
	const struct {
		uint32_t at, size;
	} places[] = {
		[FIELD_MAGIC] = { 0, 4 },
		[FIELD_SIMPLE_ERROR] = { 4, 4 },
		[FIELD_FLAGS] = { 4, 2 },
		[FIELD_TYPE] = { 6, 2 },
		[FIELD_COOKIE] = { 8, 8 },
		[FIELD_REQUEST_OFFSET] = { 16, 8 },
		[FIELD_LENGTH] = { framing == NBD_FRAMING_EXTENDED ? 24 : 16,
				   framing == NBD_FRAMING_EXTENDED ? 8 : 4 },
		[FIELD_CONTENT_OFFSET] = { body, 8 },
		[FIELD_HOLE_SIZE] = { body + 8, 4 },
		[FIELD_ERROR_VALUE] = { body, 4 },
		[FIELD_MESSAGE_LENGTH] = { body + 4, 2 },
		[FIELD_ERROR_OFFSET] = { body + 6 + (uint32_t)strlen(ERROR_TEXT), 8 },
	};

	*at = places[field].at;
	*size = places[field].size;
}

static uint64_t field_get(const struct reply *reply, const struct message *message,
			  enum field field)
{
	uint32_t at, size;

	field_place(reply->framing, field, &at, &size);
	return size == 2   ? wire_get16(message->bytes + at)
	       : size == 4 ? wire_get32(message->bytes + at)
			   : wire_get64(message->bytes + at);
}

static void field_set(const struct reply *reply, struct message *message, enum field field,
		      uint64_t value)
{
	uint32_t at, size;

	field_place(reply->framing, field, &at, &size);
	if (size == 2)
		wire_put16(message->bytes + at, (uint16_t)value);
	else if (size == 4)
		wire_put32(message->bytes + at, (uint32_t)value);
	else
		wire_put64(message->bytes + at, value);
}

/* A message with a zeroed body of so many bytes behind its header. */
static struct message *message_add(struct reply *reply, uint32_t body_bytes)
{
	struct message *message = &reply->messages[reply->count++];

	if (reply->count > CHUNKS_MAX + 8)
		abort();
	message->length = header_bytes(reply->framing) + body_bytes;
	message->bytes = calloc(1, message->length);
	if (!message->bytes)
		abort();
	return message;
}

/* A simple reply, under any framing. */
static struct message *simple_add(struct reply *reply, uint32_t error, uint32_t data_bytes)
{
	enum nbd_framing framing = reply->framing;
	struct message *message;

	reply->framing = NBD_FRAMING_SIMPLE;
	message = message_add(reply, data_bytes);
	reply->framing = framing;
	wire_put32(message->bytes, NBD_MAGIC_SIMPLE_REPLY);
	wire_put32(message->bytes + 4, error);
	wire_put64(message->bytes + 8, reply->request.cookie);
	return message;
}

/* A chunk that is not the last; chunks_finish() marks the last one. */
static struct message *chunk_add(struct reply *reply, uint16_t type, uint32_t body_bytes)
{
	struct message *message = message_add(reply, body_bytes);
	bool extended = reply->framing == NBD_FRAMING_EXTENDED;

	wire_put32(message->bytes,
		   extended ? NBD_MAGIC_EXTENDED_REPLY : NBD_MAGIC_STRUCTURED_REPLY);
	field_set(reply, message, FIELD_TYPE, type);
	field_set(reply, message, FIELD_COOKIE, reply->request.cookie);
	if (extended)
		field_set(reply, message, FIELD_REQUEST_OFFSET, reply->request.offset);
	field_set(reply, message, FIELD_LENGTH, body_bytes);
	return message;
}

static void chunks_finish(struct reply *reply)
{
	field_set(reply, &reply->messages[reply->count - 1], FIELD_FLAGS, NBD_REPLY_FLAG_DONE);
}

static struct message *data_add(struct reply *reply, const uint8_t *export, uint64_t offset,
				uint32_t bytes)
{
	struct message *message = chunk_add(reply, NBD_REPLY_TYPE_OFFSET_DATA, 8 + bytes);

	field_set(reply, message, FIELD_CONTENT_OFFSET, offset);
	memcpy(message->bytes + header_bytes(reply->framing) + 8, export + offset, bytes);
	return message;
}

static struct message *hole_add(struct reply *reply, uint64_t offset, uint32_t bytes)
{
	struct message *message = chunk_add(reply, NBD_REPLY_TYPE_OFFSET_HOLE, 12);

	field_set(reply, message, FIELD_CONTENT_OFFSET, offset);
	field_set(reply, message, FIELD_HOLE_SIZE, bytes);
	return message;
}

static struct message *error_add(struct reply *reply, uint32_t error, bool with_offset)
{
	uint32_t text_bytes = strlen(ERROR_TEXT);
	struct message *message =
		chunk_add(reply, with_offset ? NBD_REPLY_TYPE_ERROR_OFFSET : NBD_REPLY_TYPE_ERROR,
			  6 + text_bytes + (with_offset ? 8 : 0));

	field_set(reply, message, FIELD_ERROR_VALUE, error);
	field_set(reply, message, FIELD_MESSAGE_LENGTH, text_bytes);
	memcpy(message->bytes + header_bytes(reply->framing) + 6, ERROR_TEXT, text_bytes);
	if (with_offset)
		field_set(reply, message, FIELD_ERROR_OFFSET, reply->request.offset);
	return message;
}

/* Lets go of the messages and keeps the request. */
static void reply_clear(struct reply *reply)
{
	for (uint32_t i = 0; i < reply->count; i++)
		free(reply->messages[i].bytes);
	reply->count = 0;
	reply->next = 0;
}

#endif
