/* SPDX-License-Identifier: MIT */
/*
 * cases_operations.c - each request of the disk's user reaches the daemon as what it is, and the disk has
 * the limits that its parameters say. What a driver did not pass on the block layer would make up for by
 * other means, unseen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"

#define DEPTH	     4
#define PAGE_BYTES   4096u
#define SECTOR_BYTES 512u
#define PLACE_BYTES  (64u << 10)
#define LENGTH_BYTES (2 * PAGE_BYTES)
#define FLAGS	     (UBLK_IO_F_FUA | UBLK_IO_F_NOUNMAP)

static struct probe probe;

static struct ublk_params everything(void)
{
	return (struct ublk_params){
		.types = UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD,
		.basic = { .attrs = UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA,
			   .logical_bs_shift = 9,
			   .physical_bs_shift = 12,
			   .io_min_shift = 12,
			   .io_opt_shift = 16,
			   .max_sectors = PROBE_BUFFER_BYTES / SECTOR_BYTES,
			   .dev_sectors = PROBE_SIZE_BYTES / SECTOR_BYTES },
		.discard = { .discard_granularity = PAGE_BYTES,
			     .max_discard_sectors = 256,
			     .max_write_zeroes_sectors = 128,
			     .max_discard_segments = 1 },
	};
}

/* A file of the disk's queue in sysfs, its line's end removed. */
static const char *queue_file(const char *name)
{
	static char value[40];
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/%s", probe.info.dev_id, name);
	file = fopen(path, "r");
	if (!file || !fgets(value, sizeof(value), file))
		probe_die("%s: %s", path, strerror(errno));
	fclose(file);
	value[strcspn(value, "\n")] = '\0';
	return value;
}

static void expect_queue_file(const char *name, const char *wanted)
{
	const char *value = queue_file(name);

	if (strcmp(value, wanted))
		probe_die("queue/%s: wanted %s, is %s", name, wanted, value);
}

static void start_with(struct ublk_params params)
{
	probe_add(&probe, 0, DEPTH);
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe.control, probe.info.dev_id, &params));
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
}

/* The request itself; what the block layer sends after it (a FLUSH, of a WRITE with O_DSYNC) is served. */
static void operation(uint32_t op, uint32_t flags)
{
	const bool moves = op == UBLK_IO_OP_READ || op == UBLK_IO_OP_WRITE;
	struct disk_io io = { .offset_bytes = PLACE_BYTES };
	const struct ublksrv_io_desc *desc;
	uint16_t tag;

	disk_io_start(&io, &probe, op | (flags & UBLK_IO_F_FUA), LENGTH_BYTES);
	tag = probe_take(&probe, op);
	desc = &probe.descs[tag];
	printf("%#x ", desc->op_flags);
	probe_expect("the request's flags", flags, desc->op_flags & FLAGS);
	if (op != UBLK_IO_OP_FLUSH) {
		probe_expect("its place", PLACE_BYTES / SECTOR_BYTES, (int64_t)desc->start_sector);
		probe_expect("its length", LENGTH_BYTES / SECTOR_BYTES, desc->nr_sectors);
	}
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, moves ? LENGTH_BYTES : 0);
	while (!atomic_load(&io.done))
		probe_serve(&probe, 10);
	probe_expect("the user's result", moves ? LENGTH_BYTES : 0,
		     disk_io_wait(&io, PROBE_TIMEOUT_MS));
}

static void operations(void)
{
	start_with(everything());
	operation(UBLK_IO_OP_READ, 0);
	operation(UBLK_IO_OP_WRITE, 0);
	operation(UBLK_IO_OP_WRITE, UBLK_IO_F_FUA);
	operation(UBLK_IO_OP_FLUSH, 0);
	operation(UBLK_IO_OP_DISCARD, 0);
	operation(UBLK_IO_OP_WRITE_ZEROES, UBLK_IO_F_NOUNMAP);
	probe_end(&probe);
}

/* All types of parameters at once, as they come back and as the disk has them. */
static void params_read_back(void)
{
	struct ublk_params set = everything(), got = { 0 };

	set.types |= UBLK_PARAM_TYPE_DMA_ALIGN | UBLK_PARAM_TYPE_SEGMENT;
	set.dma.alignment = 1023;
	set.seg = (struct ublk_param_segment){ .seg_boundary_mask = (64u << 10) - 1,
					       .max_segment_size = 32u << 10,
					       .max_segments = 5 };
	start_with(set);
	probe_expect("GET_PARAMS", 0, control_params_get(&probe.control, probe.info.dev_id, &got));
	probe_expect("types", set.types | UBLK_PARAM_TYPE_DEVT, got.types);
	probe_expect("basic ones differ", 0, memcmp(&set.basic, &got.basic, sizeof(got.basic)));
	probe_expect("those of discards differ", 0,
		     memcmp(&set.discard, &got.discard, sizeof(got.discard)));
	probe_expect("those of alignment differ", 0, memcmp(&set.dma, &got.dma, sizeof(got.dma)));
	probe_expect("those of segments differ", 0, memcmp(&set.seg, &got.seg, sizeof(got.seg)));
	expect_queue_file("write_cache", "write back");
	expect_queue_file("fua", "1");
	expect_queue_file("logical_block_size", "512");
	expect_queue_file("physical_block_size", "4096");
	expect_queue_file("minimum_io_size", "4096");
	expect_queue_file("optimal_io_size", "65536");
	expect_queue_file("max_hw_sectors_kb", "128");
	expect_queue_file("discard_granularity", "4096");
	expect_queue_file("discard_max_bytes", "131072");
	expect_queue_file("write_zeroes_max_bytes", "65536");
	expect_queue_file("dma_alignment", "1023");
	expect_queue_file("max_segments", "5");
	expect_queue_file("max_segment_size", "32768");
	probe_end(&probe);
}

/* Who asks for no limits of segments and no alignment has none, but that of the kernel's own driver. */
static void params_no_limits(void)
{
	struct disk_io io = { 0 }, odd = { 0 };
	uint16_t tag;

	start_with(probe_params_plain());
	expect_queue_file("max_segments", "65535");
	expect_queue_file("max_segment_size", "4294967295");
	expect_queue_file("dma_alignment", "3");
	disk_io_write(&io, &probe, 'a', LENGTH_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, LENGTH_BYTES);
	probe_expect("a write", LENGTH_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	odd.data = io.data + 4;
	disk_io_start(&odd, &probe, UBLK_IO_OP_READ, LENGTH_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("its length", LENGTH_BYTES / SECTOR_BYTES, probe.descs[tag].nr_sectors);
	memset(probe_buffer(&probe, tag), 'b', LENGTH_BYTES);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, LENGTH_BYTES);
	probe_expect("a read into memory at a multiple of 4", LENGTH_BYTES,
		     disk_io_wait(&odd, PROBE_TIMEOUT_MS));
	if (io.data[3] != 'a' || odd.data[0] != 'b' || odd.data[LENGTH_BYTES - 1] != 'b' ||
	    odd.data[LENGTH_BYTES] != 0)
		probe_die("the read has other bytes than were given");
	probe_end(&probe);
}

/*
 * A discard is of whole physical blocks for newer block layers, which send one below that uncut, however
 * large: a daemon whose discards are smaller gets none.
 */
static void discards_below_the_physical_block(void)
{
	struct ublk_params params = everything();

	params.basic.physical_bs_shift = 16;
	params.discard.max_discard_sectors = PAGE_BYTES / SECTOR_BYTES;
	start_with(params);
	expect_queue_file("discard_max_bytes", "0");
	probe_end(&probe);
	params.discard.max_discard_sectors = 256;
	start_with(params);
	expect_queue_file("discard_max_bytes", "131072");
	expect_queue_file("discard_granularity", "65536");
	probe_end(&probe);
}

#define LARGE_BYTES (5ULL << 30)

/* All of a disk above 4 GiB, for a daemon that has no limit: it is told of every byte. */
static void zeroes_without_limit(void)
{
	struct ublk_params params = everything();
	uint64_t range[2] = { 0, LARGE_BYTES }, told_bytes = 0;
	char path[CONTROL_PATH_BYTES];
	int status, disk;
	uint16_t tag;
	pid_t child;

	params.basic.logical_bs_shift = 12;
	params.basic.dev_sectors = LARGE_BYTES / SECTOR_BYTES;
	params.discard.max_discard_sectors = UINT32_MAX;
	params.discard.max_write_zeroes_sectors = UINT32_MAX;
	start_with(params);
	snprintf(path, sizeof(path), "/dev/ublkb%u", probe.info.dev_id);
	child = fork();
	if (!child) {
		disk = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
		_exit(disk < 0 || ioctl(disk, BLKZEROOUT, range));
	}
	while (told_bytes < LARGE_BYTES) {
		/* 0: all of it, which is more than the result can say. */
		tag = probe_take(&probe, UBLK_IO_OP_WRITE_ZEROES);
		told_bytes += (uint64_t)probe.descs[tag].nr_sectors * SECTOR_BYTES;
		probe_expect("sectors within a block", 0, probe.descs[tag].nr_sectors % 8);
		probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, 0);
	}
	probe_serve(&probe, 100);
	if (waitpid(child, &status, 0) != child || status)
		probe_die("BLKZEROOUT: status %#x", status);
	probe_expect("bytes told of", LARGE_BYTES, (int64_t)told_bytes);
	probe_end(&probe);
}

/* One queue: no scheduler is put before it. That says something where the kernel has one to put, as 6.1 does. */
static void no_scheduler(void)
{
	const char *schedulers;
	struct utsname kernel;

	start_with(probe_params_plain());
	schedulers = queue_file("scheduler");
	if (!strstr(schedulers, "[none]"))
		probe_die("the scheduler is %s", schedulers);
	if (!strstr(schedulers, "mq-deadline")) {
		printf("there is no other to choose ");
		if (!uname(&kernel) && !strncmp(kernel.release, "6.1.", 4))
			probe_die("6.1 has mq-deadline");
	}
	probe_end(&probe);
}

/* --- as many tags as the ABI has ----------------------------------------------------------------------- */

/* The ring of the disk's user: one READ of a block each. */
static void read_everywhere(struct io_uring *ring, char *data, int disk)
{
	for (uint32_t i = 0; i < UBLK_MAX_QUEUE_DEPTH; i++) {
		struct io_uring_sqe *sqe = probe_sqe(ring);

		io_uring_prep_read(sqe, disk, data + (size_t)i * SECTOR_BYTES, SECTOR_BYTES,
				   (uint64_t)i * 2 * SECTOR_BYTES);
		sqe->user_data = i;
	}
	if (io_uring_submit(ring) != UBLK_MAX_QUEUE_DEPTH)
		probe_die("not all reads could be submitted");
}

/* Each tag once: its block is filled with the place that it was asked for. */
static void answer_all(void)
{
	static bool seen[UBLK_MAX_QUEUE_DEPTH];
	uint16_t tag = 0;

	for (uint32_t i = 0; i < UBLK_MAX_QUEUE_DEPTH; i++) {
		probe_expect("a request", UBLK_IO_RES_OK,
			     probe_wait(&probe, &tag, PROBE_TIMEOUT_MS));
		if (tag >= UBLK_MAX_QUEUE_DEPTH || seen[tag])
			probe_die("tag %u comes twice, or does not exist", tag);
		seen[tag] = true;
	}
	for (uint32_t i = 0; i < UBLK_MAX_QUEUE_DEPTH; i++) {
		char *buffer = probe.buffers + (size_t)i * SECTOR_BYTES;

		memcpy(buffer, &probe.descs[i].start_sector, sizeof(uint64_t));
		probe_send_at(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, (uint16_t)i, SECTOR_BYTES,
			      (uintptr_t)buffer);
	}
}

static void expect_places(struct io_uring *ring, const char *data)
{
	for (uint32_t i = 0; i < UBLK_MAX_QUEUE_DEPTH; i++) {
		struct io_uring_cqe *cqe;
		uint64_t sector;

		if (io_uring_wait_cqe(ring, &cqe))
			probe_die("no completion");
		probe_expect("a read", SECTOR_BYTES, cqe->res);
		memcpy(&sector, data + cqe->user_data * SECTOR_BYTES, sizeof(sector));
		probe_expect("its data", (int64_t)cqe->user_data * 2, (int64_t)sector);
		io_uring_cqe_seen(ring, cqe);
	}
}

/* No scheduler, which would hold some back, and no merging. */
static int open_plain(void)
{
	uint32_t id = probe.info.dev_id;
	char path[CONTROL_PATH_BYTES];
	int disk;

	probe_set_queue(id, "scheduler", "none");
	probe_set_queue(id, "nomerges", "2");
	probe_set_queue(id, "nr_requests", "4096");
	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	disk = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (disk < 0)
		probe_die("%s: %s", path, strerror(errno));
	return disk;
}

/* Depth 4096 is granted, and so many requests are with the daemon at one time. */
static void depth_4096(void)
{
	struct ublk_params params = probe_params_plain();
	struct io_uring user;
	char *data = mmap(NULL, (size_t)UBLK_MAX_QUEUE_DEPTH * SECTOR_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int disk;

	probe_add(&probe, 0, UBLK_MAX_QUEUE_DEPTH);
	probe_expect("the depth granted", UBLK_MAX_QUEUE_DEPTH, probe.info.queue_depth);
	params.basic.max_sectors = PAGE_BYTES / SECTOR_BYTES;
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe.control, probe.info.dev_id, &params));
	probe_open(&probe, 0);
	io_uring_queue_exit(&probe.ring);
	if (data == MAP_FAILED || io_uring_queue_init(UBLK_MAX_QUEUE_DEPTH, &probe.ring, 0) ||
	    io_uring_queue_init(UBLK_MAX_QUEUE_DEPTH, &user, 0))
		probe_die("no ring of %d entries", UBLK_MAX_QUEUE_DEPTH);
	for (uint32_t tag = 0; tag < UBLK_MAX_QUEUE_DEPTH; tag++)
		probe_send_at(&probe, UBLK_U_IO_FETCH_REQ, (uint16_t)tag, 0,
			      (uintptr_t)(probe.buffers + (size_t)tag * SECTOR_BYTES));
	probe_start(&probe);
	disk = open_plain();
	read_everywhere(&user, data, disk);
	answer_all();
	expect_places(&user, data);
	close(disk);
	probe_end(&probe);
}

const struct probe_case cases_operations[] = {
	{ "operations", operations },
	{ "params-read-back", params_read_back },
	{ "params-no-limits", params_no_limits },
	{ "discards-below-the-physical-block", discards_below_the_physical_block },
	{ "zeroes-without-limit", zeroes_without_limit },
	{ "no-scheduler", no_scheduler },
	{ "depth-4096", depth_4096 },
	{ NULL, NULL },
};
