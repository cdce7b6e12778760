/* SPDX-License-Identifier: MIT */
#include "gateway/disk/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/common/log.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* 5.6 */
#endif

/*
 * Whether every mount here gets its umounts from its origin: then a copy of the namespace, made
 * slave, keeps no filesystem alive. One private mount is enough to make copying wrong: its copy
 * would stay mounted here after its owner has unmounted it.
 */
static bool mounts_are_all_shared(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	bool shared = file != NULL;
	char *line = NULL;
	size_t line_bytes = 0;

	while (shared && getline(&line, &line_bytes, file) > 0) {
		char *separator = strstr(line, " - ");
		char *tag = strstr(line, " shared:");

		if (!separator || !tag || tag > separator)
			shared = false;
	}
	free(line);
	if (file)
		fclose(file);
	return shared;
}

/*
 * A daemon that is the last process of its user's mount namespace would, by exiting, unmount the
 * filesystem on its own disk. In a slave copy it is never that.
 */
static void leave_mount_namespace(void)
{
	if (!mounts_are_all_shared())
		return;
	if (unshare(CLONE_NEWNS) < 0) {
		log_debug("no mount namespace of our own: %s", strerror(errno));
		return;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		log_warning("cannot make the mounts slaves: %s", strerror(errno));
}

void process_prepare(void)
{
	if (chdir("/") < 0)
		log_debug("chdir /: %s", strerror(errno));
	umask(077);
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_warning("PR_SET_IO_FLUSHER: %s: memory reclaim may wait for this disk while "
			    "this disk waits for memory (CAP_SYS_RESOURCE is needed)",
			    strerror(errno));
	leave_mount_namespace();
}

static void set_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		log_warning("oom_score_adj -1000: %s: the OOM killer may end this disk",
			    strerror(errno));
	if (fd >= 0)
		close(fd);
}

void process_lock(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_warning("mlockall: %s: paging may have to wait for this disk "
			    "(raise the locked-memory limit)",
			    strerror(errno));
	set_oom_score();
}

void process_confine(void)
{
	/* The control commands that stop and delete ask for CAP_SYS_ADMIN. */
	const uint32_t keep = 1u << CAP_SYS_ADMIN | 1u << CAP_IPC_LOCK;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (syscall(SYS_capget, &header, data) < 0)
		return;
	data[0].permitted &= keep;
	data[0].effective &= keep;
	data[0].inheritable = 0;
	data[1] = (struct __user_cap_data_struct){ 0 };
	if (syscall(SYS_capset, &header, data) < 0)
		log_debug("capset: %s", strerror(errno));
}
