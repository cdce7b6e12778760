/* SPDX-License-Identifier: MIT */
/*
 * buffer_bio.h - OpenSSL's end of a ring's buffers: reads from bytes that were received already,
 * writes to where the next send will take them from. Never blocks, never allocates.
 */
#ifndef TLS_BUFFER_BIO_H
#define TLS_BUFFER_BIO_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/bio.h>

#include "tls/transport.h"

struct tls_buffers {
	const uint8_t *in;
	size_t in_bytes; /* left to be read; none: "retry" */
	uint8_t *out;
	size_t out_bytes, out_used_bytes;
	/* What TLS itself had to say (an answer to a KeyUpdate) while no send was being filled. A peer
	 * that asks for more answers than this holds, and sends nothing that we answer, is refused. */
	uint8_t pending[TLS_PENDING_BYTES_MAX];
	size_t pending_bytes;
	int overflow; /* something did not fit: the stream is broken */
};

/* A BIO over buffers, which must outlive it; NULL without memory. */
BIO *buffer_bio_new(struct tls_buffers *buffers);

#endif
