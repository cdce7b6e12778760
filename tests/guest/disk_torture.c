/* SPDX-License-Identifier: MIT */
/*
 * disk_torture.c - writes, trims, zeroes, flushes and reads back a disk from many threads at once,
 * on the same blocks, and knows at each moment what every sector has to hold. fio does not mix
 * trims with verified writes.
 *
 *   disk_torture [-d THREADS] [-b BYTES] [-m MAX-BYTES] [-n OPERATIONS] [-s SEED] [-t] [-z] [-u URI] DEVICE
 *
 * -t trims and -z zeroes too (both must read as zeroes afterwards: of servers that promise that).
 * -u: in the end the server's bytes, read through libnbd, are compared as well. Exits 0 when all was
 * as it had to be; else says which sector was not.
 *
 * The disk's first BYTES are divided into ranges of RANGE_BYTES, each with a lock: a request holds
 * those that it touches, in ascending order, so requests beside each other run at the same time.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libnbd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define RANGE_BYTES   (16u << 10)
#define COMPARE_BYTES (1u << 20)
#define THREADS_MAX   256

struct torture {
	int fd;
	uint32_t sector_bytes; /* logical block */
	uint32_t threads, operations, max_bytes;
	uint64_t bytes;
	uint64_t seed;
	bool trim, zero;
	const char *uri;
	uint32_t *generations; /* of each sector; 0: zeroes */
	pthread_mutex_t *locks;
	_Atomic uint32_t next_generation;
	_Atomic uint32_t counts[6];
};

enum { OP_READ, OP_WRITE, OP_WRITE_SYNC, OP_TRIM, OP_ZERO, OP_FLUSH };

static struct torture t = {
	.threads = 32, .operations = 2000, .max_bytes = 1u << 20, .bytes = 32u << 20, .seed = 1
};

static _Noreturn void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ull;
	return x ^ (x >> 32);
}

static uint64_t next_random(uint64_t *state)
{
	return mix(*state += 0x9e3779b97f4a7c15ull);
}

/* --- what a sector holds ------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t sector, uint32_t generation, uint32_t i)
{
	return generation ? (sector << 32 | generation) * 0x9e3779b97f4a7c15ull + i : 0;
}

static void fill(void *to, uint64_t sector, uint32_t generation)
{
	uint64_t *words = to;

	for (uint32_t i = 0; i < t.sector_bytes / 8; i++)
		words[i] = word_of(sector, generation, i);
}

static void verify(const void *from, uint64_t sector, const char *who)
{
	const uint64_t *words = from;
	uint32_t generation = t.generations[sector];

	for (uint32_t i = 0; i < t.sector_bytes / 8; i++)
		if (words[i] != word_of(sector, generation, i))
			die("%s: sector %llu (offset %llu), word %u: %016llx instead of %016llx "
			    "(generation %u)",
			    who, (unsigned long long)sector,
			    (unsigned long long)sector * t.sector_bytes, i,
			    (unsigned long long)words[i],
			    (unsigned long long)word_of(sector, generation, i), generation);
}

/* --- one operation ------------------------------------------------------------------------------- */

static void run_read(uint8_t *buffer, uint64_t offset_bytes, uint32_t length_bytes)
{
	ssize_t n = pread(t.fd, buffer, length_bytes, (off_t)offset_bytes);

	if (n != (ssize_t)length_bytes)
		die("reading %u bytes at %llu: %s", length_bytes, (unsigned long long)offset_bytes,
		    n < 0 ? strerror(errno) : "short");
	for (uint32_t done = 0; done < length_bytes; done += t.sector_bytes)
		verify(buffer + done, (offset_bytes + done) / t.sector_bytes, "read");
}

static void run_write(uint8_t *buffer, uint64_t offset_bytes, uint32_t length_bytes, bool sync)
{
	uint32_t generation = atomic_fetch_add(&t.next_generation, 1);
	struct iovec iov = { .iov_base = buffer, .iov_len = length_bytes };
	ssize_t n;

	for (uint32_t done = 0; done < length_bytes; done += t.sector_bytes) {
		uint64_t sector = (offset_bytes + done) / t.sector_bytes;

		t.generations[sector] = generation;
		fill(buffer + done, sector, generation);
	}
	n = pwritev2(t.fd, &iov, 1, (off_t)offset_bytes, sync ? RWF_DSYNC : 0);
	if (n != (ssize_t)length_bytes)
		die("writing %u bytes at %llu: %s", length_bytes, (unsigned long long)offset_bytes,
		    n < 0 ? strerror(errno) : "short");
}

static void run_clear(uint64_t offset_bytes, uint32_t length_bytes, bool trim)
{
	uint64_t range[2] = { offset_bytes, length_bytes };
	int ret = trim ? ioctl(t.fd, BLKDISCARD, range) : ioctl(t.fd, BLKZEROOUT, range);

	if (ret < 0)
		die("%s %u bytes at %llu: %s", trim ? "trimming" : "zeroing", length_bytes,
		    (unsigned long long)offset_bytes, strerror(errno));
	for (uint32_t done = 0; done < length_bytes; done += t.sector_bytes)
		t.generations[(offset_bytes + done) / t.sector_bytes] = 0;
}

static int choose(uint64_t random)
{
	switch (random % 16) {
	case 0:
		return OP_FLUSH;
	case 1:
	case 2:
		return t.trim ? OP_TRIM : OP_READ;
	case 3:
	case 4:
		return t.zero ? OP_ZERO : OP_WRITE;
	case 5:
		return OP_WRITE_SYNC;
	case 6:
	case 7:
	case 8:
	case 9:
		return OP_WRITE;
	default:
		return OP_READ;
	}
}

static void run_operation(int op, uint8_t *buffer, uint64_t offset_bytes, uint32_t length_bytes)
{
	uint64_t first = offset_bytes / RANGE_BYTES;
	uint64_t last = (offset_bytes + length_bytes - 1) / RANGE_BYTES;

	atomic_fetch_add(&t.counts[op], 1);
	if (op == OP_FLUSH) {
		if (fdatasync(t.fd) < 0)
			die("flushing: %s", strerror(errno));
		return;
	}
	for (uint64_t i = first; i <= last; i++)
		pthread_mutex_lock(&t.locks[i]);
	if (op == OP_READ)
		run_read(buffer, offset_bytes, length_bytes);
	else if (op == OP_WRITE || op == OP_WRITE_SYNC)
		run_write(buffer, offset_bytes, length_bytes, op == OP_WRITE_SYNC);
	else
		run_clear(offset_bytes, length_bytes, op == OP_TRIM);
	for (uint64_t i = first; i <= last; i++)
		pthread_mutex_unlock(&t.locks[i]);
}

/* Lengths: a power of two up to the maximum, less something in half of all cases. */
static uint32_t choose_length(uint64_t *random)
{
	uint32_t steps = (uint32_t)__builtin_ctz(t.max_bytes / t.sector_bytes);
	uint32_t sectors = 1u << next_random(random) % (steps + 1);

	if (next_random(random) & 1)
		sectors -= (uint32_t)(next_random(random) % ((sectors + 1) / 2));
	return sectors * t.sector_bytes;
}

static void *worker(void *argument)
{
	uint64_t random = mix(t.seed) + (uintptr_t)argument * 0x100000001b3ull;
	void *buffer;

	if (posix_memalign(&buffer, 4096, t.max_bytes) != 0)
		die("out of memory");
	for (uint32_t i = 0; i < t.operations / t.threads; i++) {
		uint32_t length_bytes = choose_length(&random);
		uint64_t sectors = (t.bytes - length_bytes) / t.sector_bytes + 1;
		uint64_t offset_bytes = next_random(&random) % sectors * t.sector_bytes;

		run_operation(choose(next_random(&random)), buffer, offset_bytes, length_bytes);
	}
	free(buffer);
	return NULL;
}

/* --- the end ------------------------------------------------------------------------------------- */

/* What the server takes in one request, no more than COMPARE_BYTES. */
static uint32_t step_of(struct nbd_handle *nbd)
{
	int64_t most_bytes = nbd ? nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM) : 0;
	uint32_t step_bytes = COMPARE_BYTES;

	while (most_bytes > 0 && step_bytes > most_bytes)
		step_bytes /= 2;
	return step_bytes;
}

static void compare(struct nbd_handle *nbd)
{
	uint32_t step_bytes = step_of(nbd);
	void *buffer;

	if (posix_memalign(&buffer, 4096, COMPARE_BYTES) != 0)
		die("out of memory");
	for (uint64_t at = 0; at < t.bytes; at += step_bytes) {
		if (nbd && nbd_pread(nbd, buffer, step_bytes, at, 0) < 0)
			die("the server: %s", nbd_get_error());
		if (!nbd && pread(t.fd, buffer, step_bytes, (off_t)at) != (ssize_t)step_bytes)
			die("reading the disk at %llu: %s", (unsigned long long)at,
			    strerror(errno));
		for (uint32_t done = 0; done < step_bytes; done += t.sector_bytes)
			verify((uint8_t *)buffer + done, (at + done) / t.sector_bytes,
			       nbd ? "the server" : "the disk in the end");
	}
	free(buffer);
}

static void compare_server(void)
{
	struct nbd_handle *nbd = nbd_create();

	if (!nbd || nbd_set_uri_allow_local_file(nbd, true) < 0 || nbd_connect_uri(nbd, t.uri) < 0)
		die("%s: %s", t.uri, nbd_get_error());
	compare(nbd);
	nbd_close(nbd);
}

static uint64_t size_of(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	return *end == 'M' ? n << 20 : *end == 'K' ? n << 10 : n;
}

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "d:b:m:n:s:tzu:")) >= 0) {
		if (option == 'd')
			t.threads = (uint32_t)size_of(optarg);
		else if (option == 'b')
			t.bytes = size_of(optarg);
		else if (option == 'm')
			t.max_bytes = (uint32_t)size_of(optarg);
		else if (option == 'n')
			t.operations = (uint32_t)size_of(optarg);
		else if (option == 's')
			t.seed = size_of(optarg);
		else if (option == 't')
			t.trim = true;
		else if (option == 'z')
			t.zero = true;
		else if (option == 'u')
			t.uri = optarg;
		else
			exit(2);
	}
	if (optind + 1 != argc || !t.threads || t.threads > THREADS_MAX ||
	    t.bytes % COMPARE_BYTES || t.max_bytes > t.bytes || t.max_bytes & (t.max_bytes - 1))
		die("usage: disk_torture [OPTION...] DEVICE");
}

static void open_disk(const char *path)
{
	uint64_t range[2] = { 0, t.bytes };
	uint64_t size_bytes = 0;
	int block_bytes = 0;

	t.fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (t.fd < 0 || ioctl(t.fd, BLKSSZGET, &block_bytes) < 0 ||
	    ioctl(t.fd, BLKGETSIZE64, &size_bytes) < 0)
		die("%s: %s", path, strerror(errno));
	if (size_bytes < t.bytes)
		die("%s: smaller than %llu bytes", path, (unsigned long long)t.bytes);
	t.sector_bytes = (uint32_t)block_bytes;
	if (ioctl(t.fd, BLKZEROOUT, range) < 0)
		die("%s: zeroing: %s", path, strerror(errno));
	t.generations = calloc(t.bytes / t.sector_bytes, sizeof(*t.generations));
	t.locks = calloc(t.bytes / RANGE_BYTES, sizeof(*t.locks));
	if (!t.generations || !t.locks)
		die("out of memory");
	for (uint64_t i = 0; i < t.bytes / RANGE_BYTES; i++)
		pthread_mutex_init(&t.locks[i], NULL);
	atomic_store(&t.next_generation, 1);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];

	read_options(argc, argv);
	open_disk(argv[optind]);
	for (uintptr_t i = 0; i < t.threads; i++)
		if (pthread_create(&threads[i], NULL, worker, (void *)i) != 0)
			die("no thread %u", (unsigned)i);
	for (uint32_t i = 0; i < t.threads; i++)
		pthread_join(threads[i], NULL);
	compare(NULL);
	if (t.uri) {
		if (fsync(t.fd) < 0)
			die("flushing: %s", strerror(errno));
		compare_server();
	}
	printf("seed %llu: %u reads, %u writes, %u synchronous writes, %u trims, %u zeroes, %u "
	       "flushes\n",
	       (unsigned long long)t.seed, t.counts[OP_READ], t.counts[OP_WRITE],
	       t.counts[OP_WRITE_SYNC], t.counts[OP_TRIM], t.counts[OP_ZERO], t.counts[OP_FLUSH]);
	return 0;
}
