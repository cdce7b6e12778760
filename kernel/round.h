/* SPDX-License-Identifier: GPL-2.0 */
/*
 * round.h - how a round (device.h) begins and ends.
 *
 * The file's release may be late: where a kernel thread dropped the last reference, the kernel
 * calls it from one work for all files, which may be at the release of a disk just then, and wait
 * for a page to be written that waits for this device's next daemon. So the watch (cancel.h) ends a
 * round, too.
 */
#ifndef UBLK_ROUND_H
#define UBLK_ROUND_H

#include "device.h"

void ublk_round_init(struct ublk_device *device);

/*
 * The char device's new file begins a round. 0, -EBUSY: there is one, -ENODEV: the device was
 * deleted.
 */
int ublk_round_begin(struct ublk_device *device, struct file *file);

/*
 * Ends the file's round, unless that was done: takes back what the daemon had, and decides what
 * becomes of the device. Another may open it afterwards. May sleep for long.
 */
void ublk_round_release(struct ublk_device *device, const struct file *file);

#endif
