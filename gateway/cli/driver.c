/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/cli/driver.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/process.h"
#include "gateway/common/ublk_control.h"
#include "tls/clock.h"

#define MODPROBE_TIMEOUT_MS 20000
#define NODE_TIMEOUT_MS	    2000
#define POLL_MS		    20

/* The inode of the initial user namespace: the same on every kernel since 3.8. */
#define USER_NS_INITIAL 0xEFFFFFFDu

static bool user_ns_is_initial(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) || st.st_ino == USER_NS_INITIAL;
}

static bool has_sys_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &header, data))
		return geteuid() == 0;
	return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

bool driver_permitted(void)
{
	return has_sys_admin() && user_ns_is_initial();
}

void driver_forbidden_text(char *out, size_t out_bytes)
{
	if (!user_ns_is_initial())
		snprintf(out, out_bytes,
			 "this is a user namespace (a rootless container?), and the ublk driver "
			 "obeys "
			 "CAP_SYS_ADMIN of the initial one alone: run it as the host's root, or in "
			 "a "
			 "container that has the host's user namespace");
	else
		snprintf(out, out_bytes,
			 "uid %u without CAP_SYS_ADMIN may not make a block device: run as root "
			 "(sudo); in a "
			 "container --privileged, or --cap-add SYS_ADMIN and the devices",
			 geteuid());
}

/* --- modprobe ------------------------------------------------------------------------------------------ */

static const char *modprobe_path(void)
{
	static const char *const paths[] = { "/sbin/modprobe", "/usr/sbin/modprobe",
					     "/bin/modprobe", "/usr/bin/modprobe" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!access(paths[i], X_OK))
			return paths[i];
	}
	return NULL;
}

/* In the child. What modprobe says is not shown: our own diagnosis is. */
static _Noreturn void modprobe_exec(const char *path)
{
	static char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	char *const argv[] = { "modprobe", "-q", "ublk_drv", NULL };
	int null_fd = open("/dev/null", O_RDWR);

	interrupt_reset_child();
	for (int fd = 0; null_fd >= 0 && fd <= 2; fd++)
		dup2(null_fd, fd);
	execve(path, argv, environment);
	_exit(127);
}

/* Whether modprobe ran and succeeded. One that hangs is killed. */
static bool modprobe_run(void)
{
	const char *path = modprobe_path();
	int pidfd, status = -1;
	pid_t pid;

	if (!path)
		return false;
	pid = fork();
	if (pid == 0)
		modprobe_exec(path);
	if (pid < 0)
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 || process_wait(pidfd, MODPROBE_TIMEOUT_MS))
		kill(pid, SIGKILL);
	if (pidfd >= 0)
		close(pidfd);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool node_wait(uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;

	while (access(UBLK_CONTROL_PATH, F_OK)) {
		if (clock_now_ms() >= deadline_ms)
			return false;
		poll(NULL, 0, POLL_MS);
	}
	return true;
}

/* --- why not ------------------------------------------------------------------------------------------- */

/* Whether a line of the file holds word; false too when there is no file. */
static bool file_has(const char *path, const char *word)
{
	char line[4096];
	bool found = false;
	FILE *file = fopen(path, "re");

	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, word) != NULL;
	if (file)
		fclose(file);
	return found;
}

static bool module_is_installed(const char *release)
{
	char path[400];

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	return file_has(path, "/ublk_drv.ko");
}

static bool config_is_off(const char *release)
{
	static const char *const places[][2] = { { "/boot/config-", "" },
						 { "/lib/modules/", "/config" },
						 { "/lib/modules/", "/build/.config" } };
	char path[400];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s%s", places[i][0], release, places[i][1]);
		if (file_has(path, "# CONFIG_BLK_DEV_UBLK is not set"))
			return true;
	}
	return false;
}

static bool kernel_is_older(const char *release, unsigned long major)
{
	return strtoul(release, NULL, 10) < major;
}

void driver_diagnose(char *out, size_t out_bytes)
{
	static const char newer[] = "boot a kernel that has it (Debian 12: linux-image-amd64 of "
				    "bookworm-backports; Debian 13: its own)";
	struct utsname name;

	uname(&name);
	if (!access("/sys/class/misc/ublk-control", F_OK))
		snprintf(out, out_bytes,
			 "the ublk driver runs, but %s is not in this /dev: in a container, pass "
			 "/dev into it (docker run --privileged -v /dev:/dev)",
			 UBLK_CONTROL_PATH);
	else if (kernel_is_older(name.release, 6))
		snprintf(out, out_bytes, "kernel %s is older than ublk, which came with 6.0: %s",
			 name.release, newer);
	else if (module_is_installed(name.release) && !modprobe_path())
		snprintf(out, out_bytes,
			 "kernel %s has the module ublk_drv, but there is no modprobe to load it: "
			 "install kmod",
			 name.release);
	else if (module_is_installed(name.release))
		snprintf(out, out_bytes,
			 "the module ublk_drv of kernel %s is not loaded: 'modprobe ublk_drv' as "
			 "root "
			 "says why where it fails, and so does the kernel's log (dmesg)",
			 name.release);
	else if (config_is_off(name.release))
		snprintf(out, out_bytes,
			 "kernel %s was built without ublk (CONFIG_BLK_DEV_UBLK is not set): build "
			 "ublk-nbd's own driver for it ('make modules modules_install', see "
			 "kernel/README.md), or %s",
			 name.release, newer);
	else
		snprintf(out, out_bytes,
			 "kernel %s has no module ublk_drv in /lib/modules/%s: install the package "
			 "of "
			 "this kernel's modules, in a container load it on the host (modprobe "
			 "ublk_drv), where it was built without (zcat /proc/config.gz), build "
			 "ublk-nbd's own driver ('make modules modules_install', see "
			 "kernel/README.md), or %s",
			 name.release, name.release, newer);
}

int driver_load(char *error, size_t error_bytes)
{
	if (!access(UBLK_CONTROL_PATH, F_OK))
		return 0;
	if (modprobe_run() && node_wait(NODE_TIMEOUT_MS))
		return 0;
	driver_diagnose(error, error_bytes);
	return -ENOENT;
}
