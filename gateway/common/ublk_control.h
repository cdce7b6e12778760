/* SPDX-License-Identifier: MIT */
/*
 * ublk_control.h - the commands of /dev/ublk-control, each a uring_cmd on a small ring of its own
 * (SQE128: the command is larger than a plain SQE holds).
 *
 * A handle belongs to one thread. Most commands are answered at once; START_DEV, STOP_DEV and
 * DEL_DEV wait inside the kernel, so they take a deadline. A command whose deadline passed stays
 * on the ring and may still take effect; closing the handle cancels it where the kernel can.
 * All return 0 (or what is stated) or -errno: -ENODEV no such device, -EPERM, -EBUSY,
 * -EOPNOTSUPP the kernel has no such command, -ETIMEDOUT the deadline, otherwise the driver's.
 */
#ifndef GATEWAY_COMMON_UBLK_CONTROL_H
#define GATEWAY_COMMON_UBLK_CONTROL_H

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#include "kernel/ublk_cmd.h"

#define UBLK_CONTROL_PATH "/dev/ublk-control"

/* What to do where the kernel's nodes do not appear. */
#define UBLK_DEV_REMEDY                                                                            \
	"in a container pass the host's /dev (-v /dev:/dev); in a chroot mount devtmpfs on it"

struct ublk_control;

/* Opens the control node and makes a ring. On failure error holds a sentence with the remedy. */
int ublk_control_open(struct ublk_control **out, char *error, size_t error_bytes);
void ublk_control_close(struct ublk_control *control);

/* *features gets the UBLK_F_* the driver knows; -EOPNOTSUPP before 6.5. */
int ublk_control_get_features(struct ublk_control *control, uint64_t *features);
/* info->dev_id: the wanted number or UINT32_MAX; *info returns what was granted. */
int ublk_control_add(struct ublk_control *control, struct ublksrv_ctrl_dev_info *info);
int ublk_control_set_params(struct ublk_control *control, uint32_t dev_id,
			    struct ublk_params *params);
int ublk_control_get_params(struct ublk_control *control, uint32_t dev_id,
			    struct ublk_params *params);
int ublk_control_get_info(struct ublk_control *control, uint32_t dev_id,
			  struct ublksrv_ctrl_dev_info *info);
int ublk_control_update_size(struct ublk_control *control, uint32_t dev_id, uint64_t sectors);

/* Those that wait. timeout_ms counts from the call. */
/* daemon_pid: whose tasks serve the queues. */
int ublk_control_start(struct ublk_control *control, uint32_t dev_id, pid_t daemon_pid,
		       uint32_t timeout_ms);
int ublk_control_stop(struct ublk_control *control, uint32_t dev_id, uint32_t timeout_ms);
/* -EBUSY when somebody has the disk open. Only where UBLK_F_SAFE_STOP_DEV was granted. */
int ublk_control_try_stop(struct ublk_control *control, uint32_t dev_id, uint32_t timeout_ms);
/* Asynchronous in the kernel where it can be (6.7), then waits until the number is free: 0; or 1 when
 * it is deleted, but somebody (a mount, a descriptor) still holds it and with it the number. */
int ublk_control_delete(struct ublk_control *control, uint32_t dev_id, uint32_t timeout_ms);

#endif
