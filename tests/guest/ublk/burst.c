/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/burst.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void burst_prepare(struct burst *burst, uint32_t op, unsigned int i)
{
	struct io_uring_sqe *sqe = probe_sqe(&burst->ring);
	char *data = burst->data + (size_t)i * BURST_BYTES;
	uint64_t offset_bytes = (uint64_t)i * BURST_APART_BYTES;

	if (op == UBLK_IO_OP_WRITE)
		io_uring_prep_write(sqe, burst->disk_fd, data, BURST_BYTES, offset_bytes);
	else
		io_uring_prep_read(sqe, burst->disk_fd, data, BURST_BYTES, offset_bytes);
	sqe->user_data = i;
}

void burst_send(struct burst *burst, uint32_t device, uint32_t op, unsigned int count, int byte)
{
	char path[CONTROL_PATH_BYTES];
	int ret;

	memset(burst, 0, sizeof(*burst));
	burst->count = count;
	snprintf(path, sizeof(path), "/dev/ublkb%u", device);
	burst->disk_fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (burst->disk_fd < 0)
		probe_die("%s: %s", path, strerror(errno));
	burst->data = mmap(NULL, (size_t)BURST_MAX * BURST_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (burst->data == MAP_FAILED)
		probe_die("no memory for requests");
	ret = io_uring_queue_init(BURST_MAX, &burst->ring, 0);
	if (ret < 0)
		probe_die("a ring for requests: %s", strerror(-ret));
	for (unsigned int i = 0; i < count; i++) {
		memset(burst->data + (size_t)i * BURST_BYTES, byte + (int)i, BURST_BYTES);
		burst_prepare(burst, op, i);
	}
	ret = io_uring_submit(&burst->ring);
	if (ret != (int)count)
		probe_die("io_uring_submit of requests: %d", ret);
}

unsigned int burst_wait(struct burst *burst, unsigned int over, uint32_t timeout_ms)
{
	uint64_t limit_ms = probe_now_ms() + timeout_ms;
	struct __kernel_timespec step = { .tv_nsec = 1000000 };
	struct io_uring_cqe *cqe;

	while (burst->over < over && probe_now_ms() <= limit_ms) {
		if (io_uring_wait_cqe_timeout(&burst->ring, &cqe, &step) < 0)
			continue;
		burst->results[cqe->user_data] = cqe->res;
		if (!burst->over)
			burst->first_result = cqe->res;
		io_uring_cqe_seen(&burst->ring, cqe);
		burst->over++;
		burst->end_ms = probe_now_ms();
	}
	return burst->over;
}

void burst_expect(struct burst *burst, const char *what, int result)
{
	if (burst_wait(burst, burst->count, PROBE_TIMEOUT_MS) < burst->count)
		probe_expect(what, result, -ETIME);
	for (unsigned int i = 0; i < burst->count; i++)
		probe_expect(what, result, burst->results[i]);
}

void burst_expect_bytes(const struct burst *burst, int byte)
{
	for (unsigned int i = 0; i < burst->count; i++) {
		const char *data = burst->data + (size_t)i * BURST_BYTES;

		for (unsigned int at = 0; at < BURST_BYTES; at++)
			if (data[at] != (char)(byte + (int)i))
				probe_die("request %u brought %d at byte %u, not %d", i, data[at],
					  at, (char)(byte + (int)i));
	}
}

void burst_end(struct burst *burst)
{
	io_uring_queue_exit(&burst->ring);
	munmap(burst->data, (size_t)BURST_MAX * BURST_BYTES);
	close(burst->disk_fd);
}
