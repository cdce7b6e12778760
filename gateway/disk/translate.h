/* SPDX-License-Identifier: MIT */
/*
 * translate.h - a block request of the driver as NBD requests. Pure.
 */
#ifndef GATEWAY_DISK_TRANSLATE_H
#define GATEWAY_DISK_TRANSLATE_H

#include <stdint.h>

#include "gateway/disk/slot.h"
#include "kernel/ublk_cmd.h"
#include "proto/handshake.h"

struct translate_limits {
	const struct nbd_export *export;
	uint64_t size_bytes;   /* of the device: what lies beyond is refused */
	uint32_t max_io_bytes; /* of a READ or WRITE */
	uint16_t parts_max;
	bool fua_always;
};

/*
 * Fills slot->op, length_bytes, parts_count and the parts (command, flags, offset, length and
 * slot_offset_bytes; cookies are the caller's) from a descriptor. READ and WRITE are split at the
 * server's largest payload. Returns 0, or -EIO (out of the device or too large: the driver's
 * limits were not kept), -EOPNOTSUPP (an operation we never advertised).
 */
int translate_request(struct slot *slot, const struct ublksrv_io_desc *descriptor,
		      const struct translate_limits *limits);

#endif
