/* SPDX-License-Identifier: MIT */
/*
 * block_request.h - what the driver's side of a queue submits to a backend, and gets back done. The words
 * are the block layer's: neither the driver's ABI nor the backend's protocol shows here.
 */
#ifndef GATEWAY_BLOCK_BLOCK_REQUEST_H
#define GATEWAY_BLOCK_BLOCK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_TRIM, BLOCK_WRITE_ZEROES };

/* The submitter's; the backend's to read from submit until done, when error is set. */
struct block_request {
	enum block_op op;
	bool fua;     /* a WRITE, TRIM or WRITE_ZEROES is durable when it is done */
	bool no_hole; /* WRITE_ZEROES: the space stays allocated */
	uint16_t
		tag; /* names the request's payload (payload.h); no other request has it meanwhile */
	uint32_t length_bytes; /* 0 for FLUSH; within the device, checked before it is submitted */
	uint64_t offset_bytes;
	int error; /* 0, or a negative errno */
};

/* Whether it changes what the disk holds. */
static inline bool block_request_changes(const struct block_request *request)
{
	return request->op != BLOCK_READ && request->op != BLOCK_FLUSH;
}

#endif
