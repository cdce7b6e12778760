/* SPDX-License-Identifier: MIT */
/*
 * abi_rights.c - a plain user's device: who may command it, who may open its disk; and whether the kernel
 * reads the partition table of a disk whose daemon has no rights.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/abi.h"

#define SCAN_MS 700

/* Between the daemon, a child, and the rest. */
struct meeting {
	struct probe probe;
	atomic_int added, owned, ready, end;
};

static struct meeting *meeting;

static void meet(void)
{
	meeting = mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (meeting == MAP_FAILED)
		probe_die("no memory");
}

/* As a udev rule would by what GET_DEV_INFO says. */
static void give_node(char kind)
{
	char path[CONTROL_PATH_BYTES];
	uint64_t end_ms = probe_now_ms() + PROBE_TIMEOUT_MS;

	snprintf(path, sizeof(path), "/dev/ublk%c%u", kind, meeting->probe.info.dev_id);
	while (chown(path, ABI_STRANGER, ABI_STRANGER) || chmod(path, 0666)) {
		if (probe_now_ms() > end_ms)
			probe_die("%s: %s", path, strerror(errno));
		usleep(1000);
	}
}

static int open_disk(void)
{
	char path[CONTROL_PATH_BYTES];
	int disk;

	snprintf(path, sizeof(path), "/dev/ublkb%u", meeting->probe.info.dev_id);
	disk = open(path, O_RDONLY | O_CLOEXEC);
	return disk < 0 ? -errno : disk;
}

static void answer_open(const char *what)
{
	int disk = open_disk();

	abi_answer(what, disk < 0 ? disk : 0);
	if (disk >= 0)
		close(disk);
}

/* BLKRRPART of a disk whose daemon answers. */
static void answer_reread(const char *what)
{
	int disk = open_disk(), result;

	if (disk < 0) {
		abi_answer(what, disk);
		return;
	}
	result = ioctl(disk, BLKRRPART) < 0 ? -errno : 0;
	abi_answer(what, result);
	close(disk);
}

/* --- whose partition table is read ------------------------------------------------------------------ */

/* Fetches, starts, and tells whether a READ comes by itself; then serves until the end. */
static void daemon_of_root(uint64_t features, bool drops, const char *what)
{
	struct probe *probe = &meeting->probe;
	struct ublk_params params = probe_params_plain();
	char line[100];
	unsigned int count;

	probe->info = probe_info_plain();
	probe->info.flags |= features;
	probe_expect("ADD_DEV", 0, probe_add_with(probe, probe->info));
	params.len = sizeof(params);
	probe_expect("SET_PARAMS", 0,
		     abi_call(UBLK_U_CMD_SET_PARAMS, probe->info.dev_id, &params, sizeof(params)));
	probe_open(probe, 0);
	if (drops)
		abi_become_stranger();
	probe_fetch_all(probe);
	atomic_store(&meeting->added, 1);
	count = probe_serve(probe, SCAN_MS * probe_scale());
	snprintf(line, sizeof(line), "partition scan, %s: reads", what);
	abi_words(line, "%s", count ? "some" : "none");
	atomic_store(&meeting->ready, 1);
	while (!atomic_load(&meeting->end))
		probe_serve(probe, 10);
	_exit(0);
}

static void scan(uint64_t features, bool drops, const char *what)
{
	char line[100];
	pid_t child;
	int status;

	meet();
	child = fork();
	if (!child)
		daemon_of_root(features, drops, what);
	probe_await(&meeting->added, "a daemon that fetches");
	probe_expect(
		"START_DEV", 0,
		probe_control(UBLK_U_CMD_START_DEV, meeting->probe.info.dev_id, (uint64_t)child));
	probe_await(&meeting->ready, "the scan");
	snprintf(line, sizeof(line), "partition scan, %s: BLKRRPART", what);
	answer_reread(line);
	probe_expect("STOP_DEV", 0,
		     probe_control(UBLK_U_CMD_STOP_DEV, meeting->probe.info.dev_id, 0));
	atomic_store(&meeting->end, 1);
	if (waitpid(child, &status, 0) != child || status)
		probe_die("the daemon failed");
	abi_delete(&meeting->probe);
	munmap(meeting, sizeof(*meeting));
}

/* --- a plain user's device ---------------------------------------------------------------------------- */

static int user_command(uint32_t op, uint64_t data)
{
	return control_device_command(&meeting->probe.control, op, meeting->probe.info.dev_id,
				      data);
}

static void user(void)
{
	struct probe *probe = &meeting->probe;
	struct ublk_params params = probe_params_plain();
	unsigned int count;

	abi_become_stranger();
	probe_expect("/dev/ublk-control", 0, control_open(&probe->control));
	probe->control.with_path = true;
	probe->info = probe_info_plain();
	probe->info.flags |= UBLK_F_UNPRIVILEGED_DEV;
	probe_expect("ADD_DEV", 0, control_device_add(&probe->control, &probe->info));
	atomic_store(&meeting->added, 1);
	probe_await(&meeting->owned, "the node");
	probe_expect("SET_PARAMS", 0,
		     control_params_set(&probe->control, probe->info.dev_id, &params));
	probe_open(probe, 0);
	probe_fetch_all(probe);
	probe_expect("START_DEV", 0, user_command(UBLK_U_CMD_START_DEV, (uint64_t)getpid()));
	count = probe_serve(probe, SCAN_MS * probe_scale());
	abi_words("a plain user's device, the partition scan: reads", "%s",
		  count ? "some" : "none");
	abi_words("a plain user's device, features", "%s", abi_features(probe->info.flags));
	abi_answer("a plain user's device, UPDATE_SIZE",
		   user_command(UBLK_U_CMD_UPDATE_SIZE, 1024));
	abi_answer("a plain user's device, QUIESCE_DEV", user_command(UBLK_U_CMD_QUIESCE_DEV, 100));
	abi_answer("a plain user's device, START_USER_RECOVERY",
		   user_command(UBLK_U_CMD_START_USER_RECOVERY, 0));
	atomic_store(&meeting->ready, 1);
	while (!atomic_load(&meeting->end))
		probe_serve(probe, 10);
	_exit(0);
}

/* Another plain user, in a child. */
static void another(void)
{
	pid_t child = fork();

	if (!child) {
		if (setgid(ABI_STRANGER + 1) || setuid(ABI_STRANGER + 1))
			probe_die("cannot become another user");
		answer_open("a plain user's device, another user opens the disk");
		_exit(0);
	}
	if (waitpid(child, NULL, 0) != child)
		probe_die("no child");
	child = fork();
	if (!child) {
		abi_become_stranger();
		answer_open("a plain user's device, he opens the disk");
		abi_answer("a plain user's device, a command of his without a path",
			   abi_command(UBLK_U_CMD_STOP_DEV, meeting->probe.info.dev_id, 0));
		_exit(0);
	}
	if (waitpid(child, NULL, 0) != child)
		probe_die("no child");
}

static int user_command_as_root(uint32_t id, uint32_t op)
{
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS, .with_path = true };
	int result = control_open(&control);

	if (result < 0)
		probe_die("/dev/ublk-control: %s", strerror(-result));
	result = control_device_command(&control, op, id, 0);
	control_close(&control);
	return result;
}

static void unprivileged(void)
{
	struct ublksrv_ctrl_dev_info info;
	pid_t child;
	int status;
	uint32_t id;

	meet();
	child = fork();
	if (!child)
		user();
	probe_await(&meeting->added, "the user's device");
	give_node('c');
	atomic_store(&meeting->owned, 1);
	probe_await(&meeting->ready, "the user's disk");
	give_node('b');
	id = meeting->probe.info.dev_id;
	answer_open("a plain user's device, root opens the disk");
	answer_reread("a plain user's device, BLKRRPART by root");
	another();
	abi_answer("a plain user's device, GET_DEV_INFO by root without a path",
		   abi_call(UBLK_U_CMD_GET_DEV_INFO, id, &info, sizeof(info)));
	abi_answer("a plain user's device, STOP_DEV by root without a path",
		   abi_command(UBLK_U_CMD_STOP_DEV, id, 0));
	probe_expect("STOP_DEV with the path", 0, user_command_as_root(id, UBLK_U_CMD_STOP_DEV));
	atomic_store(&meeting->end, 1);
	if (waitpid(child, &status, 0) != child || status)
		probe_die("the user failed");
	probe_expect("DEL_DEV with the path", 0, user_command_as_root(id, UBLK_U_CMD_DEL_DEV));
	munmap(meeting, sizeof(*meeting));
}

void abi_rights(void)
{
	scan(0, false, "a daemon of root's");
	scan(0, true, "a daemon without rights");
	scan(UBLK_F_NO_AUTO_PART_SCAN, false, "NO_AUTO_PART_SCAN");
	scan(UBLK_F_NO_AUTO_PART_SCAN, true, "NO_AUTO_PART_SCAN, a daemon without rights");
	unprivileged();
}
