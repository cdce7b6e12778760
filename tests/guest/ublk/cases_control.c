/* SPDX-License-Identifier: MIT */
/*
 * cases_control.c - the control commands: what is refused, what is clamped, who may, when. Hazards
 * 14, 15, 21, 23 of kernel/README.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"

#define DEPTH	   4
#define QUEUES_MAX 4096 /* the ABI's */
#define PAGE_BYTES 4096u
#define STRANGER   1000
/* Far more than a driver may wait for an open that is under way, far less than for a daemon. */
#define SCAN_WAIT_MS 5000

static struct probe probe;

static void delete_added(void)
{
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

static void h21_add_refused(void)
{
	struct ublksrv_ctrl_dev_info info;

	info = probe_info_plain();
	info.nr_hw_queues = 0;
	probe_expect("no queue", -EINVAL, probe_add_with(&probe, info));
	info = probe_info_plain();
	info.queue_depth = 0;
	probe_expect("depth 0", -EINVAL, probe_add_with(&probe, info));
	info.queue_depth = UBLK_MAX_QUEUE_DEPTH + 1;
	probe_expect("depth 4097", -EINVAL, probe_add_with(&probe, info));
	info = probe_info_plain();
	info.dev_id = 1u << 20;
	probe_expect("id 2^20", -EINVAL, probe_add_with(&probe, info));
	info = probe_info_plain();
	info.flags |= UBLK_F_USER_RECOVERY_REISSUE;
	probe_expect("REISSUE without RECOVERY", -EINVAL, probe_add_with(&probe, info));
	info.flags = UBLK_F_USER_RECOVERY_FAIL_IO;
	probe_expect("FAIL_IO without RECOVERY", -EINVAL, probe_add_with(&probe, info));
	info.flags =
		UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO | UBLK_F_USER_RECOVERY_REISSUE;
	probe_expect("FAIL_IO with REISSUE", -EINVAL, probe_add_with(&probe, info));
	info.flags = UBLK_F_QUIESCE;
	probe_expect("QUIESCE without RECOVERY", -EINVAL, probe_add_with(&probe, info));
	info.flags = UBLK_F_UNPRIVILEGED_DEV | UBLK_F_USER_COPY;
	probe_expect("UNPRIVILEGED with USER_COPY", -EINVAL, probe_add_with(&probe, info));
	info.flags = UBLK_F_UNPRIVILEGED_DEV | UBLK_F_USER_RECOVERY;
	probe_expect("UNPRIVILEGED with RECOVERY", -EINVAL, probe_add_with(&probe, info));
}

/* What the driver alone decides is decided by the driver. */
static void h21_add_clamped(void)
{
	struct ublksrv_ctrl_dev_info info = probe_info_plain();
	uint64_t listed = probe_listed();

	info.state = UBLK_S_DEV_LIVE;
	info.ublksrv_pid = 1;
	info.owner_uid = info.owner_gid = STRANGER;
	info.nr_hw_queues = QUEUES_MAX;
	info.max_io_buf_bytes = UINT32_MAX;
	info.flags |= ~listed;
	probe_expect("ADD_DEV", 0, probe_add_with(&probe, info));
	probe_expect("state", UBLK_S_DEV_DEAD, probe.info.state);
	probe_expect("pid", -1, probe.info.ublksrv_pid);
	probe_expect("owner", 0, probe.info.owner_uid | probe.info.owner_gid);
	probe_expect("queues", sysconf(_SC_NPROCESSORS_CONF), probe.info.nr_hw_queues);
	probe_expect("flags that are not listed", 0, (int64_t)(probe.info.flags & ~listed));
	if (probe.info.max_io_buf_bytes > 32u << 20)
		probe_die("%u bytes a request", probe.info.max_io_buf_bytes);
	info.dev_id = probe.info.dev_id;
	info.flags = UBLK_F_CMD_IOCTL_ENCODE;
	probe_expect("an id that is taken", -EEXIST, probe_add_with(&probe, info));
	probe.info.dev_id = info.dev_id;
	delete_added();
	probe_expect("the id again", 0, probe_add_with(&probe, info));
	delete_added();
}

static int set(struct ublk_params params)
{
	return control_params_set(&probe.control, probe.info.dev_id, &params);
}

static struct ublk_params sound_params(void)
{
	return (struct ublk_params){
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = { .logical_bs_shift = 12,
			   .physical_bs_shift = 12,
			   .io_min_shift = 12,
			   .io_opt_shift = 12,
			   .max_sectors = PROBE_BUFFER_BYTES / 512,
			   .dev_sectors = PROBE_SIZE_BYTES / 512 },
	};
}

/* What the block layer would loop on, cut to pieces of nothing, or warn of. */
static void discard_refused(void)
{
	static const uint32_t odd[] = { 512,	     PAGE_BYTES - 1, PAGE_BYTES + 512,
					0xfffffe01u, 0x80001000u,    UINT32_MAX };
	struct ublk_params params = sound_params();

	params.types |= UBLK_PARAM_TYPE_DISCARD;
	params.discard.max_discard_segments = 1;
	params.discard.max_discard_sectors = 8;
	probe_expect("discards without a granularity", -EINVAL, set(params));
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		params.discard.discard_granularity = odd[i];
		probe_expect("discards of no whole blocks, or too large ones", -EINVAL,
			     set(params));
	}
	params.discard.discard_granularity = PAGE_BYTES;
	params.discard.discard_alignment = 512;
	probe_expect("discards that begin within a block", -EINVAL, set(params));
	params.discard.discard_alignment = 0;
	params.discard.max_discard_segments = 2;
	probe_expect("discards of two ranges", -EINVAL, set(params));
	params.discard.max_discard_sectors = 0;
	params.discard.max_write_zeroes_sectors = 8;
	params.discard.discard_granularity = 0;
	probe_expect("zeroes without a granularity", -EINVAL, set(params));
	params.discard.discard_granularity = 1u << 31;
	probe_expect("the largest granularity", 0, set(params));
}

static void memory_refused(void)
{
	static const uint32_t masks[] = { PAGE_BYTES, PAGE_BYTES * 2 - 1, 2, UINT32_MAX };
	struct ublk_params params = sound_params();

	params.types |= UBLK_PARAM_TYPE_DMA_ALIGN;
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		params.dma.alignment = masks[i];
		probe_expect("an alignment that is no mask below a page", -EINVAL, set(params));
	}
	params.dma.alignment = PAGE_BYTES - 1;
	probe_expect("alignment to a page", 0, set(params));
	params = sound_params();
	params.types |= UBLK_PARAM_TYPE_SEGMENT;
	params.seg.max_segment_size = PAGE_BYTES - 1;
	probe_expect("segments below a page", -EINVAL, set(params));
	params.seg.max_segment_size = PAGE_BYTES;
	params.seg.seg_boundary_mask = 511;
	probe_expect("a segment boundary below a page", -EINVAL, set(params));
	params.seg.seg_boundary_mask = 0x1fffe;
	probe_expect("a segment boundary that is no mask", -EINVAL, set(params));
}

static void params_refused(void)
{
	struct ublk_params params;

	probe_run(&probe, 0, DEPTH);
	probe_expect("SET_PARAMS of a disk that is there", -EACCES, set(sound_params()));
	probe_end(&probe);
	probe_add(&probe, 0, DEPTH);
	params = sound_params();
	params.basic.logical_bs_shift = 8;
	probe_expect("blocks of 256", -EINVAL, set(params));
	params.basic.logical_bs_shift = 13;
	probe_expect("blocks of 8192", -EINVAL, set(params));
	params.basic.logical_bs_shift = 255;
	probe_expect("blocks of 2^255", -EINVAL, set(params));
	params = sound_params();
	params.basic.physical_bs_shift = 9;
	probe_expect("physical blocks below logical", -EINVAL, set(params));
	params = sound_params();
	params.basic.max_sectors = PROBE_BUFFER_BYTES / 512 + 1;
	probe_expect("requests above the buffer", -EINVAL, set(params));
	params.basic.max_sectors = 1;
	probe_expect("requests below a page", -EINVAL, set(params));
	params = sound_params();
	params.basic.chunk_sectors = 1;
	probe_expect("chunks below a block", -EINVAL, set(params));
	params.basic.chunk_sectors = 9;
	probe_expect("chunks of an odd size", -EINVAL, set(params));
	params = sound_params();
	params.basic.dev_sectors = UINT64_MAX;
	probe_expect("a disk of 2^64 sectors", -EINVAL, set(params));
	params = sound_params();
	params.basic.virt_boundary_mask = 4094;
	probe_expect("a boundary that is no mask", -EINVAL, set(params));
	params.basic.virt_boundary_mask = 4095;
	params.types |= UBLK_PARAM_TYPE_SEGMENT;
	params.seg.max_segment_size = 65536;
	probe_expect("a boundary and short segments", -EINVAL, set(params));
	discard_refused();
	memory_refused();
	probe_expect("a disk with these", 0, set(sound_params()));
	delete_added();
	control_close(&probe.control);
}

/* Cuts at segments within a block would leave nothing to send: the memory must be aligned then. */
static void params_small_segments(void)
{
	struct ublk_params params = sound_params();
	struct disk_io io = { 0 }, odd = { 0 };
	uint16_t tag;

	params.types |= UBLK_PARAM_TYPE_SEGMENT;
	params.seg.max_segments = 1;
	params.seg.max_segment_size = PAGE_BYTES;
	params.seg.seg_boundary_mask = PAGE_BYTES - 1;
	probe_add(&probe, 0, DEPTH);
	if (set(params) == -EINVAL)
		probe_die("this driver has no segment parameters");
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_start(&probe);
	disk_io_start(&io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_expect("a write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	odd.data = io.data + 512;
	disk_io_start(&odd, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	probe_expect("a write from the middle of a block", -EINVAL,
		     disk_io_wait(&odd, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

/* --- hazard 14 ---------------------------------------------------------------------------------------- */

/* Ends by SIGKILL although its START_DEV waits for FETCHes that will not come. */
static void killed_while_waiting(uint32_t op)
{
	int status;
	pid_t child = fork();

	if (!child) {
		probe_control(op, probe.info.dev_id, (uint64_t)getpid());
		_exit(0);
	}
	usleep(300000);
	probe_expect("it waits", 0, waitpid(child, &status, WNOHANG));
	kill(child, SIGKILL);
	for (int i = 0; i < PROBE_TIMEOUT_MS / 10; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return;
		usleep(10000);
	}
	probe_die("it does not end");
}

static void h14_start(void)
{
	uint32_t id;

	probe_add(&probe, 0, DEPTH);
	id = probe.info.dev_id;
	probe_open(&probe, 0);
	killed_while_waiting(UBLK_U_CMD_START_DEV);
	probe_fetch_all(&probe);
	probe_expect("START_DEV with pid 0", -EINVAL, probe_control(UBLK_U_CMD_START_DEV, id, 0));
	probe_expect("START_DEV with pid -1", -EINVAL,
		     probe_control(UBLK_U_CMD_START_DEV, id, UINT64_MAX));
	probe_expect("START_DEV with another's pid", -EINVAL,
		     probe_control(UBLK_U_CMD_START_DEV, id, 1));
	probe_start(&probe);
	probe_expect("START_DEV twice", -EEXIST,
		     probe_control(UBLK_U_CMD_START_DEV, id, (uint64_t)getpid()));
	probe_end(&probe);
}

/* --- hazard 15 ---------------------------------------------------------------------------------------- */

/* A daemon in a process of its own, and one that inherits its file. Their pids, and the device's id. */
struct family {
	pid_t daemon, heir;
	uint32_t id;
};

static struct family family_begin(uint64_t features)
{
	struct family family = { 0 };
	int word[2];

	if (pipe(word))
		probe_die("no pipe");
	family.daemon = fork();
	if (!family.daemon) {
		probe_run(&probe, features, DEPTH);
		family.daemon = getpid();
		family.heir = fork();
		if (!family.heir)
			for (;;)
				pause();
		family.id = probe.info.dev_id;
		if (write(word[1], &family, sizeof(family)) != sizeof(family))
			probe_die("pipe");
		for (;;)
			pause();
	}
	close(word[1]);
	if (read(word[0], &family, sizeof(family)) != sizeof(family))
		probe_die("the daemon does not start");
	close(word[0]);
	return family;
}

/* A daemon in a pid namespace of its own, whose first process it is. */
struct inmate {
	pid_t pid; /* as the namespace outside has it */
	uint32_t id;
	atomic_int started;
};

static int pid_told(uint32_t id)
{
	struct ublksrv_ctrl_dev_info info = { 0 };

	probe_expect("GET_DEV_INFO", 0, probe_info_of(id, &info));
	return info.ublksrv_pid;
}

static void inmate_run(struct inmate *inmate)
{
	probe_expect("its pid", 1, getpid());
	probe_add(&probe, 0, DEPTH);
	inmate->id = probe.info.dev_id;
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_expect("START_DEV with the pid that others have for it", -EINVAL,
		     probe_control(UBLK_U_CMD_START_DEV, inmate->id, (uint64_t)inmate->pid));
	probe_start(&probe);
	probe_expect("the pid that it is told", 1, pid_told(inmate->id));
	atomic_store(&inmate->started, 1);
	for (;;)
		pause();
}

static void h14_pid_namespace(void)
{
	struct inmate *inmate =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	atomic_int *forked;
	pid_t child, warder;
	int status;

	if (inmate == MAP_FAILED)
		probe_die("no memory");
	forked = (atomic_int *)(inmate + 1);
	warder = fork();
	if (!warder) {
		if (unshare(CLONE_NEWPID))
			probe_die("unshare: %s", strerror(errno));
		child = fork();
		if (!child) {
			probe_await(forked, "the pid outside");
			inmate_run(inmate);
		}
		inmate->pid = child;
		atomic_store(forked, 1);
		waitpid(child, &status, 0);
		_exit(0);
	}
	probe_await(&inmate->started, "a daemon in a pid namespace");
	probe_expect("the pid that others are told", inmate->pid, pid_told(inmate->id));
	kill(inmate->pid, SIGKILL);
	if (waitpid(warder, &status, 0) != warder || status)
		probe_die("the daemon did not end");
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, inmate->id, 0));
}

static void h15_recovery(void)
{
	struct family family;
	uint32_t id;

	probe_run(&probe, 0, DEPTH);
	probe_expect("START_USER_RECOVERY without the feature", -EINVAL,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, probe.info.dev_id, 0));
	probe_end(&probe);
	family = family_begin(UBLK_F_USER_RECOVERY);
	id = probe.info.dev_id = family.id;
	probe_expect("START_USER_RECOVERY of a live device", -EBUSY,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, id, 0));
	kill(family.daemon, SIGKILL);
	waitpid(family.daemon, NULL, 0);
	usleep(700000);
	probe_expect("START_USER_RECOVERY while the device is open", -EBUSY,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, id, 0));
	kill(family.heir, SIGKILL);
	probe_await_state(id, UBLK_S_DEV_QUIESCED);
	probe_expect("START_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, id, 0));
	probe_open(&probe, 0);
	killed_while_waiting(UBLK_U_CMD_END_USER_RECOVERY);
	probe_fetch_all(&probe);
	probe_expect("END_USER_RECOVERY with another's pid", -EINVAL,
		     probe_control(UBLK_U_CMD_END_USER_RECOVERY, id, 1));
	probe_expect("END_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_END_USER_RECOVERY, id, (uint64_t)getpid()));
	probe_expect("END_USER_RECOVERY twice", -EBUSY,
		     probe_control(UBLK_U_CMD_END_USER_RECOVERY, id, (uint64_t)getpid()));
	probe_expect("state", UBLK_S_DEV_LIVE, probe_state(id));
	if (control_open(&probe.control) < 0)
		probe_die("no control");
	probe_end(&probe);
}

/* --- hazard 23 ---------------------------------------------------------------------------------- */

/* What waits for FETCHes has a reference to the device: DEL_DEV ends the waiting, and then has its own end. */
static void deleted_while_start_waits(void)
{
	int status;
	pid_t child;

	probe_add(&probe, 0, DEPTH);
	probe_open(&probe, 0);
	child = fork();
	if (!child) {
		probe_expect("START_DEV of what is deleted", -EBUSY,
			     probe_control(UBLK_U_CMD_START_DEV, probe.info.dev_id,
					   (uint64_t)getppid()));
		_exit(0);
	}
	usleep(300000);
	probe_expect("START_DEV waits", 0, waitpid(child, &status, WNOHANG));
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV_ASYNC, probe.info.dev_id, 0));
	if (waitpid(child, &status, 0) != child || status)
		probe_die("START_DEV: status %#x", status);
	probe_close(&probe);
}

/* DEL_DEV waits for its device's end, not for its id, which another device may have at once. */
static void another_takes_the_id(void)
{
	const uint64_t end_ms = probe_now_ms() + 2000;
	unsigned int reused = 0;
	uint32_t wanted;
	pid_t child;

	probe_add(&probe, 0, DEPTH);
	wanted = probe.info.dev_id;
	child = fork();
	if (!child) {
		for (;;) {
			struct probe other = { 0 };

			probe_add(&other, 0, DEPTH);
			/* Longer than anybody waits for the one before. */
			if (other.info.dev_id == wanted)
				pause();
			probe_control(UBLK_U_CMD_DEL_DEV_ASYNC, other.info.dev_id, 0);
			control_close(&other.control);
		}
	}
	usleep(300000);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, wanted, 0));
	while (probe_now_ms() < end_ms && !reused) {
		reused = probe_state(wanted) >= 0;
		usleep(10000);
	}
	if (!reused)
		probe_die("nobody took the id");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	probe_expect("DEL_DEV of the other one", 0, probe_control(UBLK_U_CMD_DEL_DEV, wanted, 0));
}

static void h23_delete(void)
{
	uint32_t id;

	probe_add(&probe, 0, DEPTH);
	id = probe.info.dev_id;
	probe_open(&probe, 0);
	killed_while_waiting(UBLK_U_CMD_DEL_DEV);
	probe_expect("DEL_DEV of what is deleted and still open", 0,
		     probe_control(UBLK_U_CMD_DEL_DEV_ASYNC, id, 0));
	probe_expect("a FETCH", -ENODEV, probe_ask(&probe, UBLK_U_IO_FETCH_REQ, 0, 0));
	probe_expect("GET_DEV_INFO", UBLK_S_DEV_DEAD, probe_state(id));
	close(probe.char_fd);
	io_uring_queue_exit(&probe.ring);
	probe_expect("the mapping holds it", UBLK_S_DEV_DEAD, probe_state(id));
	munmap((void *)probe.descs, PAGE_BYTES);
	for (int i = 0; probe_state(id) >= 0; i++) {
		if (i == PROBE_TIMEOUT_MS / 10)
			probe_die("the device stays");
		usleep(10000);
	}
	probe_expect("DEL_DEV of none", -ENODEV, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
	probe_expect("STOP_DEV of none", -ENODEV, probe_control(UBLK_U_CMD_STOP_DEV, id, 0));
}

/* --- QUIESCE, UPDATE_SIZE, TRY_STOP --------------------------------------------------------------------- */

/* A request is with the daemon: QUIESCE gives up after its time, and nothing has changed. */
static void quiesce_gives_up(void)
{
	struct disk_io io = { 0 }, later = { 0 };
	uint16_t tag;

	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_expect("QUIESCE_DEV with a request at work", -EBUSY,
		     probe_control(UBLK_U_CMD_QUIESCE_DEV, probe.info.dev_id, 200));
	disk_io_start(&later, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_expect("the read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_expect("a later read", PAGE_BYTES, disk_io_wait(&later, PROBE_TIMEOUT_MS));
}

static void quiesce(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;
	uint32_t id;

	probe_run(&probe, UBLK_F_USER_RECOVERY | UBLK_F_QUIESCE, DEPTH);
	id = probe.info.dev_id;
	quiesce_gives_up();
	probe_expect("QUIESCE_DEV", 0, probe_control(UBLK_U_CMD_QUIESCE_DEV, id, 5000));
	for (int i = 0; i < DEPTH; i++)
		probe_expect("the daemon is told to go", UBLK_IO_RES_ABORT,
			     probe_wait(&probe, NULL, PROBE_TIMEOUT_MS));
	disk_io_start(&io, &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	probe_expect("a write waits", -ETIME, disk_io_wait(&io, 300));
	probe_close(&probe);
	probe_await_state(id, UBLK_S_DEV_QUIESCED);
	probe_expect("QUIESCE_DEV again", 0, probe_control(UBLK_U_CMD_QUIESCE_DEV, id, 100));
	probe_expect("START_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, id, 0));
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_expect("END_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_END_USER_RECOVERY, id, (uint64_t)getpid()));
	tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_end(&probe);
}

static void update_size(void)
{
	uint32_t id;

	/* The flag says that the command is there, and need not be asked for. */
	probe_need(UBLK_F_UPDATE_SIZE);
	probe_run(&probe, 0, DEPTH);
	id = probe.info.dev_id;
	probe_expect("UPDATE_SIZE", 0, probe_control(UBLK_U_CMD_UPDATE_SIZE, id, 1 << 20));
	probe_expect("UPDATE_SIZE to 2^64 sectors", -EINVAL,
		     probe_control(UBLK_U_CMD_UPDATE_SIZE, id, UINT64_MAX));
	probe_end(&probe);
	probe_add(&probe, 0, DEPTH);
	probe_expect("UPDATE_SIZE without a disk", -ENODEV,
		     probe_control(UBLK_U_CMD_UPDATE_SIZE, probe.info.dev_id, 1 << 20));
	delete_added();
	control_close(&probe.control);
}

static void try_stop(void)
{
	char path[CONTROL_PATH_BYTES];
	uint32_t id;
	int disk;

	probe_need(UBLK_F_SAFE_STOP_DEV);
	probe_run(&probe, 0, DEPTH);
	id = probe.info.dev_id;
	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	disk = open(path, O_RDONLY | O_CLOEXEC);
	probe_expect("TRY_STOP_DEV of a disk in use", -EBUSY,
		     probe_control(UBLK_U_CMD_TRY_STOP_DEV, id, 0));
	probe_expect("state", UBLK_S_DEV_LIVE, probe_state(id));
	close(disk);
	probe_expect("TRY_STOP_DEV", 0, probe_control(UBLK_U_CMD_TRY_STOP_DEV, id, 0));
	probe_expect("state", UBLK_S_DEV_DEAD, probe_state(id));
	probe_end(&probe);
}

static void *reread_table(void *disk)
{
	return (void *)(intptr_t)(ioctl(*(int *)disk, BLKRRPART) < 0 ? errno : 0);
}

/* Who reads the partition table holds the disk's open lock, and waits for the daemon: TRY_STOP_DEV must not
 * wait for that lock, since it keeps others from the device meanwhile. */
static void try_stop_while_scanned(void)
{
	char path[CONTROL_PATH_BYTES];
	pthread_t reader;
	uint64_t began_ms;
	uint16_t tag;
	uint32_t id;
	void *error;
	int disk;

	probe_run(&probe, UBLK_F_SAFE_STOP_DEV, DEPTH);
	id = probe.info.dev_id;
	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	disk = open(path, O_RDONLY | O_CLOEXEC);
	if (disk < 0 || pthread_create(&reader, NULL, reread_table, &disk))
		probe_die("no reader of the partition table");
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	began_ms = probe_now_ms();
	probe_expect("TRY_STOP_DEV during a scan", -EBUSY,
		     probe_control(UBLK_U_CMD_TRY_STOP_DEV, id, 0));
	if (probe_now_ms() - began_ms > SCAN_WAIT_MS)
		probe_die("TRY_STOP_DEV waited for the scan");
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag,
		   (int)(probe.descs[tag].nr_sectors << 9));
	probe_serve(&probe, 1000);
	pthread_join(reader, &error);
	probe_expect("BLKRRPART", 0, (intptr_t)error);
	close(disk);
	probe_expect("TRY_STOP_DEV", 0, probe_control(UBLK_U_CMD_TRY_STOP_DEV, id, 0));
	probe_end(&probe);
}

const struct probe_case cases_control[] = {
	{ "h21-add-refused", h21_add_refused },
	{ "h21-add-clamped", h21_add_clamped },
	{ "params-refused", params_refused },
	{ "params-small-segments", params_small_segments },
	{ "h14-start", h14_start },
	{ "h14-pid-namespace", h14_pid_namespace },
	{ "h15-recovery", h15_recovery },
	{ "h23-delete", h23_delete },
	{ "h23-deleted-while-start-waits", deleted_while_start_waits },
	{ "h23-another-takes-the-id", another_takes_the_id },
	{ "quiesce", quiesce },
	{ "update-size", update_size },
	{ "try-stop", try_stop },
	{ "try-stop-while-scanned", try_stop_while_scanned },
	{ NULL, NULL },
};
