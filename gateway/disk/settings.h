/* SPDX-License-Identifier: MIT */
/*
 * settings.h - what of a live disk's configuration can be changed: the verb set.
 */
#ifndef GATEWAY_DISK_SETTINGS_H
#define GATEWAY_DISK_SETTINGS_H

#include <jansson.h>

#include "gateway/disk/control_server.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/reconnect.h"

/* Takes {"timeout_ms": N, "dead_timeout_ms": N}, either or both, and answers the client. --timeout counts for what is
 * sent from now on, --dead-timeout for the outage that is under way, too. */
void settings_take(struct disk *disk, struct reconnect *reconnect, control_client_id client,
		   const json_t *request);

#endif
