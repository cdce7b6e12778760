/* SPDX-License-Identifier: MIT */
/*
 * payload.h - where the bytes of a block request are, behind a table. A backend reads a WRITE's from there
 * and puts a READ's there, from submit until done, on the queue's thread.
 */
#ifndef GATEWAY_BLOCK_PAYLOAD_H
#define GATEWAY_BLOCK_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct payload;

/* A place that the ring's operations can reach by themselves. Today that is memory of this process; a
 * registered buffer (its index, and an offset in it) is a further kind of place, and belongs here. */
struct payload_place {
	void *memory;
};

struct payload_ops {
	const char *name;
	/* Whether the bytes lie in such places: then place() says where, and nothing needs to be copied. */
	bool in_place;
	struct payload_place (*place)(const struct payload *payload, uint16_t tag,
				      uint32_t offset_bytes);
	/* Copies a WRITE's bytes from there. 0 or -errno. */
	int (*load)(struct payload *payload, uint16_t tag, uint32_t offset_bytes, void *to,
		    uint32_t length_bytes);
	/* Copies a READ's bytes there. 0 or -errno. */
	int (*store)(struct payload *payload, uint16_t tag, uint32_t offset_bytes, const void *from,
		     uint32_t length_bytes);
	/* Makes this range of a READ zeroes. 0 or -errno. */
	int (*zero)(struct payload *payload, uint16_t tag, uint32_t offset_bytes,
		    uint32_t length_bytes);
};

struct payload {
	const struct payload_ops *ops;
};

#endif
