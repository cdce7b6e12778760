/* SPDX-License-Identifier: MIT */
/*
 * disks.h - this machine's disks: what their daemons left in the runtime directory, who answers,
 * and what the kernel knows.
 */
#ifndef GATEWAY_CLI_DISKS_H
#define GATEWAY_CLI_DISKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/common/disk_config.h"

#define DISKS_MAX 4096

/* N.json, read. */
struct disk_record {
	uint32_t number;
	uint64_t tag; /* the disk's identity: server_tag.h */
	uint64_t size_bytes;
	bool read_only;
	struct disk_config config;
};

/* Whether the runtime directory's files are to be believed, or there are none; false: it has complained. */
bool disks_may_look(const char *verb);
/* Whether the runtime directory can be read in time; it may be on a file system that hangs. Takes up to 3 s, once. */
bool disks_directory_answers(void);

/*
 * The numbers of all disks of ours, ascending, malloc()ed (free() them): those the kernel has by a daemon
 * of ours (server_tag.h), and those with a file in the runtime directory, unless the kernel's device of
 * that number is another program's. 0; -EACCES when only root may look; -ENOMEM; a directory that is not there has none. At most 3 DISKS_MAX.
 */
int disks_list(uint32_t **numbers, size_t *count);

/* The same for the devices the kernel has, from /dev/ublkcN: ours or not. */
int disks_list_kernel(uint32_t **numbers, size_t *count);

/* The identity that the kernel has for disk number: what files and sockets say is compared with it. 0;
 * -ENODEV when there is no such device; -ENXIO when another program made it; else -errno. */
int disk_tag(uint32_t number, uint64_t *tag);

/* Reads N.json. 0; -ENOENT when there is none; -ESTALE when it is of another disk than the one that the
 * kernel has by that number; -EINVAL with a sentence in error. On success disk_record_clear() frees what
 * it holds. */
int disk_record_load(uint32_t number, struct disk_record *record, char *error, size_t error_bytes);
void disk_record_clear(struct disk_record *record);

/* Whether there is any file of the disk. */
bool disk_has_files(uint32_t number);
/* Whether the files of a disk in the runtime directory can be read in time, where there are any: the directory may
 * be on a file system that hangs. Takes up to 3 s. */
bool disk_files_answer(uint32_t number);
/* The same; false: it has complained. */
bool disk_may_look(const char *verb, uint32_t number);

/* Removes its files. Only while nobody else can take the number, or its daemon is surely dead. Where their
 * filesystem hangs they stay: whoever reads them compares them with the kernel's identity of the disk. */
void disk_forget(uint32_t number);

/* Removes the socket directory of the server that the daemon with this identity had started, and that is
 * surely dead. */
void disk_forget_server(uint64_t tag);

#endif
