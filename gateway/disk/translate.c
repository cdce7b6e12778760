/* SPDX-License-Identifier: MIT */
#include "gateway/disk/translate.h"

#include <errno.h>
#include <stdbool.h>

/* The NBD command of an operation, and its flags. 0 or -EOPNOTSUPP. */
static int command_of(uint32_t op_flags, const struct translate_limits *limits, uint16_t *command,
		      uint16_t *flags)
{
	bool fua = (op_flags & UBLK_IO_F_FUA) || limits->fua_always;

	*flags = fua && (limits->export->flags & NBD_FLAG_SEND_FUA) ? NBD_CMD_FLAG_FUA : 0;
	switch (op_flags & 0xff) {
	case UBLK_IO_OP_READ:
		*command = NBD_CMD_READ;
		*flags = 0;
		return 0;
	case UBLK_IO_OP_WRITE:
		*command = NBD_CMD_WRITE;
		return 0;
	case UBLK_IO_OP_FLUSH:
		*command = NBD_CMD_FLUSH;
		*flags = 0;
		return 0;
	case UBLK_IO_OP_DISCARD:
		*command = NBD_CMD_TRIM;
		return 0;
	case UBLK_IO_OP_WRITE_ZEROES:
		*command = NBD_CMD_WRITE_ZEROES;
		if (op_flags & UBLK_IO_F_NOUNMAP)
			*flags |= NBD_CMD_FLAG_NO_HOLE;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void fill_part(struct slot *slot, uint16_t part, uint64_t offset_bytes,
		      uint32_t length_bytes)
{
	struct wire_request *request = &slot->parts[part];
	const struct wire_request *first = &slot->parts[0];

	request->nbd.command = first->nbd.command;
	request->nbd.flags = first->nbd.flags;
	request->nbd.offset_bytes = first->nbd.offset_bytes + offset_bytes;
	request->nbd.length_bytes = length_bytes;
	request->slot_offset_bytes = (uint32_t)offset_bytes;
}

/* The largest payload that keeps each part a multiple of the server's minimum block. */
static uint32_t part_bytes_max(const struct nbd_export *export)
{
	return export->payload_max_bytes - export->payload_max_bytes % export->block_minimum_bytes;
}

static int split(struct slot *slot, const struct translate_limits *limits)
{
	uint32_t part_bytes = part_bytes_max(limits->export);
	uint32_t done_bytes = 0;
	uint16_t part = 0;

	if (slot->length_bytes > limits->max_io_bytes)
		return -EIO;
	while (done_bytes < slot->length_bytes) {
		uint32_t left_bytes = slot->length_bytes - done_bytes;
		uint32_t length_bytes = left_bytes < part_bytes ? left_bytes : part_bytes;

		if (part == limits->parts_max)
			return -EIO;
		fill_part(slot, part++, done_bytes, length_bytes);
		done_bytes += length_bytes;
	}
	slot->parts_count = part;
	return 0;
}

int translate_request(struct slot *slot, const struct ublksrv_io_desc *descriptor,
		      const struct translate_limits *limits)
{
	uint32_t op_flags = descriptor->op_flags;
	uint64_t offset_bytes = descriptor->start_sector << 9;
	uint64_t length_bytes = (uint64_t)descriptor->nr_sectors << 9;
	struct nbd_request *first = &slot->parts[0].nbd;
	int ret;

	slot->op = op_flags & 0xff;
	ret = command_of(op_flags, limits, &first->command, &first->flags);
	if (ret < 0)
		return ret;
	if (first->command == NBD_CMD_FLUSH) {
		offset_bytes = 0;
		length_bytes = 0;
	} else if (length_bytes == 0 || length_bytes > UINT32_MAX ||
		   descriptor->start_sector > UINT64_MAX >> 9 ||
		   offset_bytes > limits->size_bytes ||
		   length_bytes > limits->size_bytes - offset_bytes) {
		return -EIO;
	}
	slot->length_bytes = (uint32_t)length_bytes;
	first->offset_bytes = offset_bytes;
	if (first->command == NBD_CMD_READ || first->command == NBD_CMD_WRITE)
		return split(slot, limits);
	fill_part(slot, 0, 0, (uint32_t)length_bytes);
	slot->parts_count = 1;
	return 0;
}
