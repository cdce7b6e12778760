/* SPDX-License-Identifier: MIT */
/*
 * reap.h - removing a device whose daemon is dead, or has to be.
 */
#ifndef GATEWAY_CLI_REAP_H
#define GATEWAY_CLI_REAP_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/ublk_cmd.h"

/*
 * STOP_DEV, the files of the disk, DEL_DEV, each waited for timeout_ms at most. tag is what
 * the device's ublksrv_flags were when its end was decided: one that has others by now is another disk,
 * which took the number, and is left alone. 0; -ENODEV when the kernel has no such device, or somebody
 * else has just removed it (its files then go); -ESTALE: another disk's; else -errno; with a sentence in error.
 */
int reap_device(uint32_t number, uint64_t tag, uint32_t timeout_ms, char *error,
		size_t error_bytes);

/* The same for whatever devices the daemon with this identity, which is dead, had made: one that was killed
 * while it started never told us its number. */
int reap_of_tag(uint64_t tag, char *error, size_t error_bytes);

/* What the kernel knows of the device; -ENODEV when there is none, or no driver; else -errno. */
int reap_look(uint32_t number, struct ublksrv_ctrl_dev_info *info);

#endif
