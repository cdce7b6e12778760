/* SPDX-License-Identifier: MIT */
/*
 * wire.h - the numbers of the NBD protocol, and big-endian access to bytes.
 *
 * Every value comes from the NBD protocol document (doc/proto.md of the NetworkBlockDevice/nbd
 * project); the section is named above each group. All integers on the wire are big-endian.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdint.h>
#include <string.h>
#include <endian.h>

/* "Fixed newstyle negotiation" */
#define NBD_MAGIC_INIT	       UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_MAGIC_OPTION       UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_MAGIC_OLDSTYLE     UINT64_C(0x00420281861253)
#define NBD_MAGIC_OPTION_REPLY UINT64_C(0x0003e889045565a9)

/* "Handshake flags" (server, 16 bits) and "Client flags" (32 bits) */
#define NBD_FLAG_FIXED_NEWSTYLE 0x0001u
#define NBD_FLAG_NO_ZEROES	0x0002u

/* "Option types" */
#define NBD_OPT_EXPORT_NAME	 1u
#define NBD_OPT_ABORT		 2u
#define NBD_OPT_LIST		 3u
#define NBD_OPT_STARTTLS	 5u
#define NBD_OPT_INFO		 6u
#define NBD_OPT_GO		 7u
#define NBD_OPT_STRUCTURED_REPLY 8u
#define NBD_OPT_EXTENDED_HEADERS 11u

/* "Option reply types" */
#define NBD_REP_ACK		    1u
#define NBD_REP_SERVER		    2u
#define NBD_REP_INFO		    3u
#define NBD_REP_FLAG_ERROR	    UINT32_C(0x80000000)
#define NBD_REP_ERR_UNSUP	    UINT32_C(0x80000001)
#define NBD_REP_ERR_POLICY	    UINT32_C(0x80000002)
#define NBD_REP_ERR_INVALID	    UINT32_C(0x80000003)
#define NBD_REP_ERR_PLATFORM	    UINT32_C(0x80000004)
#define NBD_REP_ERR_TLS_REQD	    UINT32_C(0x80000005)
#define NBD_REP_ERR_UNKNOWN	    UINT32_C(0x80000006)
#define NBD_REP_ERR_SHUTDOWN	    UINT32_C(0x80000007)
#define NBD_REP_ERR_BLOCK_SIZE_REQD UINT32_C(0x80000008)
#define NBD_REP_ERR_TOO_BIG	    UINT32_C(0x80000009)
#define NBD_REP_ERR_EXT_HEADER_REQD UINT32_C(0x8000000a)

/* "NBD_INFO" types */
#define NBD_INFO_EXPORT	     0u
#define NBD_INFO_NAME	     1u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE  3u

/* "Transmission flags" (16 bits) */
#define NBD_FLAG_HAS_FLAGS	   0x0001u
#define NBD_FLAG_READ_ONLY	   0x0002u
#define NBD_FLAG_SEND_FLUSH	   0x0004u
#define NBD_FLAG_SEND_FUA	   0x0008u
#define NBD_FLAG_ROTATIONAL	   0x0010u
#define NBD_FLAG_SEND_TRIM	   0x0020u
#define NBD_FLAG_SEND_WRITE_ZEROES 0x0040u
#define NBD_FLAG_SEND_DF	   0x0080u
#define NBD_FLAG_CAN_MULTI_CONN	   0x0100u
#define NBD_FLAG_SEND_RESIZE	   0x0200u
#define NBD_FLAG_SEND_CACHE	   0x0400u
#define NBD_FLAG_SEND_FAST_ZERO	   0x0800u

/* "Transmission": requests, replies, chunks */
#define NBD_MAGIC_REQUEST	    UINT32_C(0x25609513)
#define NBD_MAGIC_EXTENDED_REQUEST  UINT32_C(0x21e41c71)
#define NBD_MAGIC_SIMPLE_REPLY	    UINT32_C(0x67446698)
#define NBD_MAGIC_STRUCTURED_REPLY  UINT32_C(0x668e33ef)
#define NBD_MAGIC_EXTENDED_REPLY    UINT32_C(0x6e8a278c)

#define NBD_REQUEST_BYTES	    28
#define NBD_EXTENDED_REQUEST_BYTES  32
#define NBD_SIMPLE_REPLY_BYTES	    16
#define NBD_STRUCTURED_REPLY_BYTES  20
#define NBD_EXTENDED_REPLY_BYTES    32

#define NBD_CMD_READ		    0u
#define NBD_CMD_WRITE		    1u
#define NBD_CMD_DISC		    2u
#define NBD_CMD_FLUSH		    3u
#define NBD_CMD_TRIM		    4u
#define NBD_CMD_CACHE		    5u
#define NBD_CMD_WRITE_ZEROES	    6u

#define NBD_CMD_FLAG_FUA	    0x0001u
#define NBD_CMD_FLAG_NO_HOLE	    0x0002u
#define NBD_CMD_FLAG_DF		    0x0004u
#define NBD_CMD_FLAG_REQ_ONE	    0x0008u
#define NBD_CMD_FLAG_FAST_ZERO	    0x0010u
#define NBD_CMD_FLAG_PAYLOAD_LEN    0x0020u

#define NBD_REPLY_FLAG_DONE	    0x0001u
#define NBD_REPLY_TYPE_NONE	    0u
#define NBD_REPLY_TYPE_OFFSET_DATA  1u
#define NBD_REPLY_TYPE_OFFSET_HOLE  2u
#define NBD_REPLY_TYPE_ERROR_BIT    0x8000u
#define NBD_REPLY_TYPE_ERROR	    0x8001u
#define NBD_REPLY_TYPE_ERROR_OFFSET 0x8002u

/* "Error values" */
#define NBD_EPERM     1u
#define NBD_EIO	      5u
#define NBD_ENOMEM    12u
#define NBD_EINVAL    22u
#define NBD_ENOSPC    28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP   95u
#define NBD_ESHUTDOWN 108u

static inline uint16_t wire_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t wire_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t wire_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void wire_put16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void wire_put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void wire_put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

#endif
