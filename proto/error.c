/* SPDX-License-Identifier: MIT */
/* error.c - see error.h. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"
#include "proto/wire.h"

/*
 * The block layer acts upon most errnos, by a table of its own (blk_errors[] in block/blk-core.c). A flush
 * and an fsync that end with EOPNOTSUPP are done well, to it; ENOMEM, EBUSY, EAGAIN and EOVERFLOW are a
 * shortage that passes; EINVAL is the asker's own fault, not the disk's. So a server's choice of error must
 * not get there: what failed is EIO.
 *
 * EOPNOTSUPP is what the block layer wants to hear of a TRIM, which may go undone, and of WRITE_ZEROES, for
 * which it then writes zeroes itself. ENOSPC is the thin pool that is full, which a filesystem has to know.
 */
static const struct {
	uint32_t wire;
	int errnum;	     /* of a READ, WRITE or FLUSH, and of any other command */
	int optional_errnum; /* of TRIM and WRITE_ZEROES */
	const char *name;
} errors[] = {
	{ NBD_EPERM, EIO, EIO, "NBD_EPERM" },
	{ NBD_EIO, EIO, EIO, "NBD_EIO" },
	{ NBD_ENOMEM, EIO, EIO, "NBD_ENOMEM" },
	{ NBD_EINVAL, EIO, EIO, "NBD_EINVAL" },
	{ NBD_ENOSPC, ENOSPC, ENOSPC, "NBD_ENOSPC" },
	{ NBD_EOVERFLOW, EIO, EIO, "NBD_EOVERFLOW" },
	{ NBD_ENOTSUP, EIO, EOPNOTSUPP, "NBD_ENOTSUP" },
	{ NBD_ESHUTDOWN, EIO, EIO, "NBD_ESHUTDOWN" },
};

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

int nbd_error_to_errno(uint16_t command, uint32_t wire_error)
{
	bool optional = command == NBD_CMD_TRIM || command == NBD_CMD_WRITE_ZEROES;

	for (size_t i = 0; i < ERRORS; i++)
		if (errors[i].wire == wire_error)
			return optional ? errors[i].optional_errnum : errors[i].errnum;
	return EIO;
}

const char *nbd_error_name(uint32_t wire_error)
{
	for (size_t i = 0; i < ERRORS; i++)
		if (errors[i].wire == wire_error)
			return errors[i].name;
	return "unknown";
}
