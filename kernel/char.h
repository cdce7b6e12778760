/* SPDX-License-Identifier: GPL-2.0 */
/* char.h - /dev/ublkcN: the daemon's commands, descriptors (mmap) and data (pread, pwrite). */
#ifndef UBLK_CHAR_H
#define UBLK_CHAR_H

#include <linux/fs.h>

extern const struct file_operations ublk_char_operations;

#endif
