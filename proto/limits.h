/* SPDX-License-Identifier: MIT */
/*
 * limits.h - the largest of everything that a server may make us hold or wait for.
 */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

#include <stdint.h>

/* "Values": names and other strings are at most 4096 bytes of UTF-8, without a NUL. */
#define NBD_STRING_BYTES_MAX 4096

/* One option reply's payload. Legal ones are far smaller (an INFO with a string); beyond this the
 * handshake fails. */
#define NBD_OPTION_REPLY_BYTES_MAX (64u << 10)

/* Option replies in a whole handshake. */
#define NBD_OPTION_REPLIES_MAX 1024

/* One structured chunk that is not read data: an error with its message, or a type unknown. */
#define NBD_CHUNK_CONTROL_BYTES_MAX (64u << 10)

/* Chunks that answer one request: a server that sends more than one for each 512 bytes, and
 * some for luck, is stalling. */
#define NBD_CHUNKS_PER_REQUEST_MAX 65536

/* Separate pieces of one READ that are kept track of (coverage.h): enough for 1 MiB in chunks of 4 KiB
 * in any order. A READ that is answered in more fails; its connection lives on. */
#define NBD_COVERAGE_SPANS_MAX 160

/* Block sizes where the server names none ("Block size constraints"). */
#define NBD_BLOCK_MINIMUM_BYTES_MAX	  (64u << 10) /* of one that is named */
#define NBD_BLOCK_MINIMUM_DEFAULT_BYTES	  1u
#define NBD_BLOCK_PREFERRED_DEFAULT_BYTES 4096u
#define NBD_PAYLOAD_DEFAULT_BYTES_MAX	  (32u << 20)

/* The largest export: offsets and sizes are kept in signed 64 bits by the kernel. */
#define NBD_EXPORT_BYTES_MAX INT64_MAX

#endif
