/* SPDX-License-Identifier: MIT */
/*
 * ready.h - the daemon's half of the ready conversation (gateway/common/runtime_dir.h).
 * Each sends one line; a reader that has gone is noticed by disk_wait(), not here.
 */
#ifndef GATEWAY_DISK_READY_H
#define GATEWAY_DISK_READY_H

#include "gateway/disk/disk.h"

void ready_progress(struct disk *disk, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void ready_warning(struct disk *disk, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The last line: usable. The conversation stays open until whoever asked for the disk takes it, or has
 * gone without that. */
void ready_done(struct disk *disk);
/* disk->ready_fd can be read: whether the disk was taken. Closes the conversation. */
bool ready_was_taken(struct disk *disk);
/* The last line: failed, with disk->exit_code and sentence. Closes the conversation. */
void ready_failed(struct disk *disk);

#endif
