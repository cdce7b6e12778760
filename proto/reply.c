/* SPDX-License-Identifier: MIT */
/*
 * reply.c - see reply.h.
 *
 *   header ─┬─ data offset ─ payload ─────────────────┬─ (last chunk) final ─ header
 *           ├─ hole ──────────────────────────────────┤
 *           ├─ error head ─ message ─ offset ─ rest ──┤
 *           └─ none, simple reply ────────────────────┴─ (more to come) header
 *
 * Each state either takes what it needs from the input and moves on, reports an event, or is
 * starved and stays. What it needs is used where it lies in the caller's bytes if it is whole
 * there, and is gathered in the parser only when it was cut.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/reply.h"

enum reply_state {
	REPLY_HEADER,
	REPLY_DATA_OFFSET, /* of a data chunk: where its bytes belong */
	REPLY_PAYLOAD,
	REPLY_HOLE,
	REPLY_ERROR_HEAD, /* error value and message length */
	REPLY_ERROR_MESSAGE,
	REPLY_ERROR_OFFSET,
	REPLY_ERROR_REST, /* what a future type may carry behind the message; then the event */
	REPLY_FINAL,
	REPLY_BROKEN, /* -EPROTO was returned */
};

enum step {
	STEP_AGAIN,   /* moved on: look at the new state */
	STEP_EVENT,   /* *event is filled */
	STEP_STARVED, /* the input is used up */
};

struct input {
	const uint8_t *next;
	size_t left;
};

#define DATA_OFFSET_BYTES  8
#define HOLE_BYTES	   12
#define ERROR_HEAD_BYTES   6
#define ERROR_OFFSET_BYTES 8
#define MAGIC_BYTES	   4

void nbd_reply_parser_init(struct nbd_reply_parser *parser, enum nbd_framing framing,
			   nbd_reply_find_fn find, void *context)
{
	memset(parser, 0, sizeof(*parser));
	parser->framing = framing;
	parser->find = find;
	parser->context = context;
	parser->state = REPLY_HEADER;
}

__attribute__((format(printf, 2, 3), cold)) static int broken(struct nbd_reply_parser *parser,
							      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(parser->why, sizeof(parser->why), format, args);
	va_end(args);
	parser->state = REPLY_BROKEN;
	return -EPROTO;
}

static const char *command_name(uint16_t command)
{
	static const char *const names[] = { "READ", "WRITE", "DISC",	     "FLUSH",
					     "TRIM", "CACHE", "WRITE_ZEROES" };

	return command < sizeof(names) / sizeof(names[0]) ? names[command] : "command";
}

/* Fills gathered[] up to want bytes; true when they are all there. */
static bool gather(struct nbd_reply_parser *parser, struct input *in, uint32_t want)
{
	uint32_t missing = want - parser->gathered_bytes;
	uint32_t n = in->left < missing ? (uint32_t)in->left : missing;

	assert(want <= sizeof(parser->gathered) && parser->gathered_bytes <= want);
	memcpy(parser->gathered + parser->gathered_bytes, in->next, n);
	parser->gathered_bytes += n;
	in->next += n;
	in->left -= n;
	return n == missing;
}

/* The next want bytes in one piece, consumed; NULL when they have not all come. */
static const uint8_t *take(struct nbd_reply_parser *parser, struct input *in, uint32_t want)
{
	const uint8_t *bytes = in->next;

	if (parser->gathered_bytes == 0 && in->left >= want) {
		in->next += want;
		in->left -= want;
		return bytes;
	}
	if (in->left == 0 || !gather(parser, in, want))
		return NULL;
	parser->gathered_bytes = 0;
	return parser->gathered;
}

static void chunk_done(struct nbd_reply_parser *parser)
{
	if (parser->final_chunk) {
		parser->state = REPLY_FINAL;
		return;
	}
	nbd_request_move_rx(parser->request, NBD_RX_WAITING);
	parser->request = NULL;
	parser->state = REPLY_HEADER;
}

/* Finds whom a header is for and makes that request the current one. */
static int claim(struct nbd_reply_parser *parser, uint64_t cookie)
{
	struct nbd_request *request = parser->find(parser->context, cookie);

	if (!request || request->rx != NBD_RX_WAITING || request->cookie != cookie)
		return broken(parser,
			      "the server answered cookie 0x%016" PRIx64
			      ", which no request is waiting under",
			      cookie);
	if (request->chunks++ >= NBD_CHUNKS_PER_REQUEST_MAX)
		return broken(parser, "the server answers one %s in more than %d chunks",
			      command_name(request->command), NBD_CHUNKS_PER_REQUEST_MAX);
	nbd_request_move_rx(request, NBD_RX_PARTIAL);
	parser->request = request;
	return 0;
}

static void error_begin(struct nbd_reply_parser *parser, uint32_t wire_error)
{
	parser->wire_error = wire_error;
	parser->error_offset_bytes = UINT64_MAX;
	parser->message_bytes = 0;
	if (parser->request->error == 0)
		parser->request->error = wire_error;
}

/* "Simple reply message": a READ's data follows unless there is an error. */
static int simple_reply(struct nbd_reply_parser *parser, const uint8_t *header)
{
	uint32_t wire_error = wire_get32(header + 4);
	struct nbd_request *request;
	int rc = claim(parser, wire_get64(header + 8));

	if (rc < 0)
		return rc;
	request = parser->request;
	if (request->command == NBD_CMD_READ && parser->framing != NBD_FRAMING_SIMPLE)
		return broken(parser, "the server answered a READ with a simple reply although "
				      "structured replies were agreed on");
	if (request->chunks > 1)
		return broken(parser, "the server sent a simple reply amid the chunks of one %s",
			      command_name(request->command));
	parser->final_chunk = true;
	if (wire_error) {
		error_begin(parser, wire_error);
		parser->skip_left_bytes = 0;
		parser->state = REPLY_ERROR_REST;
		return STEP_AGAIN;
	}
	if (request->command != NBD_CMD_READ || request->length_bytes == 0) {
		parser->state = REPLY_FINAL;
		return STEP_AGAIN;
	}
	/* The coverage is empty: this is the only reply to it. */
	(void)nbd_coverage_add(&request->coverage, 0, request->length_bytes);
	parser->payload_offset_bytes = 0;
	parser->payload_left_bytes = request->length_bytes;
	parser->state = REPLY_PAYLOAD;
	return STEP_AGAIN;
}

/* "Structured reply types": whether data or a hole may come here, and how long it may be. */
static int content_chunk(struct nbd_reply_parser *parser, uint64_t length)
{
	const struct nbd_request *request = parser->request;
	bool data = parser->chunk_type == NBD_REPLY_TYPE_OFFSET_DATA;

	if (request->command != NBD_CMD_READ)
		return broken(parser, "the server answered a %s with read data",
			      command_name(request->command));
	if ((request->flags & NBD_CMD_FLAG_DF) && request->coverage.count > 0)
		return broken(parser, "the server fragmented a READ that forbids it");
	if (!data) {
		if (length != HOLE_BYTES)
			return broken(parser, "the server sent a hole chunk of %" PRIu64 " bytes",
				      length);
		parser->state = REPLY_HOLE;
		return STEP_AGAIN;
	}
	if (length <= DATA_OFFSET_BYTES)
		return broken(parser, "the server sent a data chunk without data");
	if (length - DATA_OFFSET_BYTES > request->length_bytes)
		return broken(parser,
			      "the server answered a READ of %" PRIu32 " bytes with %" PRIu64,
			      request->length_bytes, length - DATA_OFFSET_BYTES);
	parser->payload_left_bytes = (uint32_t)(length - DATA_OFFSET_BYTES);
	parser->state = REPLY_DATA_OFFSET;
	return STEP_AGAIN;
}

static int error_chunk(struct nbd_reply_parser *parser, uint64_t length)
{
	uint32_t least = ERROR_HEAD_BYTES;

	if (parser->chunk_type == NBD_REPLY_TYPE_ERROR_OFFSET)
		least += ERROR_OFFSET_BYTES;
	if (length < least || length > NBD_CHUNK_CONTROL_BYTES_MAX)
		return broken(parser,
			      "the server sent an error chunk of type 0x%04x with %" PRIu64
			      " bytes",
			      parser->chunk_type, length);
	parser->skip_left_bytes = (uint32_t)length - ERROR_HEAD_BYTES;
	parser->state = REPLY_ERROR_HEAD;
	return STEP_AGAIN;
}

static int chunk(struct nbd_reply_parser *parser, const uint8_t *header, uint64_t length)
{
	int rc = claim(parser, wire_get64(header + 8));

	if (rc < 0)
		return rc;
	parser->final_chunk = (wire_get16(header + 4) & NBD_REPLY_FLAG_DONE) != 0;
	parser->chunk_type = wire_get16(header + 6);
	switch (parser->chunk_type) {
	case NBD_REPLY_TYPE_OFFSET_DATA:
	case NBD_REPLY_TYPE_OFFSET_HOLE:
		return content_chunk(parser, length);
	case NBD_REPLY_TYPE_NONE:
		if (length != 0 || !parser->final_chunk)
			return broken(parser, "the server sent an empty chunk that %s",
				      length ? "is not empty" : "is not the last one");
		chunk_done(parser);
		return STEP_AGAIN;
	default:
		if (parser->chunk_type & NBD_REPLY_TYPE_ERROR_BIT)
			return error_chunk(parser, length);
		return broken(parser, "the server sent a chunk of unknown type %u",
			      parser->chunk_type);
	}
}

/* "Extended reply message": the header names the request's offset once more. */
static int extended_reply(struct nbd_reply_parser *parser, const uint8_t *header)
{
	uint64_t offset_bytes = wire_get64(header + 16), expected_bytes;
	int rc = chunk(parser, header, wire_get64(header + 24));
	const struct nbd_request *request = parser->request;

	if (rc < 0 || !request)
		return rc;
	expected_bytes = request->command == NBD_CMD_FLUSH ? 0 : request->offset_bytes;
	if (offset_bytes != expected_bytes)
		return broken(parser,
			      "the server answered a request for offset %" PRIu64
			      " as one for offset %" PRIu64,
			      expected_bytes, offset_bytes);
	return rc;
}

/* A header's length by its magic; 0 when this framing has no such magic. */
static uint32_t header_bytes(enum nbd_framing framing, uint32_t magic)
{
	if (magic == NBD_MAGIC_SIMPLE_REPLY && framing != NBD_FRAMING_EXTENDED)
		return NBD_SIMPLE_REPLY_BYTES;
	if (magic == NBD_MAGIC_STRUCTURED_REPLY && framing == NBD_FRAMING_STRUCTURED)
		return NBD_STRUCTURED_REPLY_BYTES;
	if (magic == NBD_MAGIC_EXTENDED_REPLY && framing == NBD_FRAMING_EXTENDED)
		return NBD_EXTENDED_REPLY_BYTES;
	return 0;
}

static int step_header(struct nbd_reply_parser *parser, struct input *in)
{
	const uint8_t *header;
	uint32_t magic, want;

	if (in->left == 0)
		return STEP_STARVED;
	if (parser->gathered_bytes == 0 && in->left >= MAGIC_BYTES)
		magic = wire_get32(in->next);
	else if (parser->gathered_bytes >= MAGIC_BYTES || gather(parser, in, MAGIC_BYTES))
		magic = wire_get32(parser->gathered);
	else
		return STEP_STARVED;
	want = header_bytes(parser->framing, magic);
	if (want == 0)
		return broken(parser, "the server sent 0x%08" PRIx32 " where a reply should begin",
			      magic);
	header = take(parser, in, want);
	if (!header)
		return STEP_STARVED;
	if (want == NBD_SIMPLE_REPLY_BYTES)
		return simple_reply(parser, header);
	if (want == NBD_EXTENDED_REPLY_BYTES)
		return extended_reply(parser, header);
	return chunk(parser, header, wire_get32(header + 16));
}

/* Turns an offset of the export into one of the request, and notes [offset, +length) as answered.
 * Returns 0 or -EPROTO. */
static int content_place(struct nbd_reply_parser *parser, uint64_t offset_bytes, uint32_t length)
{
	struct nbd_request *request = parser->request;
	uint64_t from = offset_bytes - request->offset_bytes;
	int rc;

	if (length == 0)
		return broken(parser, "the server sent a hole of no bytes");
	if (offset_bytes < request->offset_bytes || from >= request->length_bytes ||
	    length > request->length_bytes - from)
		return broken(parser,
			      "the server answered a READ of %" PRIu32 " bytes at %" PRIu64
			      " with %" PRIu32 " bytes at %" PRIu64,
			      request->length_bytes, request->offset_bytes, length, offset_bytes);
	rc = nbd_coverage_add(&request->coverage, (uint32_t)from, (uint32_t)from + length);
	if (rc == -EEXIST)
		return broken(parser,
			      "the server answered bytes of a READ at %" PRIu64 " more than once",
			      request->offset_bytes);
	if (rc < 0) {
		/* Legal, but whether each byte came once can no longer be told. */
		request->scattered = true;
		if (request->error == 0)
			request->error = NBD_EIO;
	}
	parser->payload_offset_bytes = from;
	return 0;
}

static int step_data_offset(struct nbd_reply_parser *parser, struct input *in)
{
	const uint8_t *field = take(parser, in, DATA_OFFSET_BYTES);
	int rc;

	if (!field)
		return STEP_STARVED;
	rc = content_place(parser, wire_get64(field), parser->payload_left_bytes);
	if (rc < 0)
		return rc;
	parser->state = REPLY_PAYLOAD;
	return STEP_AGAIN;
}

static void payload_advance(struct nbd_reply_parser *parser, uint32_t len)
{
	parser->payload_offset_bytes += len;
	parser->payload_left_bytes -= len;
	if (parser->payload_left_bytes == 0)
		chunk_done(parser);
}

static int step_payload(struct nbd_reply_parser *parser, struct input *in,
			struct nbd_reply_event *event)
{
	uint32_t n = parser->payload_left_bytes;

	if (in->left < n)
		n = (uint32_t)in->left;
	if (n == 0)
		return STEP_STARVED;
	event->type = NBD_REPLY_DATA;
	event->request = parser->request;
	event->offset_bytes = parser->payload_offset_bytes;
	event->length_bytes = n;
	event->data = in->next;
	in->next += n;
	in->left -= n;
	payload_advance(parser, n);
	return STEP_EVENT;
}

static int step_hole(struct nbd_reply_parser *parser, struct input *in,
		     struct nbd_reply_event *event)
{
	const uint8_t *fields = take(parser, in, HOLE_BYTES);
	uint32_t length_bytes;
	int rc;

	if (!fields)
		return STEP_STARVED;
	length_bytes = wire_get32(fields + 8);
	rc = content_place(parser, wire_get64(fields), length_bytes);
	if (rc < 0)
		return rc;
	event->type = NBD_REPLY_HOLE;
	event->request = parser->request;
	event->offset_bytes = parser->payload_offset_bytes;
	event->length_bytes = length_bytes;
	chunk_done(parser);
	return STEP_EVENT;
}

static int step_error_head(struct nbd_reply_parser *parser, struct input *in)
{
	const uint8_t *fields = take(parser, in, ERROR_HEAD_BYTES);
	bool has_offset = parser->chunk_type == NBD_REPLY_TYPE_ERROR_OFFSET;
	uint32_t room, wire_error;

	if (!fields)
		return STEP_STARVED;
	wire_error = wire_get32(fields);
	room = parser->skip_left_bytes - (has_offset ? ERROR_OFFSET_BYTES : 0);
	parser->message_left_bytes = wire_get16(fields + 4);
	if (wire_error == 0)
		return broken(parser, "the server sent an error chunk that reports success");
	if (parser->message_left_bytes > room)
		return broken(parser, "the server's error message does not fit its chunk");
	error_begin(parser, wire_error);
	parser->skip_left_bytes -= parser->message_left_bytes;
	parser->state = REPLY_ERROR_MESSAGE;
	return STEP_AGAIN;
}

/* Keeps what fits of the message, without NULs, and drops the rest. */
static int step_error_message(struct nbd_reply_parser *parser, struct input *in)
{
	uint32_t n = parser->message_left_bytes;

	if (in->left < n)
		n = (uint32_t)in->left;
	for (uint32_t i = 0; i < n && parser->message_bytes < sizeof(parser->message); i++) {
		char c = (char)in->next[i];

		parser->message[parser->message_bytes++] = c ? c : '?';
	}
	in->next += n;
	in->left -= n;
	parser->message_left_bytes -= n;
	if (parser->message_left_bytes > 0)
		return STEP_STARVED;
	parser->state = parser->chunk_type == NBD_REPLY_TYPE_ERROR_OFFSET ? REPLY_ERROR_OFFSET
									  : REPLY_ERROR_REST;
	return STEP_AGAIN;
}

static int step_error_offset(struct nbd_reply_parser *parser, struct input *in)
{
	const uint8_t *field = take(parser, in, ERROR_OFFSET_BYTES);
	const struct nbd_request *request = parser->request;
	uint64_t offset_bytes;

	if (!field)
		return STEP_STARVED;
	offset_bytes = wire_get64(field);
	parser->skip_left_bytes -= ERROR_OFFSET_BYTES;
	parser->state = REPLY_ERROR_REST;
	if (request->command == NBD_CMD_FLUSH) /* unexpected, yet an error like any other */
		return STEP_AGAIN;
	if (offset_bytes < request->offset_bytes ||
	    offset_bytes - request->offset_bytes >= request->length_bytes)
		return broken(parser,
			      "the server reports an error at %" PRIu64 " of a %s of %" PRIu32
			      " bytes at %" PRIu64,
			      offset_bytes, command_name(request->command), request->length_bytes,
			      request->offset_bytes);
	parser->error_offset_bytes = offset_bytes - request->offset_bytes;
	return STEP_AGAIN;
}

static int step_error_rest(struct nbd_reply_parser *parser, struct input *in,
			   struct nbd_reply_event *event)
{
	uint32_t n = parser->skip_left_bytes;

	if (in->left < n)
		n = (uint32_t)in->left;
	in->next += n;
	in->left -= n;
	parser->skip_left_bytes -= n;
	if (parser->skip_left_bytes > 0)
		return STEP_STARVED;
	event->type = NBD_REPLY_ERROR;
	event->request = parser->request;
	event->offset_bytes = parser->error_offset_bytes;
	event->wire_error = parser->wire_error;
	event->message = parser->message;
	event->message_bytes = parser->message_bytes;
	chunk_done(parser);
	return STEP_EVENT;
}

static int step_final(struct nbd_reply_parser *parser, struct nbd_reply_event *event)
{
	struct nbd_request *request = parser->request;

	if (request->error == 0 && request->command == NBD_CMD_READ &&
	    !nbd_coverage_complete(&request->coverage, request->length_bytes))
		return broken(parser,
			      "the server ended a READ of %" PRIu32 " bytes at %" PRIu64
			      " without all of its data and without an error",
			      request->length_bytes, request->offset_bytes);
	nbd_request_move_rx(request, NBD_RX_FINAL);
	event->type = NBD_REPLY_FINAL;
	event->request = request;
	event->wire_error = request->error;
	parser->request = NULL;
	parser->state = REPLY_HEADER;
	return STEP_EVENT;
}

static int step(struct nbd_reply_parser *parser, struct input *in, struct nbd_reply_event *event)
{
	switch ((enum reply_state)parser->state) {
	case REPLY_HEADER:
		return step_header(parser, in);
	case REPLY_DATA_OFFSET:
		return step_data_offset(parser, in);
	case REPLY_PAYLOAD:
		return step_payload(parser, in, event);
	case REPLY_HOLE:
		return step_hole(parser, in, event);
	case REPLY_ERROR_HEAD:
		return step_error_head(parser, in);
	case REPLY_ERROR_MESSAGE:
		return step_error_message(parser, in);
	case REPLY_ERROR_OFFSET:
		return step_error_offset(parser, in);
	case REPLY_ERROR_REST:
		return step_error_rest(parser, in, event);
	case REPLY_FINAL:
		return step_final(parser, event);
	case REPLY_BROKEN:
		break;
	}
	return -EPROTO;
}

int nbd_reply_parse(struct nbd_reply_parser *parser, const uint8_t *bytes, size_t len, size_t *used,
		    struct nbd_reply_event *event)
{
	struct input in = { bytes ? bytes : parser->gathered, len }; /* NULL + 0 is undefined */
	int rc;

	memset(event, 0, sizeof(*event));
	do
		rc = step(parser, &in, event);
	while (rc == STEP_AGAIN);
	*used = len - in.left;
	if (rc < 0)
		return rc;
	if (rc == STEP_STARVED)
		event->type = NBD_REPLY_NEED_MORE;
	return 0;
}

uint32_t nbd_reply_payload_left(const struct nbd_reply_parser *parser, struct nbd_request **request,
				uint64_t *offset_bytes)
{
	if (parser->state != REPLY_PAYLOAD)
		return 0;
	*request = parser->request;
	*offset_bytes = parser->payload_offset_bytes;
	return parser->payload_left_bytes;
}

void nbd_reply_payload_received(struct nbd_reply_parser *parser, uint32_t len)
{
	assert(parser->state == REPLY_PAYLOAD && len <= parser->payload_left_bytes);
	if (len > 0)
		payload_advance(parser, len);
}
