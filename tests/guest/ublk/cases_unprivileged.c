/* SPDX-License-Identifier: MIT */
/*
 * cases_unprivileged.c - devices of plain users: what one may with his own, and nobody with another's.
 * Hazard 22 of kernel/README.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"

#define DEPTH	   4
#define PAGE_BYTES 4096u
#define STRANGER   1000

static struct probe probe;

static void become_stranger(void)
{
	if (setgroups(0, NULL) || setgid(STRANGER) || setuid(STRANGER))
		probe_die("cannot become another user");
}

/* A command about a device, with any path. */
static int with_path(uint32_t op, const char *path)
{
	char buffer[256] = { 0 };
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS };
	struct ublksrv_ctrl_cmd command = { .dev_id = probe.info.dev_id, .queue_id = UINT16_MAX };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	int ret = control_open(&control);

	if (ret < 0)
		return ret;
	snprintf(buffer, sizeof(buffer), "%s", path);
	command.addr = (uintptr_t)buffer;
	command.dev_path_len = (uint16_t)(strlen(path) + 1);
	command.len = sizeof(buffer);
	sqe = probe_sqe(&control.ring);
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = control.fd;
	sqe->cmd_op = op;
	memcpy(sqe->cmd, &command, sizeof(command));
	io_uring_submit(&control.ring);
	ret = io_uring_wait_cqe(&control.ring, &cqe);
	ret = ret ? ret : cqe->res;
	control_close(&control);
	return ret;
}

/* What a stranger may not: privileged devices, none but his own node, none without a path. */
static void stranger_asks(const char *own)
{
	uint32_t id = probe.info.dev_id;

	become_stranger();
	probe_expect("ADD_DEV of a privileged device", -EPERM,
		     probe_add_with(&probe, probe_info_plain()));
	probe.info.dev_id = id;
	probe_expect("a command without a path", -EINVAL,
		     probe_control(UBLK_U_CMD_STOP_DEV, probe.info.dev_id, 0));
	probe_expect("another node", -EINVAL, with_path(UBLK_U_CMD_GET_DEV_INFO2, "/dev/null"));
	probe_expect("no node", -ENOENT, with_path(UBLK_U_CMD_GET_DEV_INFO2, "/dev/none"));
	probe_expect("no node but a file", -EINVAL,
		     with_path(UBLK_U_CMD_GET_DEV_INFO2, "/proc/version"));
	probe_expect("a node that is not his", -EACCES, with_path(UBLK_U_CMD_GET_DEV_INFO2, own));
	_exit(0);
}

static void await_child(pid_t child, const char *what)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child || status)
		probe_die("%s failed", what);
}

/* What a stranger is told who names the device by this path. */
static void expect_of_stranger(const char *what, int result, uint32_t op, const char *path)
{
	pid_t child = fork();

	if (!child) {
		become_stranger();
		probe_expect(what, result, with_path(op, path));
		_exit(0);
	}
	await_child(child, what);
}

static void h22_unprivileged(void)
{
	char node[CONTROL_PATH_BYTES];
	uint32_t id;
	pid_t child;

	probe_need(UBLK_F_UNPRIVILEGED_DEV);
	if (chmod(CONTROL_PATH, 0666))
		probe_die("chmod");
	probe.info = probe_info_plain();
	probe.info.flags |= UBLK_F_UNPRIVILEGED_DEV;
	probe_expect("ADD_DEV", 0, probe_add_with(&probe, probe.info));
	id = probe.info.dev_id;
	snprintf(node, sizeof(node), "/dev/ublkc%u", id);
	child = fork();
	if (!child)
		stranger_asks(node);
	await_child(child, "what a stranger may not");
	probe_expect("the owner with the path", 0, with_path(UBLK_U_CMD_GET_DEV_INFO2, node));
	if (chmod(node, 0444) || chown(node, STRANGER, STRANGER))
		probe_die("chmod");
	expect_of_stranger("reading a node that may be read", 0, UBLK_U_CMD_GET_DEV_INFO2, node);
	expect_of_stranger("changing it", -EACCES, UBLK_U_CMD_STOP_DEV, node);
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
	chmod(CONTROL_PATH, 0600);
}

/* The disk of an untrusted daemon is for him alone, whatever the node's mode. */
static void h22_owner_opens(void)
{
	char path[CONTROL_PATH_BYTES];
	pid_t child;
	int disk;

	probe_run(&probe, UBLK_F_UNPRIVILEGED_DEV, DEPTH);
	snprintf(path, sizeof(path), "/dev/ublkb%u", probe.info.dev_id);
	if (chmod(path, 0666))
		probe_die("chmod");
	child = fork();
	if (!child) {
		become_stranger();
		disk = open(path, O_RDONLY | O_CLOEXEC);
		probe_expect("a stranger opens the disk", -EPERM, disk < 0 ? -errno : disk);
		_exit(0);
	}
	await_child(child, "the stranger");
	disk = open(path, O_RDONLY | O_CLOEXEC);
	if (disk < 0)
		probe_die("the owner cannot open the disk: %s", strerror(errno));
	close(disk);
	probe_end(&probe);
}

/* A node that he made himself, where nodes count for nothing: all may be done to it, and nothing by it. */
static void h22_nodev(void)
{
	static const char folder[] = "/tmp/nodev", made[] = "/tmp/nodev/node";
	char path[CONTROL_PATH_BYTES];
	struct stat node;

	probe_need(UBLK_F_UNPRIVILEGED_DEV);
	probe.info = probe_info_plain();
	probe.info.flags |= UBLK_F_UNPRIVILEGED_DEV;
	probe_expect("ADD_DEV", 0, probe_add_with(&probe, probe.info));
	snprintf(path, sizeof(path), "/dev/ublkc%u", probe.info.dev_id);
	if (stat(path, &node) || chmod(CONTROL_PATH, 0666) || mkdir(folder, 0755) ||
	    mount("none", folder, "tmpfs", MS_NODEV, NULL) ||
	    mknod(made, S_IFCHR | 0666, node.st_rdev) || chown(made, STRANGER, STRANGER))
		probe_die("a node on a file system without any: %s", strerror(errno));
	expect_of_stranger("reading by such a node", -EACCES, UBLK_U_CMD_GET_DEV_INFO2, made);
	expect_of_stranger("deleting by such a node", -EACCES, UBLK_U_CMD_DEL_DEV, made);
	if (mount(NULL, folder, NULL, MS_REMOUNT, NULL))
		probe_die("remount: %s", strerror(errno));
	expect_of_stranger("the same node where they count", 0, UBLK_U_CMD_GET_DEV_INFO2, made);
	if (umount(folder) || rmdir(folder) || chmod(CONTROL_PATH, 0600))
		probe_die("umount: %s", strerror(errno));
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
}

static void set_cap(const char *value)
{
	FILE *file = fopen("/sys/module/ublk_drv/parameters/ublks_max", "w");

	if (!file || fputs(value, file) < 0 || fclose(file))
		probe_die("ublks_max cannot be set");
}

static void h22_cap(void)
{
	struct ublksrv_ctrl_dev_info info = probe_info_plain();

	probe_need(UBLK_F_UNPRIVILEGED_DEV);
	info.flags |= UBLK_F_UNPRIVILEGED_DEV;
	set_cap("1");
	probe_expect("the first ADD_DEV", 0, probe_add_with(&probe, info));
	info.dev_id = probe.info.dev_id;
	probe_expect("one more than allowed", -EACCES,
		     probe_add_with(&probe, (struct ublksrv_ctrl_dev_info){ .dev_id = UINT32_MAX,
									    .nr_hw_queues = 1,
									    .queue_depth = 1,
									    .flags = info.flags }));
	probe.info.dev_id = info.dev_id;
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
	probe_expect("ADD_DEV again", 0, probe_add_with(&probe, info));
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe.info.dev_id, 0));
	set_cap("64");
}

/* --- a plain user's disk, from its beginning to its end ------------------------------------------------- */

/* Waits until the node is there and his; udev's part of the work is the parent's here. */
static void await_node(const char *path)
{
	uint64_t end_ms = probe_now_ms() + PROBE_TIMEOUT_MS;
	struct stat node;

	while (stat(path, &node) || node.st_uid != STRANGER) {
		if (probe_now_ms() > end_ms)
			probe_die("%s did not become the user's", path);
		usleep(1000);
	}
}

static void plain_user_commands(void)
{
	struct ublksrv_ctrl_dev_info info;
	uint32_t id = probe.info.dev_id;

	probe_expect("GET_DEV_INFO2", 0, control_device_info(&probe.control, id, &info));
	probe_expect("his device's user", STRANGER, info.owner_uid);
	probe_expect("his device's group", STRANGER, info.owner_gid);
	probe_expect("its state", UBLK_S_DEV_LIVE, info.state);
	probe_expect("START_DEV again", -EEXIST,
		     control_device_command(&probe.control, UBLK_U_CMD_START_DEV, id,
					    (uint64_t)getpid()));
}

/* One page written and read through the daemon, which is this very process. */
static void plain_user_io(void)
{
	struct disk_io io = { 0 };
	uint16_t tag;

	disk_io_write(&io, &probe, 'p', PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_WRITE);
	probe_expect("the byte written", 'p', probe_buffer(&probe, tag)[PAGE_BYTES - 1]);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_expect("the write", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	tag = probe_take(&probe, UBLK_IO_OP_READ);
	memset(probe_buffer(&probe, tag), 'r', PAGE_BYTES);
	probe_send(&probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, PAGE_BYTES);
	probe_expect("the read", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_expect("the byte read", 'r', io.data[0]);
}

static void plain_user(uint32_t *id_out)
{
	struct ublk_params params = probe_params_plain();
	char path[CONTROL_PATH_BYTES];
	uint32_t id;

	become_stranger();
	probe_expect("/dev/ublk-control", 0, control_open(&probe.control));
	probe.control.with_path = true;
	probe.info = probe_info_plain();
	probe.info.flags |= UBLK_F_UNPRIVILEGED_DEV;
	probe_expect("ADD_DEV", 0, control_device_add(&probe.control, &probe.info));
	*id_out = id = probe.info.dev_id;
	snprintf(path, sizeof(path), "/dev/ublkc%u", id);
	await_node(path);
	probe_expect("SET_PARAMS", 0, control_params_set(&probe.control, id, &params));
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	probe_expect("START_DEV", 0,
		     control_device_command(&probe.control, UBLK_U_CMD_START_DEV, id,
					    (uint64_t)getpid()));
	snprintf(path, sizeof(path), "/dev/ublkb%u", id);
	await_node(path);
	/* Its partition table is not to be believed, or it could hold up who reads it. */
	probe_expect("nobody reads the partition table", -ETIME, probe_wait(&probe, NULL, 300));
	plain_user_commands();
	plain_user_io();
	probe_expect("STOP_DEV", 0,
		     control_device_command(&probe.control, UBLK_U_CMD_STOP_DEV, id, 0));
	probe_close(&probe);
	probe_expect("DEL_DEV", 0,
		     control_device_command(&probe.control, UBLK_U_CMD_DEL_DEV, id, 0));
	_exit(0);
}

/* As a udev rule would by what GET_DEV_INFO says. */
static void give_nodes(uint32_t id)
{
	char path[CONTROL_PATH_BYTES];

	for (const char *kind = "cb"; *kind; kind++) {
		snprintf(path, sizeof(path), "/dev/ublk%c%u", *kind, id);
		if (chown(path, STRANGER, STRANGER) && errno != ENOENT)
			probe_die("chown %s: %s", path, strerror(errno));
	}
}

static void h22_plain_user(void)
{
	uint32_t *id =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = -1;
	pid_t child;

	probe_need(UBLK_F_UNPRIVILEGED_DEV);
	if (id == MAP_FAILED || chmod(CONTROL_PATH, 0666))
		probe_die("no shared memory, or no chmod");
	*id = UINT32_MAX;
	child = fork();
	if (!child)
		plain_user(id);
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (*(volatile uint32_t *)id != UINT32_MAX)
			give_nodes(*id);
		usleep(1000);
	}
	if (child < 0 || status)
		probe_die("the plain user failed");
	probe_expect("GET_DEV_INFO of what is deleted", -ENODEV, probe_state(*id));
	chmod(CONTROL_PATH, 0600);
}

const struct probe_case cases_unprivileged[] = {
	{ "h22-unprivileged", h22_unprivileged },
	{ "h22-owner-opens", h22_owner_opens },
	{ "h22-nodev", h22_nodev },
	{ "h22-cap", h22_cap },
	{ "h22-plain-user", h22_plain_user },
	{ NULL, NULL },
};
