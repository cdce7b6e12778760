/* SPDX-License-Identifier: MIT */
/*
 * cases_races.c - what only goes wrong now and then, done many times: rings that close right behind a
 * FETCH, daemons that die while they are told to go, scans that nobody answers, last references that
 * are dropped by the daemon itself, files that are closed late. Hazards 5, 7, 8, 11, 12, 24 of
 * kernel/README.md. REPEATS (environment) says how often; by default few.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"

#define DEPTH	   16
#define PAGE_BYTES 4096u

static struct probe probe;

static int repeats(void)
{
	const char *text = getenv("REPEATS");

	return text && atoi(text) > 0 ? atoi(text) : 20;
}

/* A command is cancelled right when it was published, or before. */
static void h05_fetch_and_close(void)
{
	for (int i = 0; i < repeats(); i++) {
		probe_add(&probe, 0, DEPTH);
		probe_open(&probe,
			   i & 1 ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0);
		probe.sqe_flags = i & 2 ? IOSQE_ASYNC : 0;
		probe_fetch_all(&probe);
		probe_delete(&probe);
		control_close(&probe.control);
	}
}

/* Its status. */
static int await_end(pid_t child)
{
	int status;

	for (int i = 0; i < PROBE_TIMEOUT_MS / 10; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(10000);
	}
	probe_die("a process does not end");
}

/* A null server that tells its device's id through a pipe. */
static pid_t server_begin(uint64_t features, uint32_t *id)
{
	int word[2];
	pid_t child;

	if (pipe(word))
		probe_die("no pipe");
	child = fork();
	if (!child) {
		probe_run(&probe, features, DEPTH);
		if (write(word[1], &probe.info.dev_id, sizeof(*id)) != sizeof(*id))
			probe_die("pipe");
		for (;;)
			probe_serve(&probe, 1000);
	}
	close(word[1]);
	if (read(word[0], id, sizeof(*id)) != sizeof(*id))
		probe_die("the server does not start");
	close(word[0]);
	return child;
}

/* STOP_DEV and the daemon's death at once, with I/O. */
static void h07_stop_and_die(void)
{
	struct disk_io io[4] = { 0 };
	uint32_t id;

	for (int i = 0; i < repeats(); i++) {
		pid_t killer, child = server_begin(0, &id);

		probe.info.dev_id = id;
		for (int j = 0; j < 4; j++)
			disk_io_start(&io[j], &probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
		killer = fork();
		if (!killer) {
			usleep((useconds_t)(i % 10 * 300));
			kill(child, SIGKILL);
			_exit(0);
		}
		probe_expect("STOP_DEV", 0, probe_control(UBLK_U_CMD_STOP_DEV, id, 0));
		await_end(child);
		await_end(killer);
		for (int j = 0; j < 4; j++)
			if (disk_io_wait(&io[j], PROBE_TIMEOUT_MS) == -ETIME)
				probe_die("a request is lost");
		probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
	}
}

/* --- hazard 11 ---------------------------------------------------------------------------------------- */

/* Adds with the partition scan on. */
static void add_scanned(void)
{
	struct ublk_params params = {
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = { .logical_bs_shift = 9,
			   .physical_bs_shift = 9,
			   .io_min_shift = 9,
			   .io_opt_shift = 9,
			   .max_sectors = PROBE_BUFFER_BYTES / 512,
			   .dev_sectors = PROBE_SIZE_BYTES / 512 },
	};

	if (control_open(&probe.control) < 0)
		probe_die("no control");
	probe.info = (struct ublksrv_ctrl_dev_info){
		.dev_id = UINT32_MAX,
		.nr_hw_queues = 1,
		.queue_depth = DEPTH,
		.max_io_buf_bytes = PROBE_BUFFER_BYTES,
		.flags = UBLK_F_CMD_IOCTL_ENCODE,
	};
	probe_expect("ADD_DEV", 0, control_device_add(&probe.control, &probe.info));
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe.control, probe.info.dev_id, &params));
}

/*
 * START_DEV comes back although nobody answers the scan's read, and the daemon's end ends the scan; the
 * one thread that there is could not have done both.
 */
static void h11_scan_unanswered(void)
{
	uint32_t id;
	int status;
	pid_t child;

	for (int i = 0; i < 3; i++) {
		add_scanned();
		id = probe.info.dev_id;
		child = fork();
		if (!child) {
			probe_open(&probe, 0);
			probe_fetch_all(&probe);
			probe_expect("START_DEV", 0,
				     probe_control(UBLK_U_CMD_START_DEV, id, (uint64_t)getpid()));
			probe_take(&probe, UBLK_IO_OP_READ);
			_exit(0);
		}
		if (waitpid(child, &status, 0) != child || status)
			probe_die("START_DEV or the scan's read: status %#x", status);
		probe_expect(i ? "STOP_DEV" : "DEL_DEV", 0,
			     probe_control(i ? UBLK_U_CMD_STOP_DEV : UBLK_U_CMD_DEL_DEV, id, 0));
		if (i)
			probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
		control_close(&probe.control);
	}
}

/* A daemon that lives and does not answer the scan; it says so when it has the scan's read. */
static void leave_scan(uint32_t id, int said)
{
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_expect("START_DEV", 0, probe_control(UBLK_U_CMD_START_DEV, id, (uint64_t)getpid()));
	probe_take(&probe, UBLK_IO_OP_READ);
	if (write(said, "s", 1) != 1)
		probe_die("pipe");
	for (;;)
		pause();
}

/* STOP_DEV waits for such a daemon as for any other; its end ends the scan and lets STOP_DEV go on. */
static void h11_stopped_while_scanned(void)
{
	pid_t daemon, stopper;
	char word;
	int said[2];

	add_scanned();
	if (pipe(said))
		probe_die("no pipe");
	daemon = fork();
	if (!daemon)
		leave_scan(probe.info.dev_id, said[1]);
	close(said[1]);
	if (read(said[0], &word, 1) != 1)
		probe_die("no scan");
	stopper = fork();
	if (!stopper)
		_exit(probe_control(UBLK_U_CMD_STOP_DEV, probe.info.dev_id, 0) != 0);
	usleep(100000);
	kill(daemon, SIGKILL);
	await_end(daemon);
	probe_expect("STOP_DEV", 0, await_end(stopper));
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
	close(said[0]);
	control_close(&probe.control);
}

/* --- hazard 12 ---------------------------------------------------------------------------------------- */

/* Reads asynchronously and dies with the reads at work: ending them drops the disk's last opener. */
static void read_and_die(uint32_t id)
{
	char path[CONTROL_PATH_BYTES];
	struct io_uring ring;
	void *data;
	int fd;

	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	fd = open(path, O_RDONLY | O_DIRECT);
	if (fd < 0 || io_uring_queue_init(DEPTH, &ring, 0) ||
	    posix_memalign(&data, PAGE_BYTES, PAGE_BYTES * (size_t)DEPTH))
		_exit(2);
	for (unsigned int i = 0; i < DEPTH; i++) {
		struct io_uring_sqe *sqe = probe_sqe(&ring);

		io_uring_prep_read(sqe, fd, (char *)data + (size_t)i * PAGE_BYTES, PAGE_BYTES,
				   (uint64_t)i * PAGE_BYTES);
	}
	io_uring_submit(&ring);
	close(fd);
	_exit(0);
}

/* While somebody reads the partition table, with the disk's open_mutex held. */
static void rescan(uint32_t id)
{
	char path[CONTROL_PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	for (;;) {
		fd = open(path, O_RDONLY);
		if (fd < 0)
			_exit(2);
		ioctl(fd, BLKRRPART);
		close(fd);
	}
}

static void h12_last_reference(void)
{
	struct disk_io io = { 0 };
	uint32_t id;
	pid_t scanner, reader, child = server_begin(0, &id);

	probe.info.dev_id = id;
	scanner = fork();
	if (!scanner)
		rescan(id);
	for (int i = 0; i < 10 * repeats(); i++) {
		reader = fork();
		if (!reader)
			read_and_die(id);
		probe_expect("the reader's status", 0, await_end(reader));
	}
	kill(scanner, SIGKILL);
	probe_expect("the scanner's status", SIGKILL, await_end(scanner));
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	probe_expect("a read afterwards", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_expect("STOP_DEV", 0, probe_control(UBLK_U_CMD_STOP_DEV, id, 0));
	kill(child, SIGKILL);
	await_end(child);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
}

/* A daemon whose fd a child has: its death is seen although the file is never released. */
static void file_outlives_daemon(void)
{
	struct disk_io io = { 0 };
	pid_t heir = 0, child;
	uint32_t id;
	int word[2];

	if (pipe(word))
		probe_die("no pipe");
	child = fork();
	if (!child) {
		probe_run(&probe, 0, DEPTH);
		heir = fork();
		if (!heir)
			for (;;)
				pause();
		if (write(word[1], &probe.info.dev_id, sizeof(id)) != sizeof(id) ||
		    write(word[1], &heir, sizeof(heir)) != sizeof(heir))
			probe_die("pipe");
		probe_take(&probe, UBLK_IO_OP_READ);
		for (;;)
			pause();
	}
	if (read(word[0], &id, sizeof(id)) != sizeof(id) ||
	    read(word[0], &heir, sizeof(heir)) != sizeof(heir))
		probe_die("the daemon does not start");
	probe.info.dev_id = id;
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	usleep(150000);
	kill(child, SIGKILL);
	await_end(child);
	probe_expect("the request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_expect("STOP_DEV", 0, probe_control(UBLK_U_CMD_STOP_DEV, id, 0));
	kill(heir, SIGKILL);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
}

/* --- hazard 24 ---------------------------------------------------------------------------------------- */

/* What the processes of this case tell each other. */
struct closing {
	uint32_t id;
	atomic_int open, gone, writing, served;
};

static struct closing *closing_share(void)
{
	struct closing *closing = mmap(NULL, sizeof(*closing), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (closing == MAP_FAILED)
		probe_die("no memory");
	return closing;
}

/* Leaves a dirty page, and a read at work that has the disk's last reference. */
static void write_and_die(uint32_t id)
{
	struct io_uring ring;
	char path[CONTROL_PATH_BYTES];
	int direct, cached;
	void *data;

	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	cached = open(path, O_RDWR);
	direct = open(path, O_RDONLY | O_DIRECT);
	if (cached < 0 || direct < 0 || io_uring_queue_init(DEPTH, &ring, 0) ||
	    posix_memalign(&data, PAGE_BYTES, PAGE_BYTES))
		_exit(2);
	memset(data, 0x5a, PAGE_BYTES);
	if (pwrite(cached, data, PAGE_BYTES, 0) != PAGE_BYTES)
		_exit(3);
	close(cached);
	io_uring_prep_read(probe_sqe(&ring), direct, data, PAGE_BYTES, PROBE_SIZE_BYTES / 2);
	io_uring_submit(&ring);
	close(direct);
	_exit(0);
}

/* Answers the read, whose end closes the disk, which writes the page: that is not answered. */
static void serve_the_close(struct closing *closing)
{
	uint16_t tag;

	probe_run(&probe, UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE, DEPTH);
	closing->id = probe.info.dev_id;
	atomic_store(&closing->open, 1);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	probe_await(&closing->gone, "the disk's user");
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_take(&probe, UBLK_IO_OP_WRITE);
	atomic_store(&closing->writing, 1);
	for (;;)
		pause();
}

/* The kernel closes files in one work, which waits for the page now; the char device stands behind it. */
static void h24_closed_behind_a_disk(void)
{
	struct closing *closing = closing_share();
	pid_t user, daemon, successor;
	uint32_t id;

	probe_need(UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE);
	daemon = fork();
	if (!daemon)
		serve_the_close(closing);
	probe_await(&closing->open, "the daemon");
	id = closing->id;
	user = fork();
	if (!user)
		write_and_die(id);
	probe_expect("the disk's user", 0, await_end(user));
	atomic_store(&closing->gone, 1);
	probe_await(&closing->writing, "the page");
	kill(daemon, SIGKILL);
	await_end(daemon);
	probe_await_state(id, UBLK_S_DEV_QUIESCED);
	probe_expect("START_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, id, 0));
	successor = fork();
	if (!successor) {
		probe.info = probe_info_plain();
		probe.info.dev_id = id;
		probe.info.queue_depth = DEPTH;
		probe_open(&probe, 0);
		probe_fetch_all(&probe);
		probe_expect("END_USER_RECOVERY", 0,
			     probe_control(UBLK_U_CMD_END_USER_RECOVERY, id, (uint64_t)getpid()));
		probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ,
			   probe_take(&probe, UBLK_IO_OP_WRITE), PAGE_BYTES);
		atomic_store(&closing->served, 1);
		for (;;)
			probe_serve(&probe, 1000);
	}
	probe_await(&closing->served, "the page, by the successor");
	probe_expect("STOP_DEV", 0, probe_control(UBLK_U_CMD_STOP_DEV, id, 0));
	kill(successor, SIGKILL);
	await_end(successor);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
}

/* Whoever has seen the opener go may open the device: his round is over by then. No command holds it. */
static void h24_reopened_at_once(void)
{
	char path[CONTROL_PATH_BYTES];
	int status, fd;
	pid_t opener;

	probe_add(&probe, 0, UBLK_MAX_QUEUE_DEPTH);
	snprintf(path, sizeof(path), "/dev/ublkc%u", probe.info.dev_id);
	for (int i = 0; i < 10 * repeats(); i++) {
		opener = fork();
		if (!opener) {
			probe_open_char(&probe);
			_exit(0);
		}
		if (waitpid(opener, &status, 0) != opener || status)
			probe_die("the opener's status is %#x", status);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			probe_die("round %d: %s: %s", i, path, strerror(errno));
		close(fd);
	}
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

const struct probe_case cases_races[] = {
	{ "h05-fetch-and-close", h05_fetch_and_close },
	{ "h07-stop-and-die", h07_stop_and_die },
	{ "h11-scan-unanswered", h11_scan_unanswered },
	{ "h11-stopped-while-scanned", h11_stopped_while_scanned },
	{ "h12-last-reference", h12_last_reference },
	{ "h08-file-outlives-daemon", file_outlives_daemon },
	{ "h24-closed-behind-a-disk", h24_closed_behind_a_disk },
	{ "h24-reopened-at-once", h24_reopened_at_once },
	{ NULL, NULL },
};
