/* SPDX-License-Identifier: MIT */
/* abi_parameters.c - SET_PARAMS and GET_PARAMS: what is taken, what is refused, what comes back. */
#include <stdio.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "tests/guest/ublk/abi.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct probe probe;

static struct ublk_params basic(void)
{
	struct ublk_params params = probe_params_plain();

	params.len = sizeof(params);
	params.basic.logical_bs_shift = 12;
	params.basic.physical_bs_shift = 12;
	params.basic.io_min_shift = 12;
	params.basic.io_opt_shift = 12;
	return params;
}

static int set(struct ublk_params params)
{
	return abi_call(UBLK_U_CMD_SET_PARAMS, probe.info.dev_id, &params, sizeof(params));
}

static void answer(const char *name, struct ublk_params params)
{
	char what[80];

	snprintf(what, sizeof(what), "SET_PARAMS, %s", name);
	abi_answer(what, set(params));
}

static uint32_t types_there(void)
{
	struct ublk_params params = { .len = sizeof(params) };

	probe_expect("GET_PARAMS", 0,
		     abi_call(UBLK_U_CMD_GET_PARAMS, probe.info.dev_id, &params, sizeof(params)));
	return params.types;
}

static void types(void)
{
	struct ublk_params params = basic();

	abi_answer("GET_PARAMS, types before any were set", types_there());
	params.types = 0;
	answer("no type", params);
	params.types = UBLK_PARAM_TYPE_DISCARD;
	params.discard = (struct ublk_param_discard){ .discard_granularity = ABI_PAGE_BYTES,
						      .max_discard_sectors = 8,
						      .max_discard_segments = 1 };
	answer("discards without BASIC", params);
	params.types = UBLK_PARAM_TYPE_DMA_ALIGN;
	params.dma.alignment = 511;
	answer("alignment without BASIC", params);
	params.types = UBLK_PARAM_TYPE_DEVT;
	answer("DEVT alone", params);
	abi_answer("GET_PARAMS, types after what was refused", types_there());
	params.types = UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DEVT;
	answer("DEVT and BASIC", params);
	params.types = UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_ZONED;
	answer("ZONED and BASIC", params);
	params.types = UBLK_PARAM_TYPE_BASIC | 1u << 6;
	answer("INTEGRITY and BASIC", params);
	params.types = UBLK_PARAM_TYPE_BASIC | 1u << 20;
	answer("an unknown type and BASIC", params);
	abi_answer("GET_PARAMS, types then", types_there());
	answer("BASIC", basic());
	params = basic();
	params.basic.logical_bs_shift = 1;
	answer("BASIC with a fault, after a sound one", params);
	abi_answer("GET_PARAMS, types after that", types_there());
	answer("BASIC again", basic());
}

/* The lengths in the command and in the structure. */
static void lengths(void)
{
	struct ublk_params params = basic();
	uint32_t id = probe.info.dev_id;
	const uint16_t short_bytes = offsetof(struct ublk_params, discard);
	char longer[sizeof(params) + 64] = { 0 };

	abi_answer("SET_PARAMS, len 4 in the command",
		   abi_call(UBLK_U_CMD_SET_PARAMS, id, &params, 4));
	abi_answer("SET_PARAMS, len 8 in the command",
		   abi_call(UBLK_U_CMD_SET_PARAMS, id, &params, 8));
	params.len = short_bytes;
	abi_answer("SET_PARAMS, both lengths to BASIC's end",
		   abi_call(UBLK_U_CMD_SET_PARAMS, id, &params, short_bytes));
	abi_answer("SET_PARAMS, len in the structure to BASIC's end",
		   abi_call(UBLK_U_CMD_SET_PARAMS, id, &params, sizeof(params)));
	params.len = 0;
	answer("len 0 in the structure", params);
	params.len = 8;
	answer("len 8 in the structure", params);
	params.len = sizeof(longer);
	memcpy(longer, &params, sizeof(params));
	abi_answer("SET_PARAMS, a structure longer than the driver's",
		   abi_call(UBLK_U_CMD_SET_PARAMS, id, longer, sizeof(longer)));
	abi_answer("SET_PARAMS, no buffer",
		   abi_call(UBLK_U_CMD_SET_PARAMS, id, NULL, sizeof(params)));
	params.len = sizeof(params);
	abi_answer("GET_PARAMS, len 4 in the command",
		   abi_call(UBLK_U_CMD_GET_PARAMS, id, &params, 4));
	params.len = 8;
	abi_answer("GET_PARAMS, both lengths 8", abi_call(UBLK_U_CMD_GET_PARAMS, id, &params, 8));
	params.len = 0;
	abi_answer("GET_PARAMS, len 0 in the structure",
		   abi_call(UBLK_U_CMD_GET_PARAMS, id, &params, sizeof(params)));
	params.len = sizeof(params) + 1;
	abi_answer("GET_PARAMS, len above the command's",
		   abi_call(UBLK_U_CMD_GET_PARAMS, id, &params, sizeof(params)));
	params.len = short_bytes;
	probe_expect("GET_PARAMS", 0, abi_call(UBLK_U_CMD_GET_PARAMS, id, &params, sizeof(params)));
	abi_answer("GET_PARAMS, len to BASIC's end comes back as", params.len);
	abi_answer("GET_PARAMS, no buffer",
		   abi_call(UBLK_U_CMD_GET_PARAMS, id, NULL, sizeof(params)));
}

static void shifts(void)
{
	static const struct {
		uint8_t logical, physical, io_min, io_opt;
	} rows[] = {
		{ 8, 12, 12, 12 },  { 9, 9, 9, 9 },	{ 12, 9, 12, 12 },  { 13, 13, 13, 13 },
		{ 12, 13, 12, 12 }, { 12, 31, 12, 12 }, { 12, 12, 31, 12 }, { 12, 12, 9, 12 },
		{ 12, 12, 12, 31 }, { 12, 12, 0, 0 },	{ 12, 12, 32, 12 }, { 12, 12, 12, 32 },
		{ 12, 32, 12, 12 },
	};
	char name[64];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ublk_params params = basic();

		params.basic.logical_bs_shift = rows[i].logical;
		params.basic.physical_bs_shift = rows[i].physical;
		params.basic.io_min_shift = rows[i].io_min;
		params.basic.io_opt_shift = rows[i].io_opt;
		snprintf(name, sizeof(name), "shifts %u %u, io_min %u, io_opt %u", rows[i].logical,
			 rows[i].physical, rows[i].io_min, rows[i].io_opt);
		answer(name, params);
	}
}

/* One field at a time is off what is sound. */
static void sizes(void)
{
#define BASIC(field)                                                                               \
	offsetof(struct ublk_param_basic, field), sizeof(((struct ublk_param_basic *)NULL)->field)
	static const struct {
		const char *name;
		size_t offset, bytes;
		uint64_t value;
	} rows[] = {
		{ "max_sectors above the buffer", BASIC(max_sectors),
		  PROBE_BUFFER_BYTES / 512 + 1 },
		{ "max_sectors below a page", BASIC(max_sectors), 7 },
		{ "max_sectors 0", BASIC(max_sectors), 0 },
		{ "max_sectors of no whole blocks", BASIC(max_sectors), 9 },
		{ "dev_sectors 0", BASIC(dev_sectors), 0 },
		{ "dev_sectors of no whole blocks", BASIC(dev_sectors), 9 },
		{ "dev_sectors 2^54", BASIC(dev_sectors), 1ULL << 54 },
		{ "dev_sectors 2^64 - 1", BASIC(dev_sectors), UINT64_MAX },
		{ "chunk_sectors below a block", BASIC(chunk_sectors), 7 },
		{ "chunk_sectors no power of two", BASIC(chunk_sectors), 24 },
		{ "virt_boundary_mask no mask", BASIC(virt_boundary_mask), 4094 },
		{ "virt_boundary_mask below a page", BASIC(virt_boundary_mask), 511 },
		{ "virt_boundary_mask of a page", BASIC(virt_boundary_mask), 4095 },
		{ "an unknown attribute", BASIC(attrs), 1u << 10 },
		{ "FUA without a cache", BASIC(attrs), UBLK_ATTR_FUA },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ublk_params params = basic();

		/* The value's low bytes: x86 and arm64 have them first. */
		memcpy((char *)&params.basic + rows[i].offset, &rows[i].value, rows[i].bytes);
		answer(rows[i].name, params);
	}
#undef BASIC
}

static void discards(void)
{
	static const struct {
		uint32_t granularity, sectors, zeroes, alignment;
		uint16_t segments;
	} rows[] = {
		{ 4096, 8, 8, 0, 1 },	    { 0, 8, 0, 0, 1 },
		{ 0, 0, 8, 0, 1 },	    { 0, 0, 0, 0, 0 },
		{ 512, 8, 0, 0, 1 },	    { 4096, 8, 0, 0, 0 },
		{ 4096, 8, 0, 0, 2 },	    { 4096, 0, 0, 0, 2 },
		{ 4608, 9, 0, 0, 1 },	    { 12288, 24, 0, 0, 1 },
		{ 8192, 8, 0, 0, 1 },	    { 65536, 128, 0, 4096, 1 },
		{ 65536, 128, 0, 512, 1 },  { 65536, 128, 0, 65536, 1 },
		{ 4096, 8, 0, 100, 1 },	    { 1u << 31, 8, 0, 0, 1 },
		{ UINT32_MAX, 8, 0, 0, 1 }, { 4096, UINT32_MAX, UINT32_MAX, 0, 1 },
	};
	struct ublk_params params = basic();
	char name[100];

	params.types |= UBLK_PARAM_TYPE_DISCARD;
	for (size_t i = 0; i < COUNT(rows); i++) {
		params.discard = (struct ublk_param_discard){
			.discard_granularity = rows[i].granularity,
			.max_discard_sectors = rows[i].sectors,
			.max_write_zeroes_sectors = rows[i].zeroes,
			.discard_alignment = rows[i].alignment,
			.max_discard_segments = rows[i].segments,
		};
		snprintf(name, sizeof(name),
			 "granularity %u, %u sectors, zeroes %u, alignment %u, segments %u",
			 rows[i].granularity, rows[i].sectors, rows[i].zeroes, rows[i].alignment,
			 rows[i].segments);
		answer(name, params);
	}
	params.discard.reserved0 = 1;
	params.discard.max_discard_sectors = 8;
	params.discard.max_write_zeroes_sectors = 0;
	answer("discards with reserved0 set", params);
	/* A discard of less than a physical block. */
	params.discard.reserved0 = 0;
	params.basic.physical_bs_shift = 16;
	params.discard.discard_granularity = ABI_PAGE_BYTES;
	answer("granularity below the physical block", params);
}

static void memory(void)
{
	static const uint32_t masks[] = { 0, 2, 3, 511, 1023, 4095, 4096, 8191, UINT32_MAX };
	static const struct {
		uint64_t boundary;
		uint32_t size;
		uint16_t count;
	} rows[] = {
		{ 4095, 4096, 1 },    { 0, 4096, 1 },
		{ 4095, 0, 1 },	      { 4095, 4096, 0 },
		{ 2047, 4096, 1 },    { 4095, 2048, 1 },
		{ 0x1ffe, 4096, 1 },  { UINT64_MAX, UINT32_MAX, 128 },
		{ 65535, 8192, 128 }, { 4095, 4097, 128 },
	};
	struct ublk_params params = basic();
	char name[100];

	params.types |= UBLK_PARAM_TYPE_DMA_ALIGN;
	for (size_t i = 0; i < COUNT(masks); i++) {
		params.dma.alignment = masks[i];
		snprintf(name, sizeof(name), "alignment mask %u", masks[i]);
		answer(name, params);
	}
	params.dma.alignment = 511;
	params.dma.pad[0] = 1;
	answer("alignment with its padding set", params);
	params = basic();
	params.types |= UBLK_PARAM_TYPE_SEGMENT;
	for (size_t i = 0; i < COUNT(rows); i++) {
		params.seg = (struct ublk_param_segment){ .seg_boundary_mask = rows[i].boundary,
							  .max_segment_size = rows[i].size,
							  .max_segments = rows[i].count };
		snprintf(name, sizeof(name), "segments of boundary %#llx, size %u, count %u",
			 (unsigned long long)rows[i].boundary, rows[i].size, rows[i].count);
		answer(name, params);
	}
	params.basic.virt_boundary_mask = 4095;
	params.seg = (struct ublk_param_segment){ 65535, 8192, 128, { 0 } };
	answer("a virtual boundary and segments of 8192", params);
}

/* When it is too late for new ones. */
static void moments(void)
{
	probe_run(&probe, UBLK_F_USER_RECOVERY, ABI_DEPTH);
	answer("of a live device", basic());
	probe_close(&probe);
	probe_await_state(probe.info.dev_id, UBLK_S_DEV_QUIESCED);
	answer("of a quiesced device", basic());
	probe_expect("STOP_DEV", 0, probe_control(UBLK_U_CMD_STOP_DEV, probe.info.dev_id, 0));
	answer("of a stopped device", basic());
	control_close(&probe.control);
	abi_delete(&probe);
}

void abi_parameters(void)
{
	abi_add(&probe, 0);
	types();
	lengths();
	shifts();
	sizes();
	discards();
	memory();
	abi_delete(&probe);
	moments();
}
