/* SPDX-License-Identifier: MIT */
/*
 * cases_answers.c - what a daemon may answer and what becomes of the request: results, buffers,
 * copies, GET_DATA. Hazard 19 of kernel/README.md, and a copy that is under way when it matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/guest/ublk/arena.h"
#include "tests/guest/ublk/probe.h"

#define FETCH	   UBLK_U_IO_FETCH_REQ
#define COMMIT	   UBLK_U_IO_COMMIT_AND_FETCH_REQ
#define GET_DATA   UBLK_U_IO_NEED_GET_DATA
#define DEPTH	   4
#define PAGE_BYTES 4096u

static struct probe probe;

/* One request, one answer: the result that the disk's user gets. */
static int answered(uint32_t op, uint32_t bytes, int result)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	disk_io_start(&io, &probe, op, bytes);
	tag = probe_take(&probe, op & 0xff);
	probe_send(&probe, COMMIT, tag, result);
	return disk_io_wait(&io, PROBE_TIMEOUT_MS);
}

static void h19_zero_bytes(void)
{
	probe_run(&probe, 0, DEPTH);
	probe_expect("a READ with nothing", -EIO, answered(UBLK_IO_OP_READ, PAGE_BYTES, 0));
	probe_expect("a WRITE with nothing", -EIO, answered(UBLK_IO_OP_WRITE, PAGE_BYTES, 0));
	probe_expect("a READ with less than a block", -EIO,
		     answered(UBLK_IO_OP_READ, PAGE_BYTES, 100));
	probe_end(&probe);
}

/* What was not done is asked for again. */
static void h19_short(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	probe_run(&probe, 0, DEPTH);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, 4 * PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("sectors", 32, probe.descs[tag].nr_sectors);
	memset(probe_buffer(&probe, tag), 'a', PAGE_BYTES);
	probe_send(&probe, COMMIT, tag, PAGE_BYTES + 100);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("the rest's first sector", 8, (int64_t)probe.descs[tag].start_sector);
	probe_expect("the rest's sectors", 24, probe.descs[tag].nr_sectors);
	memset(probe_buffer(&probe, tag), 'b', 3 * (size_t)PAGE_BYTES);
	probe_send(&probe, COMMIT, tag, 3 * PAGE_BYTES);
	probe_expect("the read", 4 * PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	if (io.data[0] != 'a' || io.data[PAGE_BYTES - 1] != 'a' || io.data[PAGE_BYTES] != 'b' ||
	    io.data[4 * PAGE_BYTES - 1] != 'b')
		probe_die("the read has other bytes than were given");
	probe_end(&probe);
}

static void h19_too_many_bytes(void)
{
	static const int results[] = { PAGE_BYTES + 1, PROBE_BUFFER_BYTES, 1 << 30, INT32_MAX };

	probe_run(&probe, 0, DEPTH);
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		probe_expect("a READ with too much", PAGE_BYTES,
			     answered(UBLK_IO_OP_READ, PAGE_BYTES, results[i]));
		probe_expect("a WRITE with too much", PAGE_BYTES,
			     answered(UBLK_IO_OP_WRITE, PAGE_BYTES, results[i]));
	}
	probe_end(&probe);
}

/* --- errors ------------------------------------------------------------------------------------------- */

/* With a cache that is flushed, with discards and zeroes: every operation comes to the daemon. */
static void run_with_all_operations(void)
{
	struct ublk_params params = probe_params_plain();

	probe_add(&probe, 0, DEPTH);
	params.types |= UBLK_PARAM_TYPE_DISCARD;
	params.basic.attrs |= UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA;
	params.discard = (struct ublk_param_discard){ .discard_granularity = PAGE_BYTES,
						      .max_discard_sectors = 256,
						      .max_write_zeroes_sectors = 256,
						      .max_discard_segments = 1 };
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe.control, probe.info.dev_id, &params));
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
}

struct error_row {
	int answer, seen;
};

/* A disk's errors are themselves; what would mean something to those above is EIO. */
static const struct error_row error_rows[] = {
	{ -EIO, -EIO },		 { -ENOSPC, -ENOSPC }, { -ETIMEDOUT, -ETIMEDOUT },
	{ -ENOLINK, -ENOLINK },	 { -EILSEQ, -EILSEQ }, { -EOPNOTSUPP, -EIO },
	{ -EREMOTEIO, -EIO },	 { -ENODATA, -EIO },   { -EAGAIN, -EIO },
	{ -ENOMEM, -EIO },	 { -EBUSY, -EIO },     { -EPERM, -EIO },
	{ -EINTR, -EIO },	 { -ENODEV, -EIO },    { -EBADE, -EIO },
	{ -EREMCHG, -EIO },	 { -ECANCELED, -EIO }, { -ETIME, -EIO },
	{ -ETOOMANYREFS, -EIO }, { -EOVERFLOW, -EIO }, { -EINVAL, -EIO },
	{ -4095, -EIO },	 { INT32_MIN, -EIO },
};

static void errors_of(const char *what, uint32_t op, uint32_t bytes)
{
	for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++) {
		char text[60];

		snprintf(text, sizeof(text), "%s that is answered with %d", what,
			 error_rows[i].answer);
		probe_expect(text, error_rows[i].seen, answered(op, bytes, error_rows[i].answer));
	}
}

static void errnos(void)
{
	run_with_all_operations();
	errors_of("a READ", UBLK_IO_OP_READ, PAGE_BYTES);
	errors_of("a WRITE", UBLK_IO_OP_WRITE, PAGE_BYTES);
	errors_of("a WRITE with FUA", UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, PAGE_BYTES);
	errors_of("a FLUSH", UBLK_IO_OP_FLUSH, 0);
	probe_expect("a READ afterwards", PAGE_BYTES,
		     answered(UBLK_IO_OP_READ, PAGE_BYTES, PAGE_BYTES));
	probe_end(&probe);
}

/* What may be left out: the block layer is told that this disk does not do it, and no more than that. */
static void errnos_of_hints(void)
{
	run_with_all_operations();
	probe_expect("a hole that is not supported", -EOPNOTSUPP,
		     answered(DISK_IO_PUNCH, PAGE_BYTES, -EOPNOTSUPP));
	probe_expect("a hole that cannot be made", -EIO,
		     answered(DISK_IO_PUNCH, PAGE_BYTES, -EREMOTEIO));
	probe_expect("a hole without room", -ENOSPC, answered(DISK_IO_PUNCH, PAGE_BYTES, -ENOSPC));
	probe_expect("a discard that is not supported is none", 0,
		     answered(UBLK_IO_OP_DISCARD, PAGE_BYTES, -EOPNOTSUPP));
	probe_expect("a discard that failed", -EIO,
		     answered(UBLK_IO_OP_DISCARD, PAGE_BYTES, -EAGAIN));
	probe_end(&probe);
}

/* --- buffers ------------------------------------------------------------------------------------------ */

static void fetch_address_zero(void)
{
	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, 0);
	probe_expect("FETCH with address 0", -EINVAL, probe_ask_at(&probe, FETCH, 0, 0, 0));
	probe_fetch_all(&probe);
	probe_start(&probe);
	probe_end(&probe);
}

/* Each tag's buffer is at an odd address: allowed, and no byte is lost. */
static void odd_address(void)
{
	struct disk_io io = { 0 };
	char *buffer;
	uint16_t tag;

	probe_add(&probe, 0, 1);
	probe_open(&probe, 0);
	buffer = probe_buffer(&probe, 0) + 4093;
	probe_send_at(&probe, FETCH, 0, 0, (uintptr_t)buffer);
	probe_start(&probe);
	/* The partition scan of a driver that cannot leave it out has moved the buffer. */
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_send_at(&probe, COMMIT, tag, PAGE_BYTES, (uintptr_t)buffer);
	probe_expect("a read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	disk_io_write(&io, &probe, 'w', 2 * PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	probe_send_at(&probe, COMMIT, tag, 2 * PAGE_BYTES, (uintptr_t)buffer);
	probe_expect("a write", 2 * PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* The address of the next request's buffer is in the COMMIT of the last. */
static void next_buffer(uint16_t tag, void *address)
{
	struct disk_io io = { 0 };

	disk_io_start(&io, &probe, UBLK_IO_OP_FLUSH, 0);
	probe_expect("the request before", tag, probe_take(&probe, UBLK_IO_OP_FLUSH));
	probe_send_at(&probe, COMMIT, tag, 0, (uintptr_t)address);
	probe_expect("a flush", 0, disk_io_wait(&io, PROBE_TIMEOUT_MS));
}

static void add_with_cache(void)
{
	struct ublk_params params;

	probe_add(&probe, 0, 1);
	if (control_params_get(&probe.control, probe.info.dev_id, &params) < 0)
		probe_die("GET_PARAMS");
	params.basic.attrs |= UBLK_ATTR_VOLATILE_CACHE;
	params.types = UBLK_PARAM_TYPE_BASIC;
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe.control, probe.info.dev_id, &params));
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
}

/* Memory that cannot be written, or is none: the WRITE fails, at once and not for ever. */
static void bad_buffer_write(void)
{
	char *none = mmap(NULL, PROBE_BUFFER_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *addresses[] = { none, (void *)8, (void *)probe_die, (void *)ARENA_KERNEL };
	struct disk_io io = { 0 };

	add_with_cache();
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		next_buffer(0, addresses[i]);
		disk_io_start(&io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
		probe_expect("a WRITE that cannot be handed over", -EIO,
			     disk_io_wait(&io, PROBE_TIMEOUT_MS));
		probe_expect("its command still waits", -ETIME, probe_wait(&probe, NULL, 50));
	}
	next_buffer(0, probe_buffer(&probe, 0));
	probe_expect("a WRITE afterwards", PAGE_BYTES,
		     answered(UBLK_IO_OP_WRITE, PAGE_BYTES, PAGE_BYTES));
	probe_end(&probe);
}

/* A READ's data, from memory that ends in the middle: that much counts. */
static void h19_partial_copy(void)
{
	char *area = mmap(NULL, 4 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct disk_io io = { 0 };
	uint16_t tag;

	memset(area, 'x', 4 * PAGE_BYTES);
	mprotect(area + PAGE_BYTES, 3 * (size_t)PAGE_BYTES, PROT_NONE);
	probe_run(&probe, 0, 1);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, 2 * PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_send_at(&probe, COMMIT, tag, 2 * PAGE_BYTES, (uintptr_t)area);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("the rest's first sector", 8, (int64_t)probe.descs[tag].start_sector);
	probe_send_at(&probe, COMMIT, tag, PAGE_BYTES, (uintptr_t)area);
	probe_expect("the read", 2 * PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	if (io.data[0] != 'x' || io.data[2 * PAGE_BYTES - 1] != 'x')
		probe_die("the read has other bytes than were given");
	mprotect(area, PAGE_BYTES, PROT_NONE);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_send_at(&probe, COMMIT, tag, PAGE_BYTES, (uintptr_t)area);
	probe_expect("a READ from nowhere", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_send_at(&probe, COMMIT, tag, PAGE_BYTES, ARENA_KERNEL);
	probe_expect("a READ from the kernel", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* A READ's data comes from where its COMMIT says, and not from where the command before said. */
static void commit_address(void)
{
	struct disk_io io = { 0 };
	char *other;
	uint16_t tag;

	probe_run(&probe, 0, 1);
	other = probe_buffer(&probe, 0) + 2 * (size_t)PAGE_BYTES;
	for (int round = 0; round < 3; round++) {
		memset(probe_buffer(&probe, 0), 'f', PAGE_BYTES);
		memset(other, 'c' + round, PAGE_BYTES);
		disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
		tag = probe_take(&probe, UBLK_IO_OP_READ);
		probe_send_at(&probe, COMMIT, tag, PAGE_BYTES, (uintptr_t)other);
		probe_expect("a read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
		if (io.data[0] != 'c' + round || io.data[PAGE_BYTES - 1] != 'c' + round)
			probe_die("the read has another buffer's bytes: '%c'", io.data[0]);
		/* The next command's buffer is the first one again. */
		disk_io_start(&io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
		tag = probe_take(&probe, UBLK_IO_OP_WRITE);
		probe_send(&probe, COMMIT, tag, PAGE_BYTES);
		probe_expect("a write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	}
	probe_end(&probe);
}

/* --- GET_DATA ------------------------------------------------------------------------------------------ */

static void get_data(void)
{
	struct disk_io io = { 0 };
	uint16_t tag = 0;

	probe_add(&probe, UBLK_F_NEED_GET_DATA, 1);
	probe_open(&probe, 0);
	probe_send_at(&probe, FETCH, 0, 0, 0);
	probe_start(&probe);
	probe_expect("GET_DATA without a request", -EINVAL, probe_ask(&probe, GET_DATA, 0, 0));
	disk_io_write(&io, &probe, 'g', PAGE_BYTES);
	probe_expect("a WRITE asks for a buffer", UBLK_IO_RES_NEED_GET_DATA,
		     probe_wait(&probe, &tag, PROBE_TIMEOUT_MS));
	probe_expect("GET_DATA with address 0", -EINVAL, probe_ask_at(&probe, GET_DATA, tag, 0, 0));
	probe_expect("GET_DATA into nowhere", -EFAULT, probe_ask_at(&probe, GET_DATA, tag, 0, 8));
	probe_expect("GET_DATA", UBLK_IO_RES_OK, probe_ask(&probe, GET_DATA, tag, 0));
	if (probe_buffer(&probe, tag)[0] != 'g' || probe_buffer(&probe, tag)[PAGE_BYTES - 1] != 'g')
		probe_die("GET_DATA brought other bytes");
	probe_expect("GET_DATA twice", -EINVAL, probe_ask(&probe, GET_DATA, tag, 0));
	probe_send(&probe, COMMIT, tag, PAGE_BYTES);
	probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("a READ's COMMIT with address 0", -EINVAL,
		     probe_ask_at(&probe, COMMIT, tag, PAGE_BYTES, 0));
	probe_send(&probe, COMMIT, tag, PAGE_BYTES);
	probe_expect("a READ needs no GET_DATA", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	disk_io_start(&io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	probe_expect("a WRITE asks for a buffer", UBLK_IO_RES_NEED_GET_DATA,
		     probe_wait(&probe, &tag, PROBE_TIMEOUT_MS));
	probe_send(&probe, COMMIT, tag, -ENOSPC);
	probe_expect("a WRITE refused unseen", -ENOSPC, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

const struct probe_case cases_answers[] = {
	{ "h19-zero-bytes", h19_zero_bytes },
	{ "h19-short", h19_short },
	{ "h19-too-many-bytes", h19_too_many_bytes },
	{ "h19-partial-copy", h19_partial_copy },
	{ "commit-address", commit_address },
	{ "errnos", errnos },
	{ "errnos-of-hints", errnos_of_hints },
	{ "fetch-address-0", fetch_address_zero },
	{ "odd-address", odd_address },
	{ "bad-buffer-write", bad_buffer_write },
	{ "get-data", get_data },
	{ NULL, NULL },
};
