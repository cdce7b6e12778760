// SPDX-License-Identifier: GPL-2.0
/* params.c - one check and one translation per type of parameters. */
#include <linux/blkdev.h>
#include <linux/log2.h>

#include "params.h"

#define UBLK_PARAMS_SUPPORTED                                                                      \
	(UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD | UBLK_PARAM_TYPE_DMA_ALIGN |             \
	 UBLK_PARAM_TYPE_SEGMENT)
/* Those that a daemon cannot set, or only with a feature that there is not. */
#define UBLK_PARAMS_REFUSED                                                                        \
	(UBLK_PARAM_TYPE_DEVT | UBLK_PARAM_TYPE_ZONED | UBLK_PARAM_TYPE_INTEGRITY)
#define UBLK_PARAMS_SHIFT_MAX 30
/* Above, the block layer may cut a discard to pieces of nothing. */
#define UBLK_PARAMS_GRANULARITY_MAX BIT(31)
/* As the kernel's own driver has it. */
#define UBLK_PARAMS_DMA_ALIGNMENT 3

static u32 ublk_params_block_sectors(const struct ublk_params *params)
{
	return BIT(params->basic.logical_bs_shift - SECTOR_SHIFT);
}

static int ublk_params_check_basic(const struct ublk_param_basic *basic, u32 max_io_bytes)
{
	if (basic->logical_bs_shift < SECTOR_SHIFT || basic->logical_bs_shift > PAGE_SHIFT ||
	    basic->physical_bs_shift < basic->logical_bs_shift ||
	    basic->physical_bs_shift > UBLK_PARAMS_SHIFT_MAX ||
	    basic->io_min_shift > UBLK_PARAMS_SHIFT_MAX ||
	    basic->io_opt_shift > UBLK_PARAMS_SHIFT_MAX)
		return -EINVAL;
	if (basic->max_sectors > max_io_bytes >> SECTOR_SHIFT ||
	    basic->max_sectors < PAGE_SIZE >> SECTOR_SHIFT)
		return -EINVAL;
	if (basic->dev_sectors > LLONG_MAX >> SECTOR_SHIFT)
		return -EINVAL;
	/* Requests end at chunks and are of whole blocks: a smaller chunk would leave none. */
	if (basic->chunk_sectors & (BIT(basic->logical_bs_shift - SECTOR_SHIFT) - 1))
		return -EINVAL;
	/* 0 means none, for both. */
	if (basic->virt_boundary_mask & (basic->virt_boundary_mask + 1))
		return -EINVAL;
	return 0;
}

static int ublk_params_check_discard(const struct ublk_param_discard *discard, u32 block_bytes)
{
	if (!discard->discard_granularity || discard->discard_granularity % block_bytes ||
	    discard->discard_granularity > UBLK_PARAMS_GRANULARITY_MAX)
		return -EINVAL;
	/* Discards are cut there, and are of whole blocks. */
	if (discard->discard_alignment % block_bytes)
		return -EINVAL;
	return discard->max_discard_sectors && discard->max_discard_segments != 1 ? -EINVAL : 0;
}

static int ublk_params_check_dma(const struct ublk_param_dma_align *dma)
{
	return dma->alignment >= PAGE_SIZE || !is_power_of_2(dma->alignment + 1) ? -EINVAL : 0;
}

static int ublk_params_check_segment(const struct ublk_param_segment *segment)
{
	u64 boundary_bytes = segment->seg_boundary_mask + 1;

	/* Of a mask of all bits it is 0. */
	if (boundary_bytes < PAGE_SIZE || boundary_bytes & (boundary_bytes - 1))
		return -EINVAL;
	return segment->max_segment_size < PAGE_SIZE ? -EINVAL : 0;
}

int ublk_params_check(struct ublk_params *params, u32 max_io_bytes)
{
	u32 block_bytes;
	int result;

	if (!(params->types & UBLK_PARAM_TYPE_BASIC) || params->types & UBLK_PARAMS_REFUSED)
		return -EINVAL;
	params->types &= UBLK_PARAMS_SUPPORTED;
	result = ublk_params_check_basic(&params->basic, max_io_bytes);
	if (result)
		return result;
	block_bytes = ublk_params_block_sectors(params) << SECTOR_SHIFT;
	if (params->types & UBLK_PARAM_TYPE_DISCARD)
		result = ublk_params_check_discard(&params->discard, block_bytes);
	if (!result && params->types & UBLK_PARAM_TYPE_DMA_ALIGN)
		result = ublk_params_check_dma(&params->dma);
	if (!result && params->types & UBLK_PARAM_TYPE_SEGMENT)
		result = ublk_params_check_segment(&params->seg);
	if (!result && params->types & UBLK_PARAM_TYPE_SEGMENT &&
	    params->basic.virt_boundary_mask && params->seg.max_segment_size != UINT_MAX)
		result = -EINVAL; /* the block layer warns of this pair */
	return result;
}

static void ublk_params_limits_basic(const struct ublk_param_basic *basic,
				     struct queue_limits *limits,
				     struct compat_disk_features *features)
{
	limits->logical_block_size = BIT(basic->logical_bs_shift);
	limits->physical_block_size = BIT(basic->physical_bs_shift);
	limits->io_min = BIT(basic->io_min_shift);
	limits->io_opt = BIT(basic->io_opt_shift);
	limits->max_hw_sectors = basic->max_sectors;
	limits->chunk_sectors = basic->chunk_sectors;
	limits->virt_boundary_mask = basic->virt_boundary_mask;
	features->write_cache = basic->attrs & UBLK_ATTR_VOLATILE_CACHE;
	features->fua = features->write_cache && basic->attrs & UBLK_ATTR_FUA;
	features->rotational = basic->attrs & UBLK_ATTR_ROTATIONAL;
}

/*
 * A bio is cut where segments end. Memory that need not be aligned to blocks could put the only
 * possible cut within the first block, and there is no answer to that in the block layer.
 */
static void ublk_params_limits_alignment(const struct ublk_params *params,
					 struct queue_limits *limits)
{
	if (params->basic.virt_boundary_mask || params->types & UBLK_PARAM_TYPE_SEGMENT)
		limits->dma_alignment = max(limits->dma_alignment, limits->logical_block_size - 1);
}

/* Of whole blocks, and not more than a bio has bytes; 6.1 would cut the count off above. */
static u32 ublk_params_limit_sectors(const struct ublk_params *params, u32 most)
{
	return round_down(min_t(u32, most, UINT_MAX >> SECTOR_SHIFT),
			  ublk_params_block_sectors(params));
}

/*
 * The granularity is no less than a physical block: newer block layers make it so. A discard below
 * it would be none: the block layer sends it uncut, however large.
 */
static void ublk_params_limits_discard(const struct ublk_params *params,
				       struct queue_limits *limits)
{
	const struct ublk_param_discard *discard = &params->discard;
	u32 sectors = ublk_params_limit_sectors(params, discard->max_discard_sectors);

	limits->discard_alignment = discard->discard_alignment;
	limits->discard_granularity =
		max(discard->discard_granularity, limits->physical_block_size);
	if (sectors < limits->discard_granularity >> SECTOR_SHIFT)
		sectors = 0;
	limits->max_hw_discard_sectors = sectors;
	limits->max_write_zeroes_sectors =
		ublk_params_limit_sectors(params, discard->max_write_zeroes_sectors);
	limits->max_discard_segments = discard->max_discard_segments;
}

void ublk_params_limits(const struct ublk_params *params, struct queue_limits *limits,
			struct compat_disk_features *features)
{
	memset(limits, 0, sizeof(*limits));
	ublk_params_limits_basic(&params->basic, limits, features);
	/* The daemon is no hardware: it has no limits of segments, and copies from any address. */
	limits->seg_boundary_mask = ULONG_MAX;
	limits->max_segment_size = UINT_MAX;
	limits->max_segments = USHRT_MAX;
	limits->dma_alignment = UBLK_PARAMS_DMA_ALIGNMENT;
	if (params->types & UBLK_PARAM_TYPE_DISCARD)
		ublk_params_limits_discard(params, limits);
	if (params->types & UBLK_PARAM_TYPE_DMA_ALIGN)
		limits->dma_alignment = params->dma.alignment;
	if (params->types & UBLK_PARAM_TYPE_SEGMENT) {
		limits->seg_boundary_mask = params->seg.seg_boundary_mask;
		limits->max_segment_size = params->seg.max_segment_size;
		limits->max_segments = params->seg.max_segments;
	}
	ublk_params_limits_alignment(params, limits);
}
