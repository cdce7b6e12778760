/* SPDX-License-Identifier: GPL-2.0 */
/* permission.h - who may send which control command. */
#ifndef UBLK_PERMISSION_H
#define UBLK_PERMISSION_H

#include "device.h"

/*
 * Administrators may do anything. Others may command devices made with UNPRIVILEGED_DEV, by naming
 * the char device's path at the start of the command's buffer, with the rights that its file gives:
 * read to ask, read and write to change. A path is taken off `command`'s buffer, whoever gave it.
 * 0, -EPERM, -EACCES, -EINVAL (no path, or another device's), -EFAULT, or what looking it up gives.
 */
int ublk_permission_check(const struct ublk_device *device, u32 opcode,
			  struct ublksrv_ctrl_cmd *command);

/* Whether the caller may make a device with these flags. 0 or -EPERM. */
int ublk_permission_add(u64 flags);

#endif
