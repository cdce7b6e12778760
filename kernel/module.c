// SPDX-License-Identifier: GPL-2.0
/*
 * ublk_drv - block devices served by a process, over io_uring commands.
 *
 * Reader's guide. A block request comes in at disk.c and goes to the daemon and back in command.c,
 * with request.c for its description and its end and copy.c for its bytes; slot.h draws the life of
 * a tag, which all that is about, and queue.c has what the tags of a queue share. The daemon's file
 * is char.c. What becomes of it all when the daemon is gone is cancel.c. A device and its states
 * are device.c; a daemon's coming and going, and what that makes of the device, are round.c; all
 * devices are devices.c, commanded from control.c, with params.c and permission.c for what a
 * command says and who may. compat.h is about kernel versions.
 */
#include <linux/module.h>

#include "control.h"
#include "devices.h"
#include "disk.h"

static int __init ublk_init(void)
{
	int result;

	result = ublk_disks_init();
	if (result)
		return result;
	result = ublk_devices_init();
	if (result)
		goto no_devices;
	result = ublk_control_init();
	if (result)
		goto no_control;
	return 0;
no_control:
	ublk_devices_exit();
no_devices:
	ublk_disks_exit();
	return result;
}

static void __exit ublk_exit(void)
{
	ublk_control_exit();
	ublk_devices_exit();
	ublk_disks_exit();
}

module_init(ublk_init);
module_exit(ublk_exit);

MODULE_AUTHOR("The ublk-nbd authors");
MODULE_DESCRIPTION("Block devices served by userspace over io_uring");
MODULE_LICENSE("GPL");
