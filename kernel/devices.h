/* SPDX-License-Identifier: GPL-2.0 */
/* devices.h - all devices by their ids: how one is made, found and ended. */
#ifndef UBLK_DEVICES_H
#define UBLK_DEVICES_H

#include "device.h"

/* Sets up what all devices share. 0 or a negative errno; the exit waits until none is left. */
int ublk_devices_init(void);
void ublk_devices_exit(void);

/*
 * Makes a device with this information, which has been checked; id -1 takes any that is free.
 * Returns it with a reference for the caller, its char device there, or an ERR_PTR: -EEXIST the id
 * is taken, -ENOSPC all are, -EACCES an unprivileged user has as many as are allowed, -ENOMEM.
 */
struct ublk_device *ublk_devices_add(const struct ublksrv_ctrl_dev_info *info, int id);

/* The device with a reference for the caller, or NULL. */
struct ublk_device *ublk_devices_get(u32 id);

/* Removes disk and char device. Once is enough; the id is free after the last put. */
void ublk_devices_delete(struct ublk_device *device);

/*
 * Waits until the device that had this id and serial is gone; another may have the id then. 0 or
 * -EINTR.
 */
int ublk_devices_wait_gone(u32 id, unsigned long serial);

#endif
