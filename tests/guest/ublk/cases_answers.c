/* SPDX-License-Identifier: MIT */
/*
 * cases_answers.c - what a daemon may answer and what becomes of the request: results, buffers,
 * copies, GET_DATA. Hazard 19 of kernel/README.md, and a copy that is under way when it matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/guest/ublk/options.h"
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
	tag = probe_take(&probe, op);
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

/* A disk's errors are themselves; what would mean something to the block layer is EIO. */
static void errnos(void)
{
	static const struct {
		int answer, seen;
	} rows[] = {
		{ -EIO, -EIO },
		{ -ENOSPC, -ENOSPC },
		{ -EOPNOTSUPP, -EOPNOTSUPP },
		{ -ETIMEDOUT, -ETIMEDOUT },
		{ -ENOLINK, -ENOLINK },
		{ -EREMOTEIO, -EREMOTEIO },
		{ -ENODATA, -ENODATA },
		{ -EILSEQ, -EILSEQ },
		{ -EAGAIN, -EIO },
		{ -ENOMEM, -EIO },
		{ -EBUSY, -EIO },
		{ -EPERM, -EIO },
		{ -EINTR, -EIO },
		{ -ENODEV, -EIO },
		{ -4095, -EIO },
		{ INT32_MIN, -EIO },
	};

	probe_run(&probe, 0, DEPTH);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		probe_expect("a READ's error", rows[i].seen,
			     answered(UBLK_IO_OP_READ, PAGE_BYTES, rows[i].answer));
	probe_expect("a READ afterwards", PAGE_BYTES,
		     answered(UBLK_IO_OP_READ, PAGE_BYTES, PAGE_BYTES));
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
	void *addresses[] = { none, (void *)8, (void *)probe_die, (void *)0xffff888000000000ULL };
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

/* --- USER_COPY ----------------------------------------------------------------------------------------- */

static off_t position(uint16_t queue, uint16_t tag, uint32_t offset_bytes)
{
	return (off_t)(UBLKSRV_IO_BUF_OFFSET + ((uint64_t)queue << UBLK_QID_OFF) +
		       ((uint64_t)tag << UBLK_TAG_OFF) + offset_bytes);
}

static int64_t copied(ssize_t done)
{
	return done < 0 ? -errno : done;
}

static void user_copy(void)
{
	char *buffer = malloc(2 * (size_t)PAGE_BYTES);
	struct disk_io io = { 0 };
	uint16_t tag;
	int fd;

	probe_add(&probe, UBLK_F_USER_COPY, DEPTH);
	probe_open(&probe, 0);
	fd = probe.char_fd;
	probe_expect("FETCH with an address", -EINVAL, probe_ask_at(&probe, FETCH, 0, 0, 8));
	probe_fetch_all(&probe);
	probe_start(&probe);
	probe_expect("pread without a request", -EINVAL,
		     copied(pread(fd, buffer, PAGE_BYTES, position(0, 0, 0))));
	disk_io_write(&io, &probe, 'u', PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	probe_expect("pread of another queue", -EINVAL,
		     copied(pread(fd, buffer, 512, position(1, tag, 0))));
	probe_expect("pread of a tag behind the last", -EINVAL,
		     copied(pread(fd, buffer, 512, position(0, DEPTH, 0))));
	probe_expect("pread below the data", -EINVAL, copied(pread(fd, buffer, 512, 0)));
	probe_expect("pread behind the request", -EINVAL,
		     copied(pread(fd, buffer, 512, position(0, tag, PAGE_BYTES + 1))));
	probe_expect("pwrite of a WRITE", -EINVAL,
		     copied(pwrite(fd, buffer, 512, position(0, tag, 0))));
	probe_expect("pread into nowhere", -EFAULT,
		     copied(syscall(SYS_pread64, fd, 8, PAGE_BYTES, position(0, tag, 0))));
	probe_expect("pread", PAGE_BYTES - 100,
		     copied(pread(fd, buffer, 2 * (size_t)PAGE_BYTES, position(0, tag, 100))));
	if (buffer[0] != 'u' || buffer[PAGE_BYTES - 101] != 'u')
		probe_die("pread brought other bytes");
	probe_send(&probe, COMMIT, tag, PAGE_BYTES);
	probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* --- a copy that is under way --------------------------------------------------------------------------- */

/* Memory whose first touch waits until it is resolved by copy_goes_on(). */
static char *slow_memory(int *fault_fd)
{
	char *area =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)area, .len = PAGE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	*fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (*fault_fd < 0) {
		puts("this kernel has no userfaultfd");
		fflush(stdout);
		_exit(EXIT_SKIP);
	}
	if (ioctl(*fault_fd, UFFDIO_API, &api) || ioctl(*fault_fd, UFFDIO_REGISTER, &range))
		probe_die("userfaultfd: %s", strerror(errno));
	return area;
}

struct slow_copy {
	pthread_t thread;
	char *memory;
	uint16_t tag;
	ssize_t result;
};

static void *slow_copy_run(void *argument)
{
	struct slow_copy *copy = argument;

	copy->result = copied(pread(probe.char_fd, copy->memory, 512, position(0, copy->tag, 0)));
	return NULL;
}

static void copy_goes_on(int fault_fd, char *memory)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)memory, .len = PAGE_BYTES },
	};

	if (ioctl(fault_fd, UFFDIO_ZEROPAGE, &zero))
		probe_die("userfaultfd: %s", strerror(errno));
}

static void end_slow_copy(struct slow_copy *copy, int fault_fd)
{
	copy_goes_on(fault_fd, copy->memory);
	pthread_join(copy->thread, NULL);
	probe_expect("the slow pread", 512, copy->result);
}

/* Leaves the probe with one WRITE whose pages another thread is reading. */
static void begin_slow_copy(struct disk_io *io, struct slow_copy *copy, int *fault_fd)
{
	copy->memory = slow_memory(fault_fd);
	probe_run(&probe, UBLK_F_USER_COPY, 1);
	disk_io_start(io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	copy->tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	if (pthread_create(&copy->thread, NULL, slow_copy_run, copy))
		probe_die("no thread");
	usleep(200000);
}

/* While its pages are read the request cannot be ended. */
static void commit_while_copied(void)
{
	struct slow_copy copy = { 0 };
	struct disk_io io = { 0 };
	int fault_fd;

	begin_slow_copy(&io, &copy, &fault_fd);
	probe_expect("COMMIT while the data is read", -EBUSY,
		     probe_ask(&probe, COMMIT, copy.tag, PAGE_BYTES));
	end_slow_copy(&copy, fault_fd);
	probe_send(&probe, COMMIT, copy.tag, PAGE_BYTES);
	probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* The thread that fetches, and ends when it is told to. */
struct owner {
	pthread_t thread;
	uint64_t features;
	atomic_int started, end;
	uint16_t tag;
};

static void *owner_run(void *argument)
{
	struct owner *owner = argument;

	probe_run(&probe, UBLK_F_USER_COPY | owner->features, 1);
	atomic_store(&owner->started, 1);
	owner->tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	while (!atomic_load(&owner->end))
		usleep(1000);
	return NULL;
}

/* Leaves a WRITE whose pages a thread is reading, and whose owner, another, has ended: the slot is DOOMED. */
static void begin_doomed(struct disk_io *io, struct slow_copy *copy, int *fault_fd,
			 uint64_t features)
{
	struct owner owner = { .features = features };

	copy->memory = slow_memory(fault_fd);
	if (pthread_create(&owner.thread, NULL, owner_run, &owner))
		probe_die("no thread");
	while (!atomic_load(&owner.started))
		usleep(1000);
	disk_io_start(io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	usleep(200000);
	if (pthread_create(&copy->thread, NULL, slow_copy_run, copy))
		probe_die("no thread");
	usleep(200000);
	atomic_store(&owner.end, 1);
	pthread_join(owner.thread, NULL);
	probe_expect("the write waits for its reader", -ETIME, disk_io_wait(io, 1500));
}

/* The daemon is lost meanwhile: the request ends when its reader has. */
static void lost_while_copied(void)
{
	struct slow_copy copy = { 0 };
	struct disk_io io = { 0 };
	int fault_fd;

	begin_doomed(&io, &copy, &fault_fd, 0);
	end_slow_copy(&copy, fault_fd);
	probe_expect("the write", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_close(&probe);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

static void *stop_run(void *result)
{
	*(int *)result = probe_control(UBLK_U_CMD_STOP_DEV, probe.info.dev_id, 0);
	return NULL;
}

/* It would wait for a successor, but the device is stopped meanwhile: it fails, and nobody waits for it. */
static void stopped_while_copied(void)
{
	struct slow_copy copy = { 0 };
	struct disk_io io = { 0 };
	pthread_t stopper;
	int fault_fd, stopped = -1;

	begin_doomed(&io, &copy, &fault_fd, UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE);
	if (pthread_create(&stopper, NULL, stop_run, &stopped))
		probe_die("no thread");
	usleep(300000);
	end_slow_copy(&copy, fault_fd);
	probe_expect("the write", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	pthread_join(stopper, NULL);
	probe_expect("STOP_DEV", 0, stopped);
	probe_close(&probe);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

const struct probe_case cases_answers[] = {
	{ "h19-zero-bytes", h19_zero_bytes },
	{ "h19-short", h19_short },
	{ "h19-too-many-bytes", h19_too_many_bytes },
	{ "h19-partial-copy", h19_partial_copy },
	{ "commit-address", commit_address },
	{ "errnos", errnos },
	{ "fetch-address-0", fetch_address_zero },
	{ "odd-address", odd_address },
	{ "bad-buffer-write", bad_buffer_write },
	{ "get-data", get_data },
	{ "user-copy", user_copy },
	{ "commit-while-copied", commit_while_copied },
	{ "lost-while-copied", lost_while_copied },
	{ "stopped-while-copied", stopped_while_copied },
	{ NULL, NULL },
};
