/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/ublk/options.h"

#define PAGE_BYTES   4096u
#define SECTOR_BYTES 512u
#define STEP_MS	     10

void probe_die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

static const char *name_of(int64_t value)
{
	return value < 0 && value > -4096 ? strerrorname_np((int)-value) : NULL;
}

void probe_expect(const char *what, int64_t wanted, int64_t got)
{
	const char *wanted_name = name_of(wanted), *got_name = name_of(got);

	if (wanted == got)
		return;
	probe_die("%s: wanted %lld (%s), got %lld (%s)", what, (long long)wanted,
		  wanted_name ? wanted_name : "no error", (long long)got,
		  got_name ? got_name : "no error");
}

uint32_t probe_scale(void)
{
	const char *text = getenv("LAB_SCALE");

	return text && atoi(text) > 0 ? (uint32_t)atoi(text) : 1;
}

void probe_expect_noticed(const char *what, uint64_t lost_ms, uint64_t end_ms)
{
	uint64_t took_ms = end_ms - lost_ms;

	if (end_ms < lost_ms || took_ms > (uint64_t)PROBE_NOTICE_MS * probe_scale())
		probe_die("%s only after %lld ms", what, (long long)took_ms);
}

/* --- control ---------------------------------------------------------------------------------------- */

int probe_control(uint32_t op, uint32_t id, uint64_t data)
{
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS };
	int ret = control_open(&control);

	if (ret < 0)
		probe_die("/dev/ublk-control: %s", strerror(-ret));
	ret = control_device_command(&control, op, id, data);
	control_close(&control);
	return ret;
}

int probe_info_of(uint32_t id, struct ublksrv_ctrl_dev_info *info)
{
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS };
	int ret = control_open(&control);

	if (ret < 0)
		probe_die("/dev/ublk-control: %s", strerror(-ret));
	ret = control_device_info(&control, id, info);
	control_close(&control);
	return ret;
}

int probe_state(uint32_t id)
{
	struct ublksrv_ctrl_dev_info info;
	int ret = probe_info_of(id, &info);

	return ret < 0 ? ret : info.state;
}

void probe_await_state(uint32_t id, int state)
{
	uint64_t end_ms = probe_now_ms() + PROBE_TIMEOUT_MS;
	int now;

	while ((now = probe_state(id)) != state) {
		if (probe_now_ms() > end_ms)
			probe_die("the device's state is %d, not %d", now, state);
		usleep(STEP_MS * 1000);
	}
}

void probe_set_queue(uint32_t id, const char *name, const char *value)
{
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/%s", id, name);
	file = fopen(path, "w");
	if (!file || fputs(value, file) < 0 || fclose(file))
		probe_die("%s cannot be written: %s", path, strerror(errno));
}

void probe_await(const atomic_int *flag, const char *what)
{
	uint64_t end_ms = probe_now_ms() + PROBE_TIMEOUT_MS;

	while (!atomic_load(flag)) {
		if (probe_now_ms() > end_ms)
			probe_die("%s: waited too long", what);
		usleep(1000);
	}
}

uint64_t probe_listed(void)
{
	uint64_t there = 0;
	struct control control = { 0 };

	if (control_open(&control) < 0)
		probe_die("/dev/ublk-control cannot be opened");
	/* A driver without GET_FEATURES lists none. */
	control_features_get(&control, &there);
	control_close(&control);
	return there;
}

bool probe_lists(uint64_t features)
{
	const char *own = getenv("LAB_OWN_DRIVER");
	uint64_t there = probe_listed();

	if (!(features & ~there))
		return true;
	if (own && !strcmp(own, "1"))
		probe_die("our own driver lists %#llx, not all of %#llx", (unsigned long long)there,
			  (unsigned long long)features);
	printf("(the driver lists %#llx, not all of %#llx) ", (unsigned long long)there,
	       (unsigned long long)features);
	return false;
}

void probe_need(uint64_t features)
{
	if (!probe_lists(features))
		_exit(EXIT_SKIP);
}

struct ublksrv_ctrl_dev_info probe_info_plain(void)
{
	return (struct ublksrv_ctrl_dev_info){
		.dev_id = UINT32_MAX,
		.nr_hw_queues = 1,
		.queue_depth = 4,
		.max_io_buf_bytes = PROBE_BUFFER_BYTES,
		.flags = UBLK_F_CMD_IOCTL_ENCODE,
	};
}

struct ublk_params probe_params_plain(void)
{
	return (struct ublk_params){
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = { .logical_bs_shift = 9,
			   .physical_bs_shift = 9,
			   .io_min_shift = 9,
			   .io_opt_shift = 9,
			   .max_sectors = PROBE_BUFFER_BYTES / SECTOR_BYTES,
			   .dev_sectors = PROBE_SIZE_BYTES / SECTOR_BYTES },
	};
}

int probe_add_with(struct probe *probe, struct ublksrv_ctrl_dev_info info)
{
	struct control control = { 0 };
	int ret;

	if (control_open(&control) < 0)
		probe_die("/dev/ublk-control cannot be opened");
	probe->info = info;
	ret = control_device_add(&control, &probe->info);
	control_close(&control);
	return ret;
}

void probe_add(struct probe *probe, uint64_t features, uint16_t depth)
{
	struct ublk_params params = probe_params_plain();
	int ret;

	if (features)
		probe_need(features);
	ret = control_open(&probe->control);
	if (ret < 0)
		probe_die("/dev/ublk-control: %s", strerror(-ret));
	probe->info = probe_info_plain();
	probe->info.queue_depth = depth;
	probe->info.flags =
		features | UBLK_F_NO_AUTO_PART_SCAN | (probe->legacy ? 0 : UBLK_F_CMD_IOCTL_ENCODE);
	probe_expect("ADD_DEV", 0, control_device_add(&probe->control, &probe->info));
	if (features & ~probe->info.flags)
		probe_die("a feature that is listed is not granted");
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe->control, probe->info.dev_id, &params));
}

/* --- the daemon's side -------------------------------------------------------------------------------- */

void probe_open_char(struct probe *probe)
{
	char path[CONTROL_PATH_BYTES];
	uint64_t end_ms = probe_now_ms() + PROBE_TIMEOUT_MS;

	snprintf(path, sizeof(path), "/dev/ublkc%u", probe->info.dev_id);
	while ((probe->char_fd = open(path, O_RDWR | O_CLOEXEC)) < 0) {
		if (probe_now_ms() > end_ms)
			probe_die("%s: %s", path, strerror(errno));
		usleep(STEP_MS * 1000);
	}
}

static size_t descs_bytes(const struct probe *probe)
{
	size_t bytes = probe->info.queue_depth * sizeof(struct ublksrv_io_desc);

	return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

void probe_open(struct probe *probe, unsigned int ring_flags)
{
	int ret;

	probe_open_char(probe);
	probe->descs = mmap(NULL, descs_bytes(probe), PROT_READ, MAP_SHARED, probe->char_fd, 0);
	probe->buffers = mmap(NULL, (size_t)PROBE_DEPTH_MAX * PROBE_BUFFER_BYTES,
			      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe->descs == MAP_FAILED || probe->buffers == MAP_FAILED)
		probe_die("mmap: %s", strerror(errno));
	ret = io_uring_queue_init(2 * PROBE_DEPTH_MAX, &probe->ring, ring_flags);
	if (ret < 0)
		probe_die("a ring with flags %#x: %s", ring_flags, strerror(-ret));
}

struct io_uring_sqe *probe_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		probe_die("a ring is full");
	return sqe;
}

char *probe_buffer(const struct probe *probe, uint16_t tag)
{
	return probe->buffers + (size_t)tag * PROBE_BUFFER_BYTES;
}

void probe_prepare_at(struct probe *probe, uint32_t op, uint16_t tag, int result, uint64_t address)
{
	struct ublksrv_io_cmd payload = {
		.q_id = probe->queue, .tag = tag, .result = result, .addr = address
	};
	struct io_uring_sqe *sqe = probe_sqe(&probe->ring);

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = probe->char_fd;
	sqe->cmd_op = probe->legacy ? _IOC_NR(op) : op;
	sqe->flags = probe->sqe_flags;
	sqe->user_data = tag;
	memcpy(sqe->cmd, &payload, sizeof(payload));
}

void probe_send_at(struct probe *probe, uint32_t op, uint16_t tag, int result, uint64_t address)
{
	int ret;

	probe_prepare_at(probe, op, tag, result, address);
	ret = io_uring_submit(&probe->ring);
	if (ret != 1)
		probe_die("io_uring_submit: %d", ret);
	if (probe->scribbles)
		memset(probe->ring.sq.sqes, 0xff,
		       probe->ring.sq.ring_entries * sizeof(*probe->ring.sq.sqes));
}

void probe_send(struct probe *probe, uint32_t op, uint16_t tag, int result)
{
	bool copies = !(probe->info.flags & UBLK_F_USER_COPY);

	probe_send_at(probe, op, tag, result,
		      copies ? (uint64_t)(uintptr_t)probe_buffer(probe, tag) : 0);
}

int probe_wait(struct probe *probe, uint16_t *tag, uint32_t timeout_ms)
{
	struct __kernel_timespec limit = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = (timeout_ms % 1000) * 1000000LL,
	};
	struct io_uring_cqe *cqe;
	int ret;

	do
		ret = io_uring_wait_cqe_timeout(&probe->ring, &cqe, &limit);
	while (ret == -EINTR);
	if (ret < 0)
		return ret;
	ret = cqe->res;
	if (tag)
		*tag = (uint16_t)cqe->user_data;
	io_uring_cqe_seen(&probe->ring, cqe);
	return ret;
}

int probe_ask_at(struct probe *probe, uint32_t op, uint16_t tag, int result, uint64_t address)
{
	probe_send_at(probe, op, tag, result, address);
	return probe_wait(probe, NULL, PROBE_TIMEOUT_MS);
}

int probe_ask(struct probe *probe, uint32_t op, uint16_t tag, int result)
{
	probe_send(probe, op, tag, result);
	return probe_wait(probe, NULL, PROBE_TIMEOUT_MS);
}

uint16_t probe_take(struct probe *probe, uint32_t op)
{
	uint16_t tag = 0;

	probe_expect("a request", UBLK_IO_RES_OK, probe_wait(probe, &tag, PROBE_TIMEOUT_MS));
	if (op != PROBE_ANY)
		probe_expect("the request's operation", op, probe->descs[tag].op_flags & 0xff);
	return tag;
}

unsigned int probe_serve(struct probe *probe, uint32_t timeout_ms)
{
	unsigned int count = 0;
	uint16_t tag = 0;
	int ret;

	for (;;) {
		ret = probe_wait(probe, &tag, timeout_ms);
		if (ret == UBLK_IO_RES_NEED_GET_DATA) {
			probe_send(probe, UBLK_U_IO_NEED_GET_DATA, tag, 0);
			continue;
		}
		if (ret != UBLK_IO_RES_OK)
			break;
		probe_send(probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag,
			   (int)(probe->descs[tag].nr_sectors * SECTOR_BYTES));
		count++;
	}
	if (ret != -ETIME && ret != UBLK_IO_RES_ABORT)
		probe_expect("a request to serve", 0, ret);
	return count;
}

void probe_fetch_all(struct probe *probe)
{
	for (uint16_t tag = 0; tag < probe->info.queue_depth; tag++)
		probe_send(probe, UBLK_U_IO_FETCH_REQ, tag, 0);
}

struct control_thread {
	pthread_t thread;
	uint32_t op, id;
	uint64_t data;
	atomic_int done;
	int result;
};

static void *run_control(void *argument)
{
	struct control_thread *call = argument;

	call->result = probe_control(call->op, call->id, call->data);
	atomic_store(&call->done, 1);
	return NULL;
}

/* A command that may wait for requests, which are answered meanwhile. */
static int control_while_serving(struct probe *probe, uint32_t op, uint64_t data)
{
	struct control_thread call = { .op = op, .id = probe->info.dev_id, .data = data };

	if (pthread_create(&call.thread, NULL, run_control, &call))
		probe_die("no thread");
	while (!atomic_load(&call.done))
		probe_serve(probe, STEP_MS);
	pthread_join(call.thread, NULL);
	return call.result;
}

void probe_start(struct probe *probe)
{
	probe_expect("START_DEV", 0,
		     control_while_serving(probe, UBLK_U_CMD_START_DEV, (uint64_t)getpid()));
}

void probe_run(struct probe *probe, uint64_t features, uint16_t depth)
{
	probe_add(probe, features, depth);
	probe_open(probe, 0);
	probe_fetch_all(probe);
	probe_start(probe);
}

void probe_close(struct probe *probe)
{
	io_uring_queue_exit(&probe->ring);
	munmap((void *)probe->descs, descs_bytes(probe));
	munmap(probe->buffers, (size_t)PROBE_DEPTH_MAX * PROBE_BUFFER_BYTES);
	close(probe->char_fd);
}

void probe_delete(struct probe *probe)
{
	probe_close(probe);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe->info.dev_id, 0));
}

void probe_end(struct probe *probe)
{
	uint32_t id = probe->info.dev_id;

	probe_expect("STOP_DEV", 0, control_while_serving(probe, UBLK_U_CMD_STOP_DEV, 0));
	probe_close(probe);
	probe_expect("DEL_DEV", 0,
		     control_device_command(&probe->control, UBLK_U_CMD_DEL_DEV, id, 0));
	probe_expect("GET_DEV_INFO of what is deleted", -ENODEV, probe_state(id));
	control_close(&probe->control);
}

/* --- the disk's user -------------------------------------------------------------------------------- */

static int disk_io_do(const struct disk_io *io, int fd)
{
	uint64_t range[2] = { io->offset_bytes, io->bytes };
	struct iovec all = { io->data, io->bytes };
	ssize_t done;

	switch (io->op) {
	case UBLK_IO_OP_READ:
		done = pread(fd, io->data, io->bytes, (off_t)io->offset_bytes);
		break;
	case UBLK_IO_OP_WRITE:
		done = pwrite(fd, io->data, io->bytes, (off_t)io->offset_bytes);
		break;
	case UBLK_IO_OP_WRITE | UBLK_IO_F_FUA:
		done = pwritev2(fd, &all, 1, (off_t)io->offset_bytes, RWF_DSYNC);
		break;
	case UBLK_IO_OP_WRITE_ZEROES:
		done = ioctl(fd, BLKZEROOUT, range);
		break;
	case DISK_IO_PUNCH:
		done = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)io->offset_bytes, io->bytes);
		break;
	case UBLK_IO_OP_FLUSH:
		done = fsync(fd);
		break;
	default:
		done = ioctl(fd, BLKDISCARD, range);
	}
	return done < 0 ? -errno : (int)done;
}

static void *disk_io_run(void *argument)
{
	struct disk_io *io = argument;
	char path[CONTROL_PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "/dev/ublkb%u", io->device);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	io->result = fd < 0 ? -errno : disk_io_do(io, fd);
	io->end_ms = probe_now_ms();
	atomic_store(&io->done, 1);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void disk_io_allocate(struct disk_io *io)
{
	if (!io->data)
		io->data = mmap(NULL, PROBE_BUFFER_BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (io->data == MAP_FAILED)
		probe_die("no memory for a request");
}

void disk_io_start(struct disk_io *io, const struct probe *probe, uint32_t op, uint32_t bytes)
{
	disk_io_allocate(io);
	io->device = probe->info.dev_id;
	io->op = op;
	io->bytes = bytes;
	atomic_store(&io->done, 0);
	if (pthread_create(&io->thread, NULL, disk_io_run, io))
		probe_die("no thread for a request");
}

void disk_io_write(struct disk_io *io, const struct probe *probe, int byte, uint32_t bytes)
{
	disk_io_allocate(io);
	memset(io->data, byte, bytes);
	disk_io_start(io, probe, UBLK_IO_OP_WRITE, bytes);
}

int disk_io_wait(struct disk_io *io, uint32_t timeout_ms)
{
	uint64_t end_ms = probe_now_ms() + timeout_ms;

	while (!atomic_load(&io->done)) {
		if (probe_now_ms() > end_ms)
			return -ETIME;
		usleep(1000);
	}
	pthread_join(io->thread, NULL);
	return io->result;
}
