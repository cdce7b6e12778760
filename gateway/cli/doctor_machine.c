/* SPDX-License-Identifier: MIT */
/*
 * doctor_machine.c - what of this machine a disk needs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "gateway/cli/daemon.h"
#include "gateway/cli/doctor.h"
#include "gateway/cli/driver.h"
#include "gateway/common/disk_config.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/swap.h"
#include "gateway/common/ublk_control.h"
#include "gateway/common/udev_rule.h"
#include "gateway/common/uring_compat.h"

/* A disk needs its sockets, rings, /dev/ublkcN and the control socket's clients. */
#define FILES_WANTED	   256
#define PROBE_RING_ENTRIES 64

/* --- helpers ------------------------------------------------------------------------------------ */

/* The first line of the file that holds word, in line; false when there is none. */
static bool file_find(const char *path, const char *word, char *line, size_t line_bytes)
{
	bool found = false;
	FILE *file = fopen(path, "re");

	while (file && !found && fgets(line, (int)line_bytes, file))
		found = strstr(line, word) != NULL;
	if (file)
		fclose(file);
	return found;
}

static bool have_capability(int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

/* What kind of container this is, by the signs they leave; NULL for none. */
static const char *container_name(void)
{
	static char systemd[64];
	const char *name = getenv("container");

	/* systemd says it there to everyone, of LXC and nspawn, too. */
	if (file_find("/run/systemd/container", "", systemd, sizeof(systemd))) {
		systemd[strcspn(systemd, "\n")] = '\0';
		return systemd;
	}
	if (!access("/.dockerenv", F_OK))
		return "docker";
	if (!access("/run/.containerenv", F_OK))
		return "podman";
	if (getenv("KUBERNETES_SERVICE_HOST"))
		return "kubernetes";
	return name && name[0] ? name : NULL;
}

/* --- kernel and driver -------------------------------------------------------------------------- */

static void check_kernel(struct checks *checks)
{
	const char *container = container_name();
	struct utsname name;

	uname(&name);
	/* A distribution may have brought the driver into an older kernel. */
	if (strtoul(name.release, NULL, 10) >= 6 || !access("/sys/class/misc/ublk-control", F_OK))
		check_ok(checks, "kernel", "%s, %s", name.release, name.machine);
	else
		check_fail(checks, EXIT_CODE_SYSTEM, "kernel",
			   "%s is older than ublk, which came with 6.0: boot a newer one",
			   name.release);
	if (container)
		check_ok(checks, "container",
			 "%s: the host's kernel serves, and its /dev and ublk_drv are needed",
			 container);
}

static void check_permission(struct checks *checks)
{
	char sentence[400];

	if (driver_permitted()) {
		check_ok(checks, "permission", "CAP_SYS_ADMIN is there, uid %u", geteuid());
		return;
	}
	driver_forbidden_text(sentence, sizeof(sentence));
	check_fail(checks, EXIT_CODE_SYSTEM, "permission", "%s", sentence);
}

static const struct {
	uint64_t flag;
	const char *name;
} driver_features[] = {
	{ UBLK_F_USER_COPY, "user copy" },
	{ UBLK_F_SUPPORT_ZERO_COPY, "zero copy" },
	{ UBLK_F_AUTO_BUF_REG, "automatic buffers" },
	{ UBLK_F_USER_RECOVERY, "recovery" },
	{ UBLK_F_UPDATE_SIZE, "resize" },
	{ UBLK_F_SAFE_STOP_DEV, "safe stop" },
	{ UBLK_F_PER_IO_DAEMON, "per-I/O daemon" },
	{ UBLK_F_BATCH_IO, "batches" },
};

static void check_driver_features(struct checks *checks, struct ublk_control *control)
{
	uint64_t features;
	char text[256] = "";
	size_t used = 0;
	int error = ublk_control_get_features(control, &features);

	if (error == -EPERM || error == -EACCES) {
		check_fail(checks, EXIT_CODE_SYSTEM, "ublk driver",
			   "it takes no commands from us: run as root with CAP_SYS_ADMIN");
		return;
	}
	if (error == -EOPNOTSUPP) {
		check_ok(checks, "ublk driver",
			 "loaded; too old to name its features (6.5 does): mapped buffers");
		return;
	}
	if (error) {
		check_fail(checks, EXIT_CODE_SYSTEM, "ublk driver",
			   "it does not answer: %s: see the kernel's log (dmesg)",
			   strerror(-error));
		return;
	}
	for (size_t i = 0; i < sizeof(driver_features) / sizeof(driver_features[0]); i++)
		if (features & driver_features[i].flag)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? ", " : "", driver_features[i].name);
	check_ok(checks, "ublk driver", "loaded; has %s",
		 text[0] ? text : "none of the newer features");
}

static bool driver_is_loadable(void)
{
	struct utsname name;
	char path[400], line[4096];

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", name.release);
	return file_find(path, "/ublk_drv.ko", line, sizeof(line)) &&
	       (!access("/sbin/modprobe", X_OK) || !access("/usr/sbin/modprobe", X_OK));
}

/* has_rings: without them the driver cannot be asked, and that was said. */
static void check_driver(struct checks *checks, bool has_rings)
{
	struct ublk_control *control;
	char sentence[600];

	if (!access(UBLK_CONTROL_PATH, F_OK) && !has_rings) {
		check_ok(checks, "ublk driver", "loaded");
	} else if (!access(UBLK_CONTROL_PATH, F_OK)) {
		if (ublk_control_open(&control, sentence, sizeof(sentence))) {
			check_fail(checks, EXIT_CODE_SYSTEM, "ublk driver", "%s", sentence);
			return;
		}
		check_driver_features(checks, control);
		ublk_control_close(control);
	} else if (driver_is_loadable() && driver_permitted() &&
		   access("/sys/class/misc/ublk-control", F_OK)) {
		check_ok(checks, "ublk driver", "not loaded; connect loads the module ublk_drv");
	} else {
		driver_diagnose(sentence, sizeof(sentence));
		check_fail(checks, EXIT_CODE_SYSTEM, "ublk driver", "%s", sentence);
	}
}

/* --- io_uring ----------------------------------------------------------------------------------- */

static int ring_try(uint32_t flags)
{
	struct io_uring ring;
	int error = io_uring_queue_init(PROBE_RING_ENTRIES, &ring, flags);

	if (!error)
		io_uring_queue_exit(&ring);
	return error;
}

static void ring_explain(struct checks *checks, int error)
{
	char line[16];

	if (file_find("/proc/sys/kernel/io_uring_disabled", "2", line, sizeof(line)))
		check_fail(checks, EXIT_CODE_SYSTEM, "io_uring",
			   "switched off on this machine: sysctl kernel.io_uring_disabled=0");
	else if (file_find("/proc/sys/kernel/io_uring_disabled", "1", line, sizeof(line)))
		check_fail(
			checks, EXIT_CODE_SYSTEM, "io_uring",
			"allowed for CAP_SYS_ADMIN and kernel.io_uring_group only: run as root, or "
			"sysctl kernel.io_uring_disabled=0");
	else if (error == -ENOSYS)
		check_fail(checks, EXIT_CODE_SYSTEM, "io_uring",
			   "this kernel was built without it, or a seccomp filter hides it");
	else if (error == -EPERM || error == -EACCES)
		check_fail(checks, EXIT_CODE_SYSTEM, "io_uring",
			   "forbidden by a seccomp filter: in a container --security-opt "
			   "seccomp=unconfined, or a profile that allows the three io_uring calls");
	else if (error == -ENOMEM)
		check_fail(checks, EXIT_CODE_SYSTEM, "io_uring",
			   "no memory for a ring: raise RLIMIT_MEMLOCK (ulimit -l)");
	else
		check_fail(checks, EXIT_CODE_SYSTEM, "io_uring", "no ring can be made: %s",
			   strerror(-error));
}

static bool check_ring(struct checks *checks)
{
	int error = ring_try(IORING_SETUP_SQE128);

	if (error == -EINVAL) {
		check_fail(checks, EXIT_CODE_SYSTEM, "io_uring",
			   "too old for commands to drivers (5.19 has them): boot a newer kernel");
		return false;
	}
	if (error) {
		ring_explain(checks, error);
		return false;
	}
	if (!ring_try(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
		check_ok(checks, "io_uring", "rings can be made, with deferred work (6.1)");
	else
		check_warn(checks, "io_uring",
			   "rings can be made, but without deferred work (6.1 has it): disks are "
			   "slower than they could be");
	return true;
}

/* --- limits ------------------------------------------------------------------------------------- */

static void check_memory(struct checks *checks)
{
	const uint64_t wanted_bytes = (uint64_t)DISK_QUEUE_DEPTH * DISK_MAX_IO_BYTES;
	struct rlimit limit;

	if (have_capability(CAP_IPC_LOCK) || getrlimit(RLIMIT_MEMLOCK, &limit)) {
		check_ok(checks, "locked memory", "not limited (CAP_IPC_LOCK)");
		return;
	}
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted_bytes)
		check_ok(checks, "locked memory", "enough for a queue of a disk");
	else
		check_warn(checks, "locked memory",
			   "%llu KiB may be locked, a disk's queue may take %llu MiB: raise "
			   "RLIMIT_MEMLOCK (ulimit -l), or lower --queue-depth",
			   (unsigned long long)limit.rlim_cur >> 10,
			   (unsigned long long)wanted_bytes >> 20);
}

static void check_files(struct checks *checks)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= FILES_WANTED)
		check_ok(checks, "open files", "%llu allowed", (unsigned long long)limit.rlim_cur);
	else
		check_warn(checks, "open files",
			   "only %llu allowed: raise RLIMIT_NOFILE (ulimit -n) to %d",
			   (unsigned long long)limit.rlim_cur, FILES_WANTED);
}

/* Swap on a disk of ours: the one thing that can make a machine stand still (ublk-nbd(1), SWAP). */
static void check_swap(struct checks *checks)
{
	char line[64] = "0";
	const struct dirent *entry;
	DIR *disks = opendir("/sys/block");

	file_find("/proc/sys/vm/min_free_kbytes", "", line, sizeof(line));
	while (disks && (entry = readdir(disks)))
		if (!strncmp(entry->d_name, "ublkb", 5) && swap_is_on("", entry->d_name))
			check_warn(checks, "swap",
				   "/dev/%s is swap: short of memory, the machine may stand still "
				   "until it is reset; raise vm.min_free_kbytes (it is %lu), or "
				   "swapoff; see SWAP in ublk-nbd(1)",
				   entry->d_name, strtoul(line, NULL, 10));
	if (disks)
		closedir(disks);
}

/* --- places ------------------------------------------------------------------------------------- */

/* What was mounted on /dev last is what is seen there. */
static bool dev_is_the_kernels(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	bool is = false;

	while (mounts && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_dir, "/dev"))
			is = !strcmp(mount->mnt_type, "devtmpfs");
	if (mounts)
		endmntent(mounts);
	return is;
}

static void check_dev(struct checks *checks)
{
	char helper[256];

	if (dev_is_the_kernels())
		check_ok(checks, "/dev", "the kernel's own: new disks appear in it");
	else if (file_find("/proc/sys/kernel/uevent_helper", "/", helper, sizeof(helper)))
		check_warn(checks, "/dev",
			   "not the kernel's own (devtmpfs): new disks appear in it only if the "
			   "kernel's uevent_helper makes their nodes");
	else
		check_fail(checks, EXIT_CODE_SYSTEM, "/dev",
			   "not the kernel's own (devtmpfs), so new disks do not appear in "
			   "it: " UBLK_DEV_REMEDY);
}

static void check_daemon(struct checks *checks)
{
	char path[4096], error[5000];

	if (daemon_find_program(path, sizeof(path), error, sizeof(error)))
		check_fail(checks, EXIT_CODE_SYSTEM, "daemon", "%s", error);
	else
		check_ok(checks, "daemon", "%s", path);
}

static void check_udev(struct checks *checks)
{
	if (udev_runs() && udev_has_rule())
		check_ok(checks, "udev", "runs: disks get links in /dev/disk/by-ublk-nbd");
	else if (udev_runs())
		check_warn(checks, "udev",
			   "runs, but has not the rule that makes links in /dev/disk/by-ublk-nbd: "
			   "make install puts it into udev's rules.d");
	else
		check_warn(checks, "udev",
			   "does not run: disks work, but get no stable links; start "
			   "systemd-udevd, or "
			   "use /dev/ublkbN");
}

static void check_runtime_dir(struct checks *checks)
{
	const char *path = runtime_dir_path();
	char parent[4096], error[512];
	struct stat st;
	char *slash;

	if (runtime_dir_check(error, sizeof(error))) {
		check_fail(checks, EXIT_CODE_SYSTEM, "runtime directory", "%s", error);
		return;
	}
	if (!stat(path, &st)) {
		if (access(path, W_OK))
			check_fail(checks, EXIT_CODE_SYSTEM, "runtime directory",
				   "%s cannot be written to: name another in UBLK_NBD_RUNTIME_DIR",
				   path);
		else
			check_ok(checks, "runtime directory", "%s", path);
		return;
	}
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash && slash > parent)
		*slash = '\0';
	if (slash && !access(parent, W_OK | X_OK))
		check_ok(checks, "runtime directory", "%s can be made", path);
	else
		check_fail(checks, EXIT_CODE_SYSTEM, "runtime directory",
			   "%s cannot be made: %s is missing or not writable; run as root, or name "
			   "another in UBLK_NBD_RUNTIME_DIR",
			   path, parent);
}

void doctor_machine(struct checks *checks)
{
	checks_begin(checks, "machine", "This machine");
	check_kernel(checks);
	check_permission(checks);
	check_driver(checks, check_ring(checks));
	check_memory(checks);
	check_swap(checks);
	check_files(checks);
	check_dev(checks);
	check_udev(checks);
	check_runtime_dir(checks);
	check_daemon(checks);
}
