/* SPDX-License-Identifier: MIT */
/*
 * cases_copies.c - a daemon that moves the data itself (USER_COPY): what it may read and write, and
 * what becomes of a request whose pages somebody is copying just then.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"
#include "tests/guest/ublk/slow_memory.h"

#define FETCH	   UBLK_U_IO_FETCH_REQ
#define COMMIT	   UBLK_U_IO_COMMIT_AND_FETCH_REQ
#define DEPTH	   4
#define PAGE_BYTES 4096u

static struct probe probe;

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

struct slow_copy {
	pthread_t thread;
	struct slow_memory memory;
	uint16_t tag;
	ssize_t result;
};

static void *slow_copy_run(void *argument)
{
	struct slow_copy *copy = argument;

	copy->result =
		copied(pread(probe.char_fd, copy->memory.area, 512, position(0, copy->tag, 0)));
	return NULL;
}

static void end_slow_copy(struct slow_copy *copy)
{
	slow_memory_fill(&copy->memory);
	pthread_join(copy->thread, NULL);
	probe_expect("the slow pread", 512, copy->result);
}

/* Leaves the probe with one WRITE whose pages another thread is reading. */
static void begin_slow_copy(struct disk_io *io, struct slow_copy *copy)
{
	copy->memory = slow_memory_make();
	probe_run(&probe, UBLK_F_USER_COPY, 1);
	disk_io_start(io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	copy->tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	if (pthread_create(&copy->thread, NULL, slow_copy_run, copy))
		probe_die("no thread");
	slow_memory_await(&copy->memory);
}

/* While its pages are read the request cannot be ended. */
static void commit_while_copied(void)
{
	struct slow_copy copy = { 0 };
	struct disk_io io = { 0 };

	begin_slow_copy(&io, &copy);
	probe_expect("COMMIT while the data is read", -EBUSY,
		     probe_ask(&probe, COMMIT, copy.tag, PAGE_BYTES));
	end_slow_copy(&copy);
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
static void begin_doomed(struct disk_io *io, struct slow_copy *copy, uint64_t features)
{
	struct owner owner = { .features = features };

	copy->memory = slow_memory_make();
	if (pthread_create(&owner.thread, NULL, owner_run, &owner))
		probe_die("no thread");
	while (!atomic_load(&owner.started))
		usleep(1000);
	disk_io_start(io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	usleep(200000);
	if (pthread_create(&copy->thread, NULL, slow_copy_run, copy))
		probe_die("no thread");
	slow_memory_await(&copy->memory);
	atomic_store(&owner.end, 1);
	pthread_join(owner.thread, NULL);
	probe_expect("the write waits for its reader", -ETIME, disk_io_wait(io, 1500));
}

/* The daemon is lost meanwhile: the request ends when its reader has. */
static void lost_while_copied(void)
{
	struct slow_copy copy = { 0 };
	struct disk_io io = { 0 };

	begin_doomed(&io, &copy, 0);
	end_slow_copy(&copy);
	probe_expect("the write", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_delete(&probe);
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
	int stopped = -1;

	begin_doomed(&io, &copy, UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE);
	if (pthread_create(&stopper, NULL, stop_run, &stopped))
		probe_die("no thread");
	usleep(300000);
	end_slow_copy(&copy);
	probe_expect("the write", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	pthread_join(stopper, NULL);
	probe_expect("STOP_DEV", 0, stopped);
	probe_delete(&probe);
}

const struct probe_case cases_copies[] = {
	{ "user-copy", user_copy },
	{ "commit-while-copied", commit_while_copied },
	{ "lost-while-copied", lost_while_copied },
	{ "stopped-while-copied", stopped_while_copied },
	{ NULL, NULL },
};
