// SPDX-License-Identifier: MIT
/*
 * A dial on a detached thread. The task is held by two: the thread, and whoever started it; the
 * last one to let go frees it.
 *
 *   running --thread ends--> done --taken--> (freed)
 *      \--abandoned--> the socket is cut; the thread, when it ends, frees everything
 *
 * Every move is made under the lock of the watch. The eventfd belongs to the one who started it:
 * written under the lock, and only while nobody has abandoned the task.
 */
#include "gateway/common/dial_task.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/common/dial.h"
#include "tls/clock.h"

/* Enough for getaddrinfo(3) and its modules; the default of 8 MiB would be locked in memory. */
#define TASK_STACK_BYTES (512u << 10)
/* dial_run_bounded(): the dial keeps its deadline by itself but for the name. */
#define TASK_GRACE_MS 200

/* Threads that run, abandoned ones too. */
static atomic_uint tasks_running;

struct dial_task {
	struct dial_watch watch; /* its lock guards done, too; watch.cut: abandoned */
	int event_fd;
	bool done;
	struct nbd_uri target;
	struct tls_options tls;
	struct dial_options options; /* the caller's, pointing to our copies and task_progress */
	void (*progress)(void *context, enum dial_stage stage, int error, const char *sentence);
	void *context;
	struct dial_result result; /* the thread's until done */
	struct dial_address addresses[];
};

static void task_free(struct dial_task *task)
{
	dial_result_clear(&task->result);
	if (task->event_fd >= 0)
		close(task->event_fd);
	pthread_mutex_destroy(&task->watch.mutex);
	free(task);
}

/* The lock is what lets dial_task_abandon() promise that no call comes after it. */
static void task_progress(void *context, enum dial_stage stage, int error, const char *sentence)
{
	struct dial_task *task = context;

	pthread_mutex_lock(&task->watch.mutex);
	if (!task->watch.cut && task->progress)
		task->progress(task->context, stage, error, sentence);
	pthread_mutex_unlock(&task->watch.mutex);
}

static void *task_main(void *argument)
{
	struct dial_task *task = argument;
	const uint64_t one = 1;
	bool abandoned;

	dial_run_watched(&task->options, &task->watch, &task->result);
	pthread_mutex_lock(&task->watch.mutex);
	abandoned = task->watch.cut;
	task->done = true;
	/* Under the lock: once it is readable, the other side may take and free. */
	if (!abandoned && write(task->event_fd, &one, sizeof(one)) < 0)
		assert(!"an eventfd of count 0 takes a 1");
	pthread_mutex_unlock(&task->watch.mutex);
	if (abandoned)
		task_free(task);
	atomic_fetch_sub(&tasks_running, 1);
	return NULL;
}

bool dial_task_any_runs(void)
{
	return atomic_load(&tasks_running) > 0;
}

/* Starts the thread, detached, with every signal blocked: they are the main thread's. */
static int task_spawn(struct dial_task *task)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	error = pthread_attr_init(&attributes);
	if (error)
		return -error;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, TASK_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add(&tasks_running, 1);
	error = pthread_create(&thread, &attributes, task_main, task);
	if (error)
		atomic_fetch_sub(&tasks_running, 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -error;
}

static struct dial_task *task_new(const struct dial_options *options)
{
	size_t addresses_bytes = options->addresses_count * sizeof(struct dial_address);
	struct dial_task *task = calloc(1, sizeof(*task) + addresses_bytes);

	if (!task)
		return NULL;
	pthread_mutex_init(&task->watch.mutex, NULL);
	task->watch.fd = -1;
	task->target = *options->target;
	task->options = *options;
	task->options.target = &task->target;
	if (options->tls) {
		task->tls = *options->tls;
		task->options.tls = &task->tls;
	}
	task->options.addresses = task->addresses;
	if (addresses_bytes)
		memcpy(task->addresses, options->addresses, addresses_bytes);
	task->progress = options->progress;
	task->context = options->context;
	task->options.progress = task_progress;
	task->options.context = task;
	return task;
}

int dial_task_start(const struct dial_options *options, struct dial_task **out)
{
	struct dial_task *task = task_new(options);
	int error;

	if (!task)
		return -ENOMEM;
	task->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = task->event_fd < 0 ? -errno : task_spawn(task);
	if (error) {
		task_free(task);
		return error;
	}
	*out = task;
	return 0;
}

int dial_task_fd(const struct dial_task *task)
{
	return task->event_fd;
}

void dial_task_take(struct dial_task *task, struct dial_result *result)
{
	pthread_mutex_lock(&task->watch.mutex);
	assert(task->done);
	*result = task->result;
	task->result.transport = NULL;
	task->result.export = NULL;
	task->result.list = NULL;
	pthread_mutex_unlock(&task->watch.mutex);
	task_free(task);
}

void dial_task_abandon(struct dial_task *task)
{
	bool done;

	/* One look, one move: once it is unlocked, a thread that was not done may free the task. */
	pthread_mutex_lock(&task->watch.mutex);
	dial_watch_cut(&task->watch);
	done = task->done;
	pthread_mutex_unlock(&task->watch.mutex);
	if (done)
		task_free(task);
}

static int task_late(const struct dial_options *options, struct dial_result *result)
{
	memset(result, 0, sizeof(*result));
	result->stage = DIAL_RESOLVE;
	result->error = ETIMEDOUT;
	result->exit_code = EXIT_CODE_UNREACHABLE;
	snprintf(result->sentence, sizeof(result->sentence),
		 "looking up the name \"%s\" took longer than %.1f s: see whether this machine's "
		 "name "
		 "servers answer (/etc/resolv.conf), or give an address instead",
		 options->target->host, options->timeout_ms / 1000.0);
	return -ETIMEDOUT;
}

int dial_run_bounded(const struct dial_options *options, struct dial_result *result)
{
	int64_t deadline_ms = clock_now_ms() + options->timeout_ms + TASK_GRACE_MS, left_ms;
	struct dial_task *task;
	struct pollfd ready = { .events = POLLIN };
	int n, error = dial_task_start(options, &task);

	if (error) {
		memset(result, 0, sizeof(*result));
		result->error = -error;
		result->exit_code = EXIT_CODE_SYSTEM;
		snprintf(result->sentence, sizeof(result->sentence), "cannot start a thread: %s",
			 strerror(-error));
		return error;
	}
	ready.fd = dial_task_fd(task);
	do {
		left_ms = deadline_ms - clock_now_ms();
		if (left_ms > INT_MAX)
			left_ms = INT_MAX;
		n = poll(&ready, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR && left_ms > 0);
	if (n > 0) {
		dial_task_take(task, result);
		return -result->error;
	}
	dial_task_abandon(task);
	return task_late(options, result);
}
