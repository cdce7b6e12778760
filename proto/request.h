/* SPDX-License-Identifier: MIT */
/*
 * request.h - one wire request (an NBD request as sent) and its encoding.
 */
#ifndef PROTO_REQUEST_H
#define PROTO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/coverage.h"
#include "proto/handshake.h"
#include "proto/wire.h"

/*
 * The life of a wire request's reply:
 *
 *   IDLE --expected--> WAITING <--a chunk's header, its payload--> PARTIAL --the last chunk--> FINAL
 *   any --committed, or given up with its connection--> IDLE
 */
enum nbd_rx_state {
	NBD_RX_IDLE,	/* no reply is expected */
	NBD_RX_WAITING, /* registered: a reply may come, even before the send completed */
	NBD_RX_PARTIAL, /* a chunk's header was read, and its payload is coming */
	NBD_RX_FINAL,	/* error holds the result; nothing more may come */
};

/*
 * What the reply parser needs to know of a request, and what it learns. The owner fills command,
 * flags, offset_bytes, length_bytes and cookie and calls nbd_request_expect(); from then until
 * NBD_RX_FINAL the parser moves rx and writes error, coverage, chunks and scattered.
 */
struct nbd_request {
	uint64_t cookie;
	uint64_t offset_bytes;
	uint32_t length_bytes;
	uint16_t command; /* NBD_CMD_* */
	uint16_t flags;	  /* NBD_CMD_FLAG_* */
	enum nbd_rx_state rx;
	uint32_t error;	 /* wire error, 0 for success: the first one that the reply carried */
	uint32_t chunks; /* counted against NBD_CHUNKS_PER_REQUEST_MAX */
	bool scattered;	 /* in more pieces than NBD_COVERAGE_SPANS_MAX: it ends with NBD_EIO */
	struct nbd_coverage coverage;
};

/* All moves of rx are made here, and checked: an illegal one is a mistake of our own (nothing that a
 * server sends leads to one) and ends the program. */
void nbd_request_move_rx(struct nbd_request *request, enum nbd_rx_state to);
/* Marks the request (IDLE) as one whose reply may come now; resets what a former reply left. */
void nbd_request_expect(struct nbd_request *request);

/* For people: "READ of 4096 bytes at 8192", "FLUSH"; NBD_REQUEST_TEXT_BYTES are enough. Returns out. */
#define NBD_REQUEST_TEXT_BYTES 80
const char *nbd_request_text(const struct nbd_request *request, char *out, size_t out_bytes);

/* Header bytes of a request in this framing: 28, or 32 with extended headers. */
static inline uint32_t nbd_request_header_bytes(enum nbd_framing framing)
{
	return framing == NBD_FRAMING_EXTENDED ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES;
}

/* Writes the header of a request to out (room for nbd_request_header_bytes()); a WRITE's payload
 * of length_bytes follows on the wire. With extended headers a WRITE carries
 * NBD_CMD_FLAG_PAYLOAD_LEN, added here. FLUSH and DISC go out with offset and length 0. Returns
 * the bytes written. */
uint32_t nbd_request_encode(const struct nbd_request *request, enum nbd_framing framing,
			    uint8_t *out);

/*
 * Whether the export allows this request as it stands: a command the server advertised, flags it
 * advertised and that the command may carry, offset and length inside the export and a multiple of
 * the minimum block (the tail of the export apart), a payload no larger than the maximum. 0, or
 * -EOPNOTSUPP (not advertised), -EROFS, -EINVAL (out of range, not aligned), -E2BIG (payload).
 */
int nbd_request_check(const struct nbd_request *request, const struct nbd_export *export);

#endif
