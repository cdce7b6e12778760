/* SPDX-License-Identifier: MIT */
/* error.c - see error.h. */
#include <errno.h>
#include <stddef.h>

#include "proto/error.h"
#include "proto/wire.h"

static const struct {
	uint32_t wire;
	int errnum;
	const char *name;
} errors[] = {
	{ NBD_EPERM, EPERM, "NBD_EPERM" },	    { NBD_EIO, EIO, "NBD_EIO" },
	{ NBD_ENOMEM, ENOMEM, "NBD_ENOMEM" },	    { NBD_EINVAL, EINVAL, "NBD_EINVAL" },
	{ NBD_ENOSPC, ENOSPC, "NBD_ENOSPC" },	    { NBD_EOVERFLOW, EOVERFLOW, "NBD_EOVERFLOW" },
	{ NBD_ENOTSUP, EOPNOTSUPP, "NBD_ENOTSUP" }, { NBD_ESHUTDOWN, ESHUTDOWN, "NBD_ESHUTDOWN" },
};

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

int nbd_error_to_errno(uint32_t wire_error)
{
	for (size_t i = 0; i < ERRORS; i++)
		if (errors[i].wire == wire_error)
			return errors[i].errnum;
	return EINVAL;
}

const char *nbd_error_name(uint32_t wire_error)
{
	for (size_t i = 0; i < ERRORS; i++)
		if (errors[i].wire == wire_error)
			return errors[i].name;
	return "unknown";
}
