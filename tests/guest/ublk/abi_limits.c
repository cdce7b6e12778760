/* SPDX-License-Identifier: MIT */
/* abi_limits.c - the limits that a disk has in sysfs, of the parameters that its daemon gave. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/guest/ublk/abi.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct probe probe;

static const char *const files[] = {
	"logical_block_size",
	"physical_block_size",
	"minimum_io_size",
	"optimal_io_size",
	"max_hw_sectors_kb",
	"max_sectors_kb",
	"chunk_sectors",
	"max_segments",
	"max_segment_size",
	"virt_boundary_mask",
	"dma_alignment",
	"discard_granularity",
	"discard_max_bytes",
	"discard_max_hw_bytes",
	"write_zeroes_max_bytes",
	"max_discard_segments",
	"write_cache",
	"fua",
	"rotational",
	"io_poll",
	"stable_writes",
	"add_random",
	"write_zeroes_unmap_max_bytes",
	"atomic_write_max_bytes",
	"../alignment_offset",
	"../discard_alignment",
	"../ro",
	"../size",
	"../removable",
};

/* Of the same disk as the first, only what differs from that is told. */
static char first[COUNT(files)][64];

static void tell(const char *name, bool is_first)
{
	char path[120], value[64], what[120];

	for (size_t i = 0; i < COUNT(files); i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/%s", probe.info.dev_id,
			 files[i]);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (!fgets(value, sizeof(value), file))
			value[0] = '\0';
		fclose(file);
		value[strcspn(value, "\n")] = '\0';
		snprintf(what, sizeof(what), "disk, %s: %s", name, files[i]);
		if (is_first)
			strcpy(first[i], value);
		if (is_first || strcmp(first[i], value))
			abi_words(what, "%s", value);
	}
}

static void disk(const char *name, struct ublk_params params, bool is_first)
{
	int result;

	probe_add(&probe, 0, ABI_DEPTH);
	result = control_params_set(&probe.control, probe.info.dev_id, &params);
	if (result) {
		char what[120];

		snprintf(what, sizeof(what), "disk, %s", name);
		abi_answer(what, result);
		control_close(&probe.control);
		abi_delete(&probe);
		return;
	}
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
	tell(name, is_first);
	probe_end(&probe);
}

static struct ublk_params with_discards(uint32_t granularity, uint32_t sectors, uint32_t alignment)
{
	struct ublk_params params = probe_params_plain();

	params.types |= UBLK_PARAM_TYPE_DISCARD;
	params.discard = (struct ublk_param_discard){ .discard_alignment = alignment,
						      .discard_granularity = granularity,
						      .max_discard_sectors = sectors,
						      .max_write_zeroes_sectors = sectors,
						      .max_discard_segments = 1 };
	return params;
}

void abi_limits(void)
{
	struct ublk_params params = probe_params_plain();

	disk("BASIC alone", params, true);
	params.basic.attrs = UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA | UBLK_ATTR_ROTATIONAL |
			     UBLK_ATTR_READ_ONLY;
	disk("all attributes", params, false);
	params = probe_params_plain();
	params.basic.attrs = UBLK_ATTR_FUA;
	disk("FUA alone", params, false);
	params = probe_params_plain();
	params.basic.physical_bs_shift = 12;
	params.basic.io_min_shift = 13;
	params.basic.io_opt_shift = 16;
	params.basic.chunk_sectors = 128;
	disk("larger blocks and chunks", params, false);
	params = probe_params_plain();
	params.basic.virt_boundary_mask = 4095;
	disk("a virtual boundary", params, false);
	params = probe_params_plain();
	params.types |= UBLK_PARAM_TYPE_DMA_ALIGN;
	params.dma.alignment = 1023;
	disk("alignment 1023", params, false);
	params = probe_params_plain();
	params.types |= UBLK_PARAM_TYPE_SEGMENT;
	params.seg = (struct ublk_param_segment){ 65535, 8192, 64, { 0 } };
	disk("segments", params, false);
	params.seg.max_segments = 0;
	disk("segments of count 0", params, false);
	params = probe_params_plain();
	params.types |= UBLK_PARAM_TYPE_DMA_ALIGN;
	disk("alignment 0", params, false);
	disk("discards", with_discards(4096, 256, 0), false);
	disk("discards without limit", with_discards(4096, UINT32_MAX, 0), false);
	disk("discards, an alignment of 4096", with_discards(65536, 256, 4096), false);
	disk("discards below their granularity", with_discards(65536, 8, 0), false);
	params = with_discards(4096, 256, 0);
	params.basic.physical_bs_shift = 16;
	disk("discards below the physical block", params, false);
	params.discard.max_discard_sectors = 8;
	disk("a discard below the physical block", params, false);
	params = with_discards(4096, 257, 0);
	params.basic.logical_bs_shift = params.basic.physical_bs_shift = 12;
	disk("discards of no whole blocks", params, false);
}
