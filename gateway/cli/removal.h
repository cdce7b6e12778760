/* SPDX-License-Identifier: MIT */
/*
 * removal.h - removing a disk whose daemon lives, and cannot be talked to: its socket is gone, it has
 * another runtime directory, or it is stopped. Nobody is killed: the disk is written out and stopped as
 * the daemon's attendant would do it (disk_stop.h), by a process that can be abandoned, since what it
 * waits for may never come.
 */
#ifndef GATEWAY_CLI_REMOVAL_H
#define GATEWAY_CLI_REMOVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/disk_stop.h"
#include "kernel/ublk_cmd.h"

struct removal {
	struct disk_stop_answer
		answer; /* result -ETIMEDOUT: the deadline passed; -ECHILD: no such process */
	bool lossless;	/* what was written is with the server, or nothing ever was */
};

/* Stops the disk that info is of, unless it is in use. *removal tells how that went. deadline_ms: of
 * clock.h. */
void removal_run(const struct ublksrv_ctrl_dev_info *info, int64_t deadline_ms,
		 struct removal *removal);

#endif
