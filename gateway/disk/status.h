/* SPDX-License-Identifier: MIT */
/*
 * status.h - STATUS of gateway/common/runtime_dir.h. Main thread; reads the queues' counters as
 * they stand.
 */
#ifndef GATEWAY_DISK_STATUS_H
#define GATEWAY_DISK_STATUS_H

#include <jansson.h>

#include "gateway/disk/disk.h"

/* A new reference, or NULL without memory. */
json_t *status_build(struct disk *disk);

#endif
