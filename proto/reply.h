/* SPDX-License-Identifier: MIT */
/*
 * reply.h - the stream of replies of one connection, as a parser that is given bytes in pieces of
 * any size and gives back events. It holds no payload: data is handed on as it stands in the
 * caller's buffer, or, for large payloads, received by the caller straight into its place.
 *
 * Nothing here trusts the server: a cookie that no request is waiting under, an overlap, a byte
 * out of bounds, a READ that is not wholly answered, a chunk type that must not be there, a length
 * that does not fit: each is -EPROTO with a sentence in why, and the connection must then be
 * condemned, since the stream can no longer be trusted.
 *
 * Source: proto.md, "Simple reply message", "Structured reply message", "Extended reply message".
 */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/request.h"

enum nbd_reply_event_type {
	NBD_REPLY_NEED_MORE, /* all input was used */
	NBD_REPLY_DATA,	     /* read data: data, length_bytes, at offset_bytes of the request */
	NBD_REPLY_HOLE,	     /* zeroes: length_bytes at offset_bytes of the request */
	NBD_REPLY_ERROR, /* the server reports wire_error, in a chunk or a simple reply; message,
			      * message_bytes (may be 0). The reply goes on until FINAL. */
	NBD_REPLY_FINAL, /* the request's reply is complete; request->error (wire_error, too) is
			      * its result */
};

struct nbd_reply_event {
	enum nbd_reply_event_type type;
	struct nbd_request *request; /* NULL for NEED_MORE */
	uint64_t offset_bytes;	     /* from the request's own offset, so < request->length_bytes;
				      * for ERROR: UINT64_MAX when the server named none */
	uint32_t length_bytes;
	uint32_t wire_error;
	const uint8_t *data; /* points into the caller's input; valid as long as that is */
	const char *message; /* ERROR: in the parser until the next call; not NUL-terminated, no NUL
			      * inside, untrustworthy text */
	uint32_t message_bytes;
};

/* Finds the request that waits under this cookie, or NULL. Called once a header was read. */
typedef struct nbd_request *(*nbd_reply_find_fn)(void *context, uint64_t cookie);

struct nbd_reply_parser {
	enum nbd_framing framing;
	nbd_reply_find_fn find;
	void *context;
	/* private: where in the stream we are */
	uint8_t state;
	bool final_chunk; /* the current chunk is the last of its reply */
	uint16_t chunk_type;
	uint32_t gathered_bytes;       /* of a header or fixed part that was cut */
	struct nbd_request *request;   /* of the current chunk */
	uint64_t payload_offset_bytes; /* where its next byte goes, from the request's offset */
	uint32_t payload_left_bytes;   /* of the current READ payload */
	uint32_t skip_left_bytes;      /* of an error chunk, behind its message */
	uint32_t message_left_bytes;
	uint32_t message_bytes;
	uint32_t wire_error;
	uint64_t error_offset_bytes;
	uint8_t gathered[32];
	char message[512]; /* an error chunk's message, cut to this */
	char why[160];	   /* after -EPROTO: what the server did wrong */
};

void nbd_reply_parser_init(struct nbd_reply_parser *parser, enum nbd_framing framing,
			   nbd_reply_find_fn find, void *context);

/*
 * Parses from bytes, stops at the first event. *used says how many bytes were consumed (also with
 * NEED_MORE: all). May return an event having used 0 bytes. Returns 0, or -EPROTO; after that the
 * parser must not be used again.
 * Loop: while it returns 0 and the event is not NEED_MORE, handle it and go on behind *used.
 * DATA events come as large as the input allows, never empty.
 */
int nbd_reply_parse(struct nbd_reply_parser *parser, const uint8_t *bytes, size_t len, size_t *used,
		    struct nbd_reply_event *event);

/*
 * Read payload that is still to come and may be received straight into the request's place:
 * returns the bytes left of the current payload (0: none, parse on) with the request and where
 * the next byte goes. To be asked after NEED_MORE.
 */
uint32_t nbd_reply_payload_left(const struct nbd_reply_parser *parser, struct nbd_request **request,
				uint64_t *offset_bytes);

/* len <= payload_left() bytes were received in place by the caller. When that was the last of a
 * final chunk, the next nbd_reply_parse() (with len 0 too) returns the FINAL event. */
void nbd_reply_payload_received(struct nbd_reply_parser *parser, uint32_t len);

#endif
