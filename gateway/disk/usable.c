/* SPDX-License-Identifier: MIT */
/*
 * usable.c - a disk is reported only when a user could go on at once: its node is there, it opens,
 * has its size, its first block was read through the server, and udev has done with it. Each of
 * these may block, so they run on a thread; what they wait for ends when the queues' connections
 * are condemned, so giving up is always possible.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/process.h"
#include "gateway/disk/ready.h"

#define NODE_WAIT_MS	  5000
#define UDEV_WAIT_MS	  5000
#define UDEV_RULE	  "54-ublk-nbd.rules"
#define PAUSE_MS	  5
#define PROGRESS_MS	  5000
#define FIRST_BLOCK_BYTES 4096

struct probe {
	char path[32];
	uint64_t size_bytes;
	uint32_t block_bytes;
	int done_fd;
	int error; /* positive errno */
	char sentence[300];
};

static void pause_ms(uint32_t ms)
{
	struct timespec nap = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&nap, NULL);
}

static int probe_fail(struct probe *probe, int error, const char *what)
{
	probe->error = error;
	snprintf(probe->sentence, sizeof(probe->sentence), "%s: %s: %s", probe->path, what,
		 strerror(error));
	return -error;
}

static int open_node(struct probe *probe)
{
	for (uint32_t waited_ms = 0;; waited_ms += PAUSE_MS) {
		int fd = open(probe->path, O_RDONLY | O_DIRECT | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		if ((errno != ENOENT && errno != ENXIO) || waited_ms >= NODE_WAIT_MS)
			return probe_fail(probe, errno,
					  errno == ENOENT ? "the node has not appeared (is /dev a "
							    "devtmpfs?)"
							  : "cannot be opened");
		pause_ms(PAUSE_MS);
	}
}

static int read_first_block(struct probe *probe, int fd)
{
	void *block = NULL;
	uint64_t size_bytes = 0;
	size_t bytes =
		probe->size_bytes < FIRST_BLOCK_BYTES ? probe->block_bytes : FIRST_BLOCK_BYTES;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return probe_fail(probe, ENOTBLK,
				  "something else is there under its name: remove it");
	if (ioctl(fd, BLKGETSIZE64, &size_bytes) < 0)
		return probe_fail(probe, errno, "its size cannot be asked");
	if (size_bytes != probe->size_bytes)
		return probe_fail(probe, EIO, "the kernel gave it another size");
	if (posix_memalign(&block, FIRST_BLOCK_BYTES, FIRST_BLOCK_BYTES) != 0)
		return probe_fail(probe, ENOMEM, "reading its first block");
	n = pread(fd, block, bytes, 0);
	free(block);
	if (n != (ssize_t)bytes)
		return probe_fail(probe, n < 0 ? errno : EIO,
				  "its first block cannot be read from the server");
	return 0;
}

/* udevd keeps this file while it has events to handle; the system's other devices may keep it
 * busy, so there is an end to it. */
static void settle_udev(void)
{
	if (access("/run/udev/control", F_OK) < 0)
		return;
	for (uint32_t waited_ms = 0; waited_ms < UDEV_WAIT_MS; waited_ms += PAUSE_MS) {
		if (access("/run/udev/queue", F_OK) < 0)
			return;
		pause_ms(PAUSE_MS);
	}
}

static bool udev_has_rule(void)
{
	static const char *const folders[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib",
					       "/lib" };
	char path[64];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/udev/rules.d/" UDEV_RULE, folders[i]);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* udevd may not even have heard of the event when we look, so its being idle says nothing yet: the
 * link does. That it is another disk's, of the same owner and export, is nothing to wait for. */
void disk_wait_link(const struct disk *disk)
{
	char link[400];

	if (access("/run/udev/control", F_OK) < 0 || !udev_has_rule())
		return;
	disk_udev_link(disk, link, sizeof(link));
	for (uint32_t waited_ms = 0; waited_ms < UDEV_WAIT_MS; waited_ms += PAUSE_MS) {
		if (access(link, F_OK) == 0)
			break;
		pause_ms(PAUSE_MS);
	}
	settle_udev();
}

static void *probe_main(void *argument)
{
	struct probe *probe = argument;
	const uint64_t one = 1;
	int fd = open_node(probe);

	if (fd >= 0) {
		if (read_first_block(probe, fd) == 0)
			settle_udev();
		close(fd);
	}
	if (write(probe->done_fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd that cannot take a 1: memory is no longer what it was */
	return NULL;
}

static void condemn_queues(struct disk *disk)
{
	for (uint32_t q = 0; q < disk->queues_count; q++)
		queue_request(&disk->queues[q], QUEUE_REQUEST_CONDEMN);
}

/* Reads are bounded by --timeout each, so the wait for the probe needs no bound of its own. */
static bool await_probe(struct disk *disk, struct probe *probe)
{
	while (!disk_wait(disk, probe->done_fd, dial_now_ms() + PROGRESS_MS)) {
		if (disk->stop_requested) {
			condemn_queues(disk);
			return disk_fail(disk, EXIT_CODE_INTERRUPTED,
					 "interrupted while %s was being read for the first time",
					 disk->device_path);
		}
		ready_progress(disk, "waiting for the first read of %s", disk->device_path);
	}
	if (probe->error)
		return disk_fail(disk,
				 probe->error == ENOENT ? EXIT_CODE_SYSTEM : EXIT_CODE_UNREACHABLE,
				 "%s", probe->sentence);
	return true;
}

bool disk_wait_usable(struct disk *disk)
{
	struct probe probe = { .size_bytes = disk->geometry.size_bytes,
			       .block_bytes = disk->geometry.logical_block_bytes };
	pthread_t thread;
	bool usable;

	memcpy(probe.path, disk->device_path, sizeof(probe.path));
	probe.done_fd = eventfd(0, EFD_CLOEXEC);
	if (probe.done_fd < 0 || process_thread_start(&thread, probe_main, &probe) != 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "no thread to look at %s with",
				 disk->device_path);
	usable = await_probe(disk, &probe);
	/* All it may still wait for has been condemned: it comes back. */
	pthread_join(thread, NULL);
	close(probe.done_fd);
	return usable;
}
