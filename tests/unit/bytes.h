/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - builds the byte streams that a server might send, for the tests of the parsers.
 */
#ifndef TESTS_UNIT_BYTES_H
#define TESTS_UNIT_BYTES_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/wire.h"

struct bytes {
	size_t len;
	uint8_t data[256 << 10];
};

static inline void put_raw(struct bytes *b, const void *raw, size_t len)
{
	if (len > sizeof(b->data) - b->len) {
		fprintf(stderr, "bytes.h: a test's stream is too long\n");
		__builtin_trap();
	}
	memcpy(b->data + b->len, raw, len);
	b->len += len;
}

static inline void put8(struct bytes *b, uint8_t value)
{
	put_raw(b, &value, 1);
}

static inline void put16(struct bytes *b, uint16_t value)
{
	uint8_t field[2];

	wire_put16(field, value);
	put_raw(b, field, sizeof(field));
}

static inline void put32(struct bytes *b, uint32_t value)
{
	uint8_t field[4];

	wire_put32(field, value);
	put_raw(b, field, sizeof(field));
}

static inline void put64(struct bytes *b, uint64_t value)
{
	uint8_t field[8];

	wire_put64(field, value);
	put_raw(b, field, sizeof(field));
}

static inline void put_text(struct bytes *b, const char *text)
{
	put_raw(b, text, strlen(text));
}

static inline void put_fill(struct bytes *b, uint8_t value, size_t count)
{
	while (count-- > 0)
		put8(b, value);
}

#endif
