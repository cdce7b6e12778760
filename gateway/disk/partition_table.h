/* SPDX-License-Identifier: MIT */
/*
 * partition_table.h - for which size of sectors a partition table was made. Its numbers count sectors: read on a
 * disk whose blocks have another size, its partitions lie elsewhere, or beyond the end, and it is as good as none.
 *
 * A GPT's header stands in sector 1 (UEFI 2.10, 5.3.2). An MBR says nothing of its sectors: it is only known for
 * one of 512 bytes where its partitions would end beyond the disk if they were larger. Where they fit either
 * way, only what they hold could tell: a file system's signature at one of two places for each entry. That is
 * not looked for: it takes a list of signatures as blkid has, reads all over the disk before connect is done,
 * and still cannot tell with a partition that is empty, encrypted, or holds old data at the other place.
 */
#ifndef GATEWAY_DISK_PARTITION_TABLE_H
#define GATEWAY_DISK_PARTITION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/* A disk's first bytes that are looked at, at most: a GPT's header behind a sector of 4 KiB. */
#define PARTITION_TABLE_BYTES_MAX 8192u

/*
 * The sector size that the table in a disk's first count bytes was made for, where that is not block_bytes, the
 * disk's own; 0 where it is, or cannot be known, or there is no table. *more: whether it needs more of those
 * bytes to know. The bytes may be anything. block_bytes is a power of two from 512.
 */
uint32_t partition_table_other_sector(const uint8_t *bytes, uint32_t count, uint32_t block_bytes,
				      uint64_t size_bytes, bool *more);

#endif
