/* SPDX-License-Identifier: MIT */
/*
 * options.h - what ublk_server was told to do. Read once from the command line, constant afterwards.
 */
#ifndef TESTS_GUEST_UBLK_OPTIONS_H
#define TESTS_GUEST_UBLK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/ublk_cmd.h"

/* Exit status for "this kernel's driver has not got what was asked for". */
#define EXIT_SKIP 77

/* Moments of a device's start at which the server can be told to die by SIGKILL. */
enum moment {
	MOMENT_NONE,
	MOMENT_ADDED,	/* behind ADD_DEV */
	MOMENT_FETCHED, /* every command is issued, before START_DEV */
	MOMENT_STARTED, /* behind START_DEV */
};

struct options {
	const char *verb;
	uint32_t id; /* UINT32_MAX: the driver chooses */
	uint32_t queues, depth, threads;
	uint32_t max_io_bytes;
	uint64_t size_bytes;
	const char *file; /* the loop target's; NULL: the null target */
	uint64_t features;
	uint64_t queue; /* affinity's */
	bool daemonize, legacy, with_path, async;
	bool reverse;	  /* requests of one turn are answered last come, first served */
	const char *ring; /* plain, coop or defer: flags of the queues' io_urings */
	uint32_t timeout_ms;
	uint32_t tag; /* the upper half of ublksrv_flags, above our process number; 0: it is 0 */
	uint32_t uid; /* who asks, user and group; 0: root */

	struct ublk_params params;
	uint64_t block_bytes, physical_bytes, discard_bytes, max_segments, max_segment_bytes;
	uint64_t segment_boundary, dma_align, chunk_bytes, max_sectors, io_min_bytes, io_opt_bytes;
	bool read_only, fua, cache, rotational;

	/* Faults. Numbers count requests of the whole server; 0 is never. */
	enum moment crash_at;
	uint64_t hold_after;  /* later requests are taken and never answered */
	uint64_t die_after;   /* the thread that takes this one ends, alone */
	uint64_t crash_after; /* the process dies by SIGKILL when it takes this one */
	uint64_t delay_us;    /* before each answer */
};

/* Exits with 2 and a sentence when there is something wrong with them. */
void options_read(struct options *options, int argc, char **argv);

#endif
