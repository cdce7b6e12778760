/* SPDX-License-Identifier: MIT */
#include "gateway/common/params.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/wire.h"

#define SECTOR_BYTES 512u
/* The kernel takes no logical block above its page; 4 KiB on every machine we run on. */
#define PAGE_BYTES 4096u
/* One TRIM, one WRITE_ZEROES: below 2^32 and a multiple of any block. Zeroing may have to write,
 * so it is kept to what a slow server does within the deadline. */
#define TRIM_BYTES_MAX	 0xffff0000u
#define ZEROES_BYTES_MAX (1u << 30)

static uint32_t minimum_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t maximum_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static int derive_blocks(struct disk_geometry *geometry, const struct nbd_export *export,
			 const struct disk_config *config, char *error, size_t error_bytes)
{
	uint32_t minimum = maximum_u32(export->block_minimum_bytes, SECTOR_BYTES);

	if (minimum > PAGE_BYTES) {
		snprintf(error, error_bytes,
			 "the server's smallest block is %u bytes, and Linux takes no block above "
			 "its page of %u: ask for another export, or put a server between that "
			 "splits blocks (nbdkit nbd --filter=blocksize)",
			 minimum, PAGE_BYTES);
		return -EINVAL;
	}
	if (config->block_size_bytes && config->block_size_bytes < minimum) {
		snprintf(error, error_bytes,
			 "--block-size %u is below the server's smallest block of %u bytes",
			 config->block_size_bytes, minimum);
		return -EINVAL;
	}
	geometry->logical_block_bytes = maximum_u32(minimum, config->block_size_bytes);
	geometry->physical_block_bytes =
		maximum_u32(geometry->logical_block_bytes,
			    minimum_u32(export->block_preferred_bytes, PAGE_BYTES));
	return 0;
}

static int derive_sizes(struct disk_geometry *geometry, const struct nbd_export *export,
			const struct disk_config *config, char *error, size_t error_bytes)
{
	uint32_t part_bytes =
		export->payload_max_bytes - export->payload_max_bytes % export->block_minimum_bytes;
	uint64_t reach_bytes = (uint64_t)part_bytes * SLOT_PARTS_MAX;

	if (part_bytes < geometry->logical_block_bytes || reach_bytes < PAGE_BYTES) {
		snprintf(error, error_bytes,
			 "the server takes at most %u bytes in a request, which is less than a "
			 "block of %u",
			 export->payload_max_bytes, geometry->logical_block_bytes);
		return -EINVAL;
	}
	geometry->max_io_bytes = config->max_io_bytes;
	if (geometry->max_io_bytes > reach_bytes)
		geometry->max_io_bytes = (uint32_t)(reach_bytes - reach_bytes % PAGE_BYTES);
	geometry->parts_max =
		(uint16_t)((geometry->max_io_bytes + (uint64_t)part_bytes - 1) / part_bytes);
	geometry->tail_bytes = export->size_bytes % geometry->logical_block_bytes;
	geometry->size_bytes = export->size_bytes - geometry->tail_bytes;
	if (geometry->size_bytes == 0) {
		snprintf(error, error_bytes,
			 "the export has %llu bytes, which is not even one block of %u",
			 (unsigned long long)export->size_bytes, geometry->logical_block_bytes);
		return -EINVAL;
	}
	return 0;
}

int params_derive(struct disk_geometry *geometry, const struct nbd_export *export,
		  const struct disk_config *config, uint32_t cpus, char *error, size_t error_bytes)
{
	int ret;

	memset(geometry, 0, sizeof(*geometry));
	ret = derive_blocks(geometry, export, config, error, error_bytes);
	if (ret == 0)
		ret = derive_sizes(geometry, export, config, error, error_bytes);
	if (ret < 0)
		return ret;
	geometry->read_only = config->read_only || (export->flags & NBD_FLAG_READ_ONLY);
	geometry->fua_always =
		(export->flags & NBD_FLAG_SEND_FUA) && !(export->flags & NBD_FLAG_SEND_FLUSH);
	geometry->connections = 1;
	if (export->flags & NBD_FLAG_CAN_MULTI_CONN)
		geometry->connections =
			config->connections ? config->connections : minimum_u32(4, cpus);
	return 0;
}

static uint8_t shift_of(uint32_t power_of_two)
{
	return (uint8_t)__builtin_ctz(power_of_two);
}

static void fill_basic(struct ublk_params *params, const struct disk_geometry *geometry,
		       const struct nbd_export *export)
{
	struct ublk_param_basic *basic = &params->basic;
	/* Advice only: what the server prefers, within reason for the block layer. */
	uint32_t preferred = maximum_u32(minimum_u32(export->block_preferred_bytes, 1u << 20),
					 geometry->physical_block_bytes);

	params->types |= UBLK_PARAM_TYPE_BASIC;
	basic->logical_bs_shift = shift_of(geometry->logical_block_bytes);
	basic->physical_bs_shift = shift_of(geometry->physical_block_bytes);
	basic->io_min_shift = shift_of(preferred);
	basic->io_opt_shift = shift_of(preferred);
	basic->max_sectors = geometry->max_io_bytes / SECTOR_BYTES;
	basic->dev_sectors = geometry->size_bytes / SECTOR_BYTES;
	if (geometry->read_only)
		basic->attrs |= UBLK_ATTR_READ_ONLY;
	if (export->flags & NBD_FLAG_ROTATIONAL)
		basic->attrs |= UBLK_ATTR_ROTATIONAL;
	/* FUA means something to the kernel only beside a cache that can be flushed. */
	if (export->flags & NBD_FLAG_SEND_FLUSH) {
		basic->attrs |= UBLK_ATTR_VOLATILE_CACHE;
		if (export->flags & NBD_FLAG_SEND_FUA)
			basic->attrs |= UBLK_ATTR_FUA;
	}
}

void params_fill(struct ublk_params *params, const struct disk_geometry *geometry,
		 const struct nbd_export *export)
{
	struct ublk_param_discard *discard = &params->discard;
	bool trim = export->flags & NBD_FLAG_SEND_TRIM;
	bool zeroes = export->flags & NBD_FLAG_SEND_WRITE_ZEROES;

	memset(params, 0, sizeof(*params));
	params->len = sizeof(*params);
	fill_basic(params, geometry, export);
	if (geometry->read_only || (!trim && !zeroes))
		return;
	params->types |= UBLK_PARAM_TYPE_DISCARD;
	/* Not 0 even without TRIM: the driver refuses zeroes without a granularity. */
	discard->discard_granularity = geometry->logical_block_bytes;
	discard->max_discard_segments = 1;
	if (trim)
		discard->max_discard_sectors = TRIM_BYTES_MAX / SECTOR_BYTES;
	if (zeroes)
		discard->max_write_zeroes_sectors = ZEROES_BYTES_MAX / SECTOR_BYTES;
}

bool params_same_terms(const struct nbd_export *a, const struct nbd_export *b)
{
	return a->flags == b->flags && a->framing == b->framing &&
	       a->block_minimum_bytes == b->block_minimum_bytes &&
	       a->payload_max_bytes == b->payload_max_bytes;
}

/* What the disk uses and the connection lacks; or NULL. */
static const char *lacking_feature(const struct nbd_export *built_on,
				   const struct nbd_export *granted, bool several)
{
	static const struct {
		uint16_t flag;
		const char *name;
	} used[] = {
		{ NBD_FLAG_SEND_FLUSH, "FLUSH" },
		{ NBD_FLAG_SEND_FUA, "FUA" },
		{ NBD_FLAG_SEND_TRIM, "TRIM" },
		{ NBD_FLAG_SEND_WRITE_ZEROES, "WRITE_ZEROES" },
		{ NBD_FLAG_CAN_MULTI_CONN, "CAN_MULTI_CONN" },
	};

	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		if (built_on->flags & used[i].flag && !(granted->flags & used[i].flag) &&
		    (several || used[i].flag != NBD_FLAG_CAN_MULTI_CONN))
			return used[i].name;
	return NULL;
}

int params_check_terms(const struct nbd_export *built_on, const struct nbd_export *granted,
		       bool several, char *why, size_t why_bytes)
{
	const char *lacking = lacking_feature(built_on, granted, several);

	if (granted->flags & NBD_FLAG_READ_ONLY && !(built_on->flags & NBD_FLAG_READ_ONLY))
		snprintf(why, why_bytes, "its export is read-only now");
	else if (lacking)
		snprintf(why, why_bytes, "it does not support %s any more", lacking);
	else if (granted->block_minimum_bytes > built_on->block_minimum_bytes)
		snprintf(why, why_bytes, "its smallest block is %u bytes now, and was %u",
			 granted->block_minimum_bytes, built_on->block_minimum_bytes);
	else if (granted->payload_max_bytes < built_on->payload_max_bytes)
		snprintf(why, why_bytes, "its largest payload is %u bytes now, and was %u",
			 granted->payload_max_bytes, built_on->payload_max_bytes);
	else if (granted->framing != built_on->framing)
		snprintf(why, why_bytes, "its replies are framed in another way");
	else
		return 0;
	return -EINVAL;
}
