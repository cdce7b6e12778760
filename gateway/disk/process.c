/* SPDX-License-Identifier: MIT */
#include "gateway/disk/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/disk/mounts.h"
#include "tls/protect.h"

#define THREAD_STACK_BYTES (256u << 10)

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57 /* 5.6 */
#endif

static void set_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		log_warning("oom_score_adj -1000: %s: the OOM killer may end this disk",
			    strerror(errno));
	if (fd >= 0)
		close(fd);
}

void process_prepare(const struct disk_config *config)
{
	char state[PATH_MAX];

	if (runtime_dir_join(state, sizeof(state), ""))
		snprintf(state, sizeof(state), "%s", runtime_dir_path());
	if (chdir("/") < 0)
		log_debug("chdir /: %s", strerror(errno));
	umask(077);
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_warning("PR_SET_IO_FLUSHER: %s: memory reclaim may wait for this disk while "
			    "this disk waits for memory (CAP_SYS_RESOURCE is needed)",
			    strerror(errno));
	/* Files are named here that are read again at each TLS handshake. */
	mounts_leave((const char *const[]){ state, config->target.socket_path, config->tls.ca,
					    config->tls.crl, config->tls.cert, config->tls.key,
					    config->tls.passphrase_file, config->tls.psk_file,
					    NULL });
	set_oom_score(); /* while /proc/self is still ours, if we are not root */
	tls_protect_process();
}

void process_lock(bool warn)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0 && warn)
		log_warning("mlockall: %s: paging may have to wait for this disk "
			    "(raise the locked-memory limit)",
			    strerror(errno));
}

/* Capabilities and no_new_privs belong to a thread; threads that it starts inherit them. */
static void keep_capabilities(uint32_t keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_capget, &header, data) < 0)
		return;
	data[0].permitted &= keep;
	data[0].effective &= keep;
	data[0].inheritable = 0;
	data[1] = (struct __user_cap_data_struct){ 0 };
	if (syscall(SYS_capset, &header, data) < 0)
		log_debug("capset: %s", strerror(errno));
}

void process_confine(const struct disk_config *config)
{
	/* The control commands that stop and delete ask for CAP_SYS_ADMIN. */
	uint32_t keep = 1u << CAP_SYS_ADMIN | 1u << CAP_IPC_LOCK;

	if (config) /* queues of a disk that is swap get real-time priority */
		keep |= 1u << CAP_SYS_NICE;
	/* Dialled again, it may lie where only its owner may go. */
	if (config && config->target.transport == NBD_TRANSPORT_UNIX)
		keep |= 1u << CAP_DAC_OVERRIDE;
	/* Keys are read again at each handshake, and may be another user's. */
	if (config && config->target.tls)
		keep |= 1u << CAP_DAC_READ_SEARCH;
	keep_capabilities(keep);
}

void process_confine_attendant(void)
{
	keep_capabilities(1u << CAP_SYS_ADMIN | 1u << CAP_IPC_LOCK | 1u << CAP_MKNOD |
			  1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH);
}

void process_confine_thread(void)
{
	keep_capabilities(0);
}

int process_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int ret;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(thread, &attributes, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -ret;
}
