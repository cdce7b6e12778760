/* SPDX-License-Identifier: MIT */
/*
 * params.h - the disk's limits and attributes, from what was negotiated and what the user asked
 * for. Pure: nothing is assumed that the server did not say. The daemon builds the device on it;
 * `info` and `doctor` show it beforehand.
 */
#ifndef GATEWAY_COMMON_PARAMS_H
#define GATEWAY_COMMON_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/common/disk_config.h"
#include "kernel/ublk_cmd.h"
#include "proto/handshake.h"

/* A block request becomes at most so many NBD requests; its size is limited to fit. */
#define SLOT_PARTS_MAX 64

struct disk_geometry {
	uint64_t size_bytes; /* a multiple of the logical block; the export's or a little less */
	uint64_t tail_bytes; /* of the export, not reachable: less than a logical block */
	uint32_t logical_block_bytes;
	uint32_t physical_block_bytes;
	uint32_t max_io_bytes; /* of a READ or WRITE block request; a multiple of 4 KiB */
	uint16_t parts_max;    /* NBD requests one such may need */
	uint32_t connections;  /* to be opened: 1 unless the server promises CAN_MULTI_CONN */
	bool read_only;
	bool fua_always; /* FUA without FLUSH: every write carries it */
};

/* cpus: of this machine. 0, or -EINVAL with a sentence: the server's blocks are larger than a
 * page, --block-size is smaller than the server's, the export is smaller than a block. */
int params_derive(struct disk_geometry *geometry, const struct nbd_export *export,
		  const struct disk_config *config, uint32_t cpus, char *error, size_t error_bytes);

/* Whether a disk that is built on a may use a connection that was granted b: flags, framing and limits are the
 * same. The size may differ (a resize wants another one), and so may what is only preferred or shown. */
bool params_same_terms(const struct nbd_export *a, const struct nbd_export *b);

/* Whether a disk that is built on one may go on with a connection that another server, or the same one at another
 * time, granted: it lacks nothing that the disk uses, but for its size, which is the caller's to compare. several:
 * connections are mixed. 0, or -EINVAL with why, for people: "its export is read-only now". */
int params_check_terms(const struct nbd_export *built_on, const struct nbd_export *granted,
		       bool several, char *why, size_t why_bytes);

/* The driver's parameters for this geometry. */
void params_fill(struct ublk_params *params, const struct disk_geometry *geometry,
		 const struct nbd_export *export);

#endif
