/* SPDX-License-Identifier: MIT */
/* Replies by the protocol's document, not by the gateway's own code. */
#include "tests/model/answer.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define ERROR_TEXT "a model's error"

static uint8_t *extend(struct answer_buffer *out, size_t bytes)
{
	uint8_t *end;

	if (out->room - out->count < bytes) {
		out->room = 2 * (out->count + bytes);
		out->bytes = realloc(out->bytes, out->room);
		if (!out->bytes)
			abort();
	}
	end = out->bytes + out->count;
	out->count += bytes;
	return end;
}

static void append_simple(struct answer_buffer *out, uint64_t cookie, uint32_t error)
{
	uint8_t *header = extend(out, NBD_SIMPLE_REPLY_BYTES);

	wire_put32(header, NBD_MAGIC_SIMPLE_REPLY);
	wire_put32(header + 4, error);
	wire_put64(header + 8, cookie);
}

struct chunk {
	uint16_t type;
	uint16_t flags;
	uint64_t cookie;
	uint64_t request_offset_bytes; /* extended headers repeat it */
	uint32_t length_bytes;
};

/* Returns where the chunk's content goes. */
static uint8_t *append_chunk(struct answer_buffer *out, enum nbd_framing framing,
			     const struct chunk *chunk)
{
	bool extended = framing == NBD_FRAMING_EXTENDED;
	uint32_t header_bytes = extended ? NBD_EXTENDED_REPLY_BYTES : NBD_STRUCTURED_REPLY_BYTES;
	uint8_t *header = extend(out, header_bytes + chunk->length_bytes);

	wire_put32(header, extended ? NBD_MAGIC_EXTENDED_REPLY : NBD_MAGIC_STRUCTURED_REPLY);
	wire_put16(header + 4, chunk->flags);
	wire_put16(header + 6, chunk->type);
	wire_put64(header + 8, chunk->cookie);
	if (extended) {
		wire_put64(header + 16, chunk->request_offset_bytes);
		wire_put64(header + 24, chunk->length_bytes);
	} else {
		wire_put32(header + 16, chunk->length_bytes);
	}
	return header + header_bytes;
}

/* --- a READ in chunks ------------------------------------------------------------------------------- */

static void shuffle(struct job *job, struct dice *dice)
{
	for (uint32_t i = job->pieces_count; i > 1; i--) {
		uint32_t other = dice_below(dice, i);
		struct job_piece piece = job->pieces[i - 1];

		job->pieces[i - 1] = job->pieces[other];
		job->pieces[other] = piece;
	}
}

void answer_divide(struct job *job, enum nbd_framing framing, struct dice *dice)
{
	uint32_t wanted = chance_one_in(dice, 2) ? 1 : chance_between(dice, 1, JOB_PIECES_MAX);
	uint32_t start = 0;

	job->pieces_count = 0;
	job->pieces_sent = 0;
	if (job->command != NBD_CMD_READ || framing == NBD_FRAMING_SIMPLE)
		return;
	while (start < job->length_bytes) {
		uint32_t left = job->length_bytes - start, bytes = left;

		if (job->pieces_count + 1 < wanted)
			bytes = chance_between(dice, 1, left);
		job->pieces[job->pieces_count++] = (struct job_piece){ start, start + bytes };
		start += bytes;
	}
	shuffle(job, dice);
}

static bool is_zero(const uint8_t *bytes, uint32_t count)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static struct chunk chunk_for(const struct job *job, uint16_t type, bool last)
{
	return (struct chunk){ .type = type,
			       .flags = last ? NBD_REPLY_FLAG_DONE : 0,
			       .cookie = job->cookie,
			       .request_offset_bytes = job->offset_bytes };
}

static void append_content(struct answer_buffer *out, const struct job *job,
			   enum nbd_framing framing, bool last)
{
	const struct job_piece *piece = &job->pieces[job->pieces_sent];
	uint32_t bytes = piece->end - piece->start;
	bool hole = is_zero(job->data + piece->start, bytes);
	struct chunk chunk = chunk_for(
		job, hole ? NBD_REPLY_TYPE_OFFSET_HOLE : NBD_REPLY_TYPE_OFFSET_DATA, last);
	uint8_t *content;

	chunk.length_bytes = hole ? 12 : 8 + bytes;
	content = append_chunk(out, framing, &chunk);
	wire_put64(content, job->offset_bytes + piece->start);
	if (hole)
		wire_put32(content + 8, bytes);
	else
		memcpy(content + 8, job->data + piece->start, bytes);
}

static void append_none(struct answer_buffer *out, const struct job *job, enum nbd_framing framing)
{
	struct chunk chunk = chunk_for(job, NBD_REPLY_TYPE_NONE, true);

	append_chunk(out, framing, &chunk);
}

/* With a text, and for some commands the place. */
static void append_error(struct answer_buffer *out, const struct job *job, enum nbd_framing framing,
			 bool last)
{
	bool placed = job->length_bytes > 0 && job->cookie & 1;
	struct chunk chunk =
		chunk_for(job, placed ? NBD_REPLY_TYPE_ERROR_OFFSET : NBD_REPLY_TYPE_ERROR, last);
	uint8_t *content;

	chunk.length_bytes = 6 + sizeof(ERROR_TEXT) - 1 + (placed ? 8 : 0);
	content = append_chunk(out, framing, &chunk);
	wire_put32(content, job->error);
	wire_put16(content + 4, sizeof(ERROR_TEXT) - 1);
	memcpy(content + 6, ERROR_TEXT, sizeof(ERROR_TEXT) - 1);
	if (placed)
		wire_put64(content + 6 + sizeof(ERROR_TEXT) - 1,
			   job->offset_bytes + job->length_bytes / 2);
}

/* An error comes amid the content, or after it, or in place of it. */
static bool append_chunked_error(struct answer_buffer *out, struct job *job,
				 enum nbd_framing framing, struct dice *dice)
{
	if (job->pieces_sent < job->pieces_count && chance_one_in(dice, 2)) {
		append_content(out, job, framing, false);
		job->pieces_sent++;
		return false;
	}
	if (!job->error_sent) {
		bool last = chance_one_in(dice, 2);

		append_error(out, job, framing, last);
		job->error_sent = true;
		return last;
	}
	append_none(out, job, framing);
	return true;
}

static bool append_chunked(struct answer_buffer *out, struct job *job, enum nbd_framing framing,
			   struct dice *dice)
{
	bool last;

	if (job->error)
		return append_chunked_error(out, job, framing, dice);
	if (job->pieces_sent == job->pieces_count) {
		append_none(out, job, framing);
		return true;
	}
	last = job->pieces_sent + 1 == job->pieces_count && chance_one_in(dice, 2);
	append_content(out, job, framing, last);
	job->pieces_sent++;
	return last;
}

bool answer_append(struct answer_buffer *out, struct job *job, enum nbd_framing framing,
		   struct dice *dice)
{
	bool simple = framing == NBD_FRAMING_SIMPLE;

	if (framing == NBD_FRAMING_STRUCTURED && job->command != NBD_CMD_READ)
		simple = chance_one_in(dice, 2) && !job->error_sent;
	if (!simple)
		return append_chunked(out, job, framing, dice);
	append_simple(out, job->cookie, job->error);
	if (job->command == NBD_CMD_READ && !job->error)
		memcpy(extend(out, job->length_bytes), job->data, job->length_bytes);
	return true;
}

/* --- what is no answer ------------------------------------------------------------------------------ */

/* No request has a generation this high. */
#define NO_COOKIE (UINT64_C(1) << 63)

static void append_junk(struct answer_buffer *out, struct dice *dice)
{
	uint8_t *bytes = extend(out, NBD_EXTENDED_REPLY_BYTES);

	for (uint32_t i = 0; i < NBD_EXTENDED_REPLY_BYTES; i++)
		bytes[i] = (uint8_t)dice_next(dice);
	bytes[0] = 0; /* no magic begins so */
}

void answer_append_breach(struct answer_buffer *out, enum nbd_framing framing, uint64_t cookie,
			  struct dice *dice)
{
	struct chunk chunk = { .type = NBD_REPLY_TYPE_NONE, .flags = NBD_REPLY_FLAG_DONE };

	chunk.cookie = chance_one_in(dice, 2) ? cookie : cookie | NO_COOKIE;
	if (chance_one_in(dice, 3))
		append_junk(out, dice);
	else if (framing == NBD_FRAMING_SIMPLE)
		append_simple(out, chunk.cookie, 0);
	else
		append_chunk(out, framing, &chunk);
}
