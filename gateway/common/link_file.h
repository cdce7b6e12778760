/* SPDX-License-Identifier: MIT */
/*
 * link_file.h - N.udev of the runtime directory: what the udev rule takes, and by which commands know a
 * disk's link. The disk's daemon writes it, and another disk's that takes its link away (gateway/disk/link.h).
 *
 * A line for each that applies: UBLK_NBD_DISK=1; UBLK_NBD_STARTING=1, other rules keep off; UBLK_NBD_TEXT=, of
 * what a link would be made; UBLK_NBD_LINK=, the link; UBLK_NBD_SHARED=N, disk N has the same text.
 */
#ifndef GATEWAY_COMMON_LINK_FILE_H
#define GATEWAY_COMMON_LINK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#define LINK_FOLDER "/dev/disk/by-ublk-nbd/"
/* A file's name less "-part" and three digits. */
#define LINK_TEXT_BYTES_MAX (255 - 8)
#define LINK_FILE_BYTES_MAX 1024

struct link_file {
	bool starting;
	int shared; /* with this disk; -1 with none */
	char text[LINK_TEXT_BYTES_MAX + 1];
	char link[LINK_TEXT_BYTES_MAX + 1]; /* below LINK_FOLDER; "" none */
};

/* false: there is none. */
bool link_file_read(uint32_t number, struct link_file *file);

#endif
