/* SPDX-License-Identifier: MIT */
/*
 * verified_load.c - goal: while a disk's server or daemon misbehaves, prove that no wrong byte is
 * ever given to a reader and that no request waits longer than it may.
 * method: THREADS threads, each with a part of the disk of its own and one request in flight, read
 * and write (O_DIRECT) random stretches. A sector's content names the sector and the version that
 * was written; what is read must be a version that may be there: the last one that was
 * acknowledged, or a later one whose write failed (it may or may not have happened).
 *
 *   verified_load [OPTION...] DEVICE
 *     --threads N      (32)          --seconds N     how long (5)
 *     --max-io BYTES   (32K)         --region BYTES  of the disk for each thread (256K)
 *     --reads PERCENT  (50)          --flush N       fdatasync every N requests (16; 0 never)
 *     --until-error    end at the first error, once every thread's request is back
 *     --until-dead     a thread ends when twenty requests in a row failed
 *     --seed N
 *     --audit          no load: each sector of DEVICE, which may be a file, must be zeroes or hold a whole
 *                      version of itself, as loads before this one wrote it
 * The disk must hold zeroes at first. SIGTERM ends it in good order. Prints one line:
 *   reads=N writes=N flushes=N errors=N wrong=N slowest_ms=N slowest_flush_ms=N error_ms=N error=TEXT
 * error_ms: when the first error came, since the start. Exit status: 0 no error; 3 errors and no
 * wrong byte; 1 wrong bytes; 2 called wrongly.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tls/clock.h"

#define SECTOR_BYTES	    512u
#define SECTOR_WORDS	    (SECTOR_BYTES / sizeof(uint64_t))
#define THREADS_MAX	    256
#define FAILED_IN_A_ROW_MAX 20
#define ERROR_PAUSE_US	    10000

static struct {
	const char *device;
	uint32_t threads;
	uint32_t seconds;
	uint32_t max_io_bytes;
	uint32_t region_bytes;
	uint32_t reads_percent;
	uint32_t flush_every;
	uint64_t seed;
	bool until_error, until_dead, audit;
} options = {
	.threads = 32,
	.seconds = 5,
	.max_io_bytes = 32u << 10,
	.region_bytes = 256u << 10,
	.reads_percent = 50,
	.flush_every = 16,
	.seed = 1,
};

/* What a sector may hold: a version between these two, both included. 0 is zeroes. */
struct versions {
	uint32_t low, high;
};

struct worker {
	pthread_t thread;
	uint32_t index;
	uint32_t sectors;
	uint64_t first_sector;
	uint64_t random;
	uint32_t failed_in_a_row;
	uint64_t *buffer;
	struct versions *versions; /* of its region's sectors */
};

static int disk_fd;
static int64_t started_ms;
static atomic_bool stop;
static atomic_uint reads, writes, flushes, errors, wrong;
static _Atomic int64_t slowest_ms, slowest_flush_ms, first_error_ms = -1;
static atomic_int first_errno;

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint32_t random_below(struct worker *worker, uint32_t limit)
{
	worker->random = mix(worker->random);
	return (uint32_t)(worker->random >> 32) % limit;
}

static void fill_sector(uint64_t *words, uint64_t sector, uint32_t version)
{
	uint64_t key = mix(sector << 20 ^ version);

	words[0] = sector;
	words[1] = version;
	for (uint32_t i = 2; i < SECTOR_WORDS; i++)
		words[i] = key * (i | 1);
}

static bool sector_is(const uint64_t *words, uint64_t sector, uint32_t version)
{
	uint64_t expected[SECTOR_WORDS] = { 0 };

	if (version)
		fill_sector(expected, sector, version);
	return memcmp(words, expected, sizeof(expected)) == 0;
}

static void check_sector(struct worker *worker, uint32_t at, const uint64_t *words)
{
	const struct versions *may = &worker->versions[at];
	uint64_t sector = worker->first_sector + at;
	uint64_t found = words[1];

	if (found >= may->low && found <= may->high && sector_is(words, sector, (uint32_t)found))
		return;
	if (atomic_fetch_add(&wrong, 1) < 8)
		fprintf(stderr,
			"sector %" PRIu64 ": wrong: claims sector %" PRIu64 " version %" PRIu64
			", may be version %u to %u\n",
			sector, words[0], found, may->low, may->high);
}

/* most: the slowest of its kind. */
static void note_result(struct worker *worker, int64_t began_ms, int error, _Atomic int64_t *most)
{
	int64_t end_ms = clock_now_ms(), took_ms = end_ms - began_ms;
	int64_t slowest = atomic_load(most), none = -1;

	while (took_ms > slowest && !atomic_compare_exchange_weak(most, &slowest, took_ms))
		;
	worker->failed_in_a_row = error ? worker->failed_in_a_row + 1 : 0;
	if (!error)
		return;
	if (atomic_compare_exchange_strong(&first_error_ms, &none, end_ms - started_ms))
		atomic_store(&first_errno, error);
	atomic_fetch_add(&errors, 1);
	usleep(ERROR_PAUSE_US); /* a dead disk fails fast: leave the CPU to others */
	if (options.until_error)
		atomic_store(&stop, true);
}

/* A short count is an error too: the tail was not served. */
static int error_of(ssize_t n, size_t wanted)
{
	if (n < 0)
		return errno;
	return (size_t)n == wanted ? 0 : EIO;
}

static void read_some(struct worker *worker, uint32_t at, uint32_t count)
{
	size_t bytes = (size_t)count * SECTOR_BYTES;
	int64_t began_ms = clock_now_ms();
	int error;

	/* What a read that claims success leaves untouched must not look right. */
	memset(worker->buffer, 0xa5, bytes);
	error = error_of(pread(disk_fd, worker->buffer, bytes,
			       (off_t)(worker->first_sector + at) * SECTOR_BYTES),
			 bytes);
	note_result(worker, began_ms, error, &slowest_ms);
	atomic_fetch_add(&reads, 1);
	for (uint32_t i = 0; !error && i < count; i++)
		check_sector(worker, at + i, worker->buffer + (size_t)i * SECTOR_WORDS);
}

static void write_some(struct worker *worker, uint32_t at, uint32_t count)
{
	size_t bytes = (size_t)count * SECTOR_BYTES;
	int64_t began_ms;
	int error;

	for (uint32_t i = 0; i < count; i++) {
		worker->versions[at + i].high++;
		fill_sector(worker->buffer + (size_t)i * SECTOR_WORDS,
			    worker->first_sector + at + i, worker->versions[at + i].high);
	}
	began_ms = clock_now_ms();
	error = error_of(pwrite(disk_fd, worker->buffer, bytes,
				(off_t)(worker->first_sector + at) * SECTOR_BYTES),
			 bytes);
	note_result(worker, began_ms, error, &slowest_ms);
	atomic_fetch_add(&writes, 1);
	for (uint32_t i = 0; !error && i < count; i++)
		worker->versions[at + i].low = worker->versions[at + i].high;
}

static void flush_all(struct worker *worker)
{
	int64_t began_ms = clock_now_ms();

	note_result(worker, began_ms, fdatasync(disk_fd) < 0 ? errno : 0, &slowest_flush_ms);
	atomic_fetch_add(&flushes, 1);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint32_t most = options.max_io_bytes / SECTOR_BYTES;

	for (uint32_t turn = 1; !atomic_load(&stop); turn++) {
		uint32_t count = 1 + random_below(worker, most);
		uint32_t at;

		if (clock_now_ms() - started_ms >= (int64_t)options.seconds * 1000)
			break;
		if (options.until_dead && worker->failed_in_a_row >= FAILED_IN_A_ROW_MAX)
			break;
		if (count > worker->sectors)
			count = worker->sectors;
		at = random_below(worker, worker->sectors - count + 1);
		if (options.flush_every && turn % options.flush_every == 0)
			flush_all(worker);
		else if (random_below(worker, 100) < options.reads_percent)
			read_some(worker, at, count);
		else
			write_some(worker, at, count);
	}
	return NULL;
}

static void stop_now(int number)
{
	(void)number;
	atomic_store(&stop, true);
}

static bool parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "max-io", required_argument, NULL, 'm' },
		{ "region", required_argument, NULL, 'g' },
		{ "reads", required_argument, NULL, 'r' },
		{ "flush", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 'x' },
		{ "until-error", no_argument, NULL, 'u' },
		{ "until-dead", no_argument, NULL, 'd' },
		{ "audit", no_argument, NULL, 'a' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 0) : 0;

		switch (option) {
		case 't':
			options.threads = number;
			break;
		case 's':
			options.seconds = number;
			break;
		case 'm':
			options.max_io_bytes = number;
			break;
		case 'g':
			options.region_bytes = number;
			break;
		case 'r':
			options.reads_percent = number;
			break;
		case 'f':
			options.flush_every = number;
			break;
		case 'x':
			options.seed = number;
			break;
		case 'u':
			options.until_error = true;
			break;
		case 'd':
			options.until_dead = true;
			break;
		case 'a':
			options.audit = true;
			break;
		default:
			return false;
		}
	}
	options.device = argv[optind];
	return optind + 1 == argc && options.threads >= 1 && options.threads <= THREADS_MAX &&
	       options.max_io_bytes >= SECTOR_BYTES && options.region_bytes >= SECTOR_BYTES;
}

/* What is stored, whoever wrote it when. The exit status. */
static int audit(void)
{
	int fd = open(options.device, O_RDONLY | O_CLOEXEC);
	uint64_t words[SECTOR_WORDS], sector = 0, written = 0;
	ssize_t n;

	while ((n = read(fd, words, sizeof(words))) == (ssize_t)sizeof(words)) {
		bool good =
			sector_is(words, sector, 0) || sector_is(words, sector, (uint32_t)words[1]);

		written += words[1] != 0;
		if (!good && atomic_fetch_add(&wrong, 1) < 8)
			fprintf(stderr, "sector %" PRIu64 ": holds what nobody wrote there\n",
				sector);
		sector++;
	}
	printf("sectors=%" PRIu64 " written=%" PRIu64 " wrong=%u\n", sector, written, wrong);
	if (fd < 0 || n != 0 || !written)
		return 2;
	return wrong ? 1 : 0;
}

static bool open_disk(void)
{
	uint64_t size_bytes = 0;

	disk_fd = open(options.device, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk_fd < 0 || ioctl(disk_fd, BLKGETSIZE64, &size_bytes) < 0) {
		fprintf(stderr, "%s: %s\n", options.device, strerror(errno));
		return false;
	}
	if (size_bytes < (uint64_t)options.region_bytes * options.threads) {
		fprintf(stderr, "%s is too small\n", options.device);
		return false;
	}
	return true;
}

static bool start(struct worker *worker, uint32_t index)
{
	void *buffer = NULL;

	worker->index = index;
	worker->sectors = options.region_bytes / SECTOR_BYTES;
	worker->first_sector = (uint64_t)index * worker->sectors;
	worker->random = mix(options.seed * 1000 + index);
	worker->versions = calloc(worker->sectors, sizeof(*worker->versions));
	if (!worker->versions || posix_memalign(&buffer, 4096, options.max_io_bytes) != 0)
		return false;
	worker->buffer = buffer;
	return pthread_create(&worker->thread, NULL, work, worker) == 0;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	uint32_t running = 0;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: verified_load [OPTION...] DEVICE\n");
		return 2;
	}
	if (options.audit)
		return audit();
	if (!open_disk())
		return 2;
	signal(SIGTERM, stop_now);
	started_ms = clock_now_ms();
	while (running < options.threads && start(&workers[running], running))
		running++;
	for (uint32_t i = 0; i < running; i++)
		pthread_join(workers[i].thread, NULL);
	printf("reads=%u writes=%u flushes=%u errors=%u wrong=%u slowest_ms=%" PRId64
	       " slowest_flush_ms=%" PRId64 " error_ms=%" PRId64 " error=%s\n",
	       reads, writes, flushes, errors, wrong, slowest_ms, slowest_flush_ms, first_error_ms,
	       first_errno ? strerrorname_np(first_errno) : "-");
	if (running < options.threads)
		return 2;
	return wrong ? 1 : errors ? 3 : 0;
}
