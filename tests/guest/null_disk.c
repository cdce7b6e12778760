/* SPDX-License-Identifier: MIT */
/*
 * null_disk.c - a ublk disk whose requests a null backend answers: the driver's side of the gateway and
 * the queue's thread by themselves. 256 MiB that read as zeroes; what is written is gone.
 *
 *   null_disk user-copy|mapped [DEPTH]      prints the disk's path; SIGTERM removes the disk
 *
 * Exits 0, or 1 with a sentence. With SIGTERM while the disk is open, too: it is stopped all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/block/null_backend.h"
#include "gateway/common/params.h"
#include "gateway/common/ublk_control.h"
#include "gateway/disk/queue.h"
#include "proto/wire.h"
#include "tls/clock.h"

#define DISK_BYTES    (256u << 20)
#define MAX_IO_BYTES  (1u << 20)
#define COMMAND_MS    20000
#define NODE_TRIES    2500
#define NODE_PAUSE_MS 2

static struct ublk_control *control;
static struct ublksrv_ctrl_dev_info info;
static struct queue_shared shared;
static struct block_backend backend;
static struct queue queue;

static _Noreturn void give_up(const char *what, int ret)
{
	fprintf(stderr, "null_disk: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static void check(const char *what, int ret)
{
	if (ret < 0)
		give_up(what, ret);
}

static void add_device(bool mapped, uint16_t depth)
{
	static const struct nbd_export export = {
		.size_bytes = DISK_BYTES,
		.flags = NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |
			 NBD_FLAG_SEND_WRITE_ZEROES,
		.block_preferred_bytes = 4096,
	};
	static const struct disk_geometry geometry = {
		.size_bytes = DISK_BYTES,
		.logical_block_bytes = 512,
		.physical_block_bytes = 4096,
		.max_io_bytes = MAX_IO_BYTES,
	};
	struct ublk_params params;
	char error[512];

	if (ublk_control_open(&control, error, sizeof(error)) < 0) {
		fprintf(stderr, "null_disk: %s\n", error);
		exit(1);
	}
	info = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = 1,
		.queue_depth = depth,
		.max_io_buf_bytes = MAX_IO_BYTES,
		.dev_id = UINT32_MAX,
		.ublksrv_pid = getpid(),
		.flags = UBLK_F_CMD_IOCTL_ENCODE | (mapped ? 0 : UBLK_F_USER_COPY),
	};
	check("ADD_DEV", ublk_control_add(control, &info));
	params_fill(&params, &geometry, &export);
	check("SET_PARAMS", ublk_control_set_params(control, info.dev_id, &params));
}

static int open_char_device(void)
{
	char path[32];
	int fd = -1;

	snprintf(path, sizeof(path), "/dev/ublkc%u", info.dev_id);
	for (int tries = 0; fd < 0 && tries < NODE_TRIES; tries++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			clock_pause_ms(NODE_PAUSE_MS);
	}
	check(path, fd < 0 ? -errno : 0);
	return fd;
}

static void serve(void)
{
	trouble_init(&shared.trouble);
	shared.char_fd = open_char_device();
	shared.depth = info.queue_depth;
	shared.mapped = !(info.flags & UBLK_F_USER_COPY);
	shared.max_io_bytes = MAX_IO_BYTES;
	atomic_store(&shared.size_bytes, DISK_BYTES);
	null_backend_open(&backend);
	check("the queue", queue_open(&queue, &shared, 0, &backend));
	check("its thread", queue_start(&queue));
	check("START_DEV", ublk_control_start(control, info.dev_id, getpid(), COMMAND_MS));
}

static void remove_disk(void)
{
	check("STOP_DEV", ublk_control_stop(control, info.dev_id, COMMAND_MS));
	if (!queue_join(&queue, COMMAND_MS))
		give_up("the queue's thread does not end", -ETIMEDOUT);
	check("the queue", -atomic_load(&queue.failure));
	if (!queue_close(&queue))
		give_up("the ring keeps memory", -EBUSY);
	close(shared.char_fd);
	check("DEL_DEV", ublk_control_delete(control, info.dev_id, COMMAND_MS));
	ublk_control_close(control);
}

int main(int argc, char **argv)
{
	bool mapped = argc > 1 && !strcmp(argv[1], "mapped");
	long depth = argc > 2 ? strtol(argv[2], NULL, 10) : 128;
	sigset_t ends;
	int number;

	if (argc < 2 || (!mapped && strcmp(argv[1], "user-copy")) || depth < 1 || depth > 4096) {
		fprintf(stderr, "usage: null_disk user-copy|mapped [DEPTH]\n");
		return 2;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	add_device(mapped, (uint16_t)depth);
	if (mapped != !(info.flags & UBLK_F_USER_COPY))
		give_up("user copy", -EOPNOTSUPP);
	serve();
	printf("/dev/ublkb%u\n", info.dev_id);
	fflush(stdout);
	sigwait(&ends, &number);
	remove_disk();
	return 0;
}
