/* SPDX-License-Identifier: GPL-2.0 */
/* params.h - what a daemon says of its disk, and the block layer's limits that follow. */
#ifndef UBLK_PARAMS_H
#define UBLK_PARAMS_H

#include "compat.h"
#include "ublk_cmd.h"

/*
 * Checks parameters that a user gave, and takes out types that nobody knows. 0, or -EINVAL: no
 * basic type, one that cannot be set, sizes that are no powers of two or out of range, discards
 * that are not of whole blocks, more than max_io_bytes per request.
 */
int ublk_params_check(struct ublk_params *params, u32 max_io_bytes);

/* Of checked parameters. */
void ublk_params_limits(const struct ublk_params *params, struct queue_limits *limits,
			struct compat_disk_features *features);

#endif
