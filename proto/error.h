/* SPDX-License-Identifier: MIT */
/*
 * error.h - NBD's error values and this system's errno ("Error values" in proto.md).
 */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

#include <stdint.h>

/* The positive errno for a wire value other than 0; one the protocol does not name is EINVAL. */
int nbd_error_to_errno(uint32_t wire_error);

/* The wire value's name, "NBD_EIO", or "unknown". */
const char *nbd_error_name(uint32_t wire_error);

#endif
