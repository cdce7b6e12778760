/* SPDX-License-Identifier: MIT */
/*
 * reconnect_status.h - what people are told of a disk's server: whether it is there, what waits for it, and what
 * would be lost without it. Main thread only.
 */
#ifndef GATEWAY_DISK_RECONNECT_STATUS_H
#define GATEWAY_DISK_RECONNECT_STATUS_H

#include "gateway/disk/reconnect.h"

/* Whether removing the disk now, without force, would lose what only its server could take; sentence says
 * what. */
bool reconnect_status_loss(const struct reconnect *reconnect, char *sentence,
			   size_t sentence_bytes);
/* Adds "server", "unflushed_writes" and "holds" to a status (gateway/common/runtime_dir.h). */
void reconnect_status_add(const struct reconnect *reconnect, json_t *status);

#endif
