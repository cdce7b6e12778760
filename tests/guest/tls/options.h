/* SPDX-License-Identifier: MIT */
/*
 * options.h - what the TLS server of the tests was asked to do. Written once, before the first
 * connection; read by every connection's thread.
 */
#ifndef TESTS_GUEST_TLS_OPTIONS_H
#define TESTS_GUEST_TLS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* What becomes of one record of the transfer, or of the stream behind it. */
enum fault {
	FAULT_NONE,
	FAULT_FLIP,	     /* a bit of its body */
	FAULT_FLIP_HEADER,   /* a bit of its five first bytes */
	FAULT_REPLAY,	     /* sent twice */
	FAULT_DROP,	     /* not sent at all */
	FAULT_SWAP,	     /* sent behind the one that follows it */
	FAULT_TRUNCATE,	     /* its beginning, then the end of the stream */
	FAULT_HALF_CLOSE,    /* the end of the stream in front of it, and still reading */
	FAULT_CLOSE_NOTIFY,  /* close_notify in front of it, then nothing, and still reading */
	FAULT_FLIP_RECEIVED, /* a bit of what the client sent: the server will complain */
	FAULT_HELLO_REQUEST, /* TLS 1.2: asks to negotiate anew */
	FAULT_PLAINTEXT,     /* a reply that is not encrypted, in a record's clothes */
	FAULTS
};

/* How the records' bytes are given to the socket. */
enum pieces {
	PIECES_WHOLE,  /* all there is, at once */
	PIECES_BYTES,  /* each byte by itself */
	PIECES_WALK,   /* each record in two, cut one byte further each time */
	PIECES_RANDOM, /* of 1 to 3000 bytes */
	PIECES_COUNT
};

/* How much of a reply goes into a record. */
enum shape {
	SHAPE_FULL,  /* as much as a record takes */
	SHAPE_TINY,  /* 1 to 64 bytes */
	SHAPE_MIXED, /* all sizes, in turn */
	SHAPES
};

struct options {
	uint16_t port;
	const char *file; /* the export; NULL: memory */
	uint64_t size_bytes;
	uint64_t seed;
	int version; /* TLS1_2_VERSION or TLS1_3_VERSION; 0: both */
	const char *cipher;
	const char *cert, *key;
	const char *client_ca; /* NULL: no client certificate is asked for */
	const char *keylog;
	uint32_t tickets;     /* before one of so many records, by chance; 0: never */
	uint32_t key_updates; /* the same; half of them ask the client for one */
	uint32_t rekey;	      /* a KeyUpdate that asks for one, every so many records; 0: never */
	uint32_t padding;     /* TLS 1.3: records are padded to a multiple of it; 0, 1: not */
	enum pieces pieces;
	enum shape shape;
	enum fault fault;
	uint64_t fault_at;   /* at this record of the transfer, counted from 1 */
	uint32_t fault_from; /* on the connections from this one on, counted from 1 */
};

extern struct options options;

#endif
