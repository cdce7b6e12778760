/* SPDX-License-Identifier: MIT */
/*
 * error.h - NBD's error values ("Error values" in proto.md), and the errno that a block request ends with.
 */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

#include <stdint.h>

/*
 * The positive errno of a request of this command that the server answered with a wire value other than
 * 0, one that the protocol does not name included: ENOSPC; EOPNOTSUPP, of TRIM and WRITE_ZEROES alone; else
 * EIO. Every path of the gateway uses it; a failure of our own (a lost connection, a deadline, a
 * request that cannot be translated) is EIO as well.
 */
int nbd_error_to_errno(uint16_t command, uint32_t wire_error);

/* The wire value's name, "NBD_EIO", or "unknown". */
const char *nbd_error_name(uint32_t wire_error);

#endif
