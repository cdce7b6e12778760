/* SPDX-License-Identifier: MIT */
/*
 * link.h - the disk's link below /dev/disk/by-ublk-nbd, which udev makes by N.udev (link_file.h). It is made of what the user asked for, never of what a server says:
 *
 *   NAME                  connect --name NAME
 *   HOST:PORT:EXPORT      else, in full; unix+PATH:EXPORT, vsock+CID+PORT:EXPORT
 *   none                  for a server of the disk's own, and where the text would be too long
 *
 * Letters, digits and _ . - stand for themselves in the parts; every other byte is =XX, in hexadecimal, as are a
 * first dot, and the - of "-part", which a partition's link has. So no two targets have one text.
 *
 * Two disks of one text have no link, either of them: which is meant would be a matter of which came first.
 * The one that comes second takes the first's away, and it does not come back with the other's end: whoever
 * used it for the other would get this one.
 */
#ifndef GATEWAY_DISK_LINK_H
#define GATEWAY_DISK_LINK_H

#include <stddef.h>

#include "gateway/common/link_file.h"
#include "gateway/disk/disk.h"

/* The text. 0; -ENOENT: a server of the disk's own; -ENAMETOOLONG; out is "" then. */
int link_text(const struct disk_config *config, char out[LINK_TEXT_BYTES_MAX + 1]);

/* Writes N.udev, before the disk starts: it has no link yet. 0 or -errno. */
int link_start(const struct disk *disk);

/* Once it is usable: takes the link, or says in a warning why there is none; takes it away from another disk that
 * has it. 0 or -errno. */
int link_settle(struct disk *disk);

/* The disk's link, "" none. Reads N.udev: not for a disk that works, whose file system may hold that. */
void link_of(const struct disk *disk, char *out, size_t out_bytes);

#endif
