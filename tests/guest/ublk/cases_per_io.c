/* SPDX-License-Identifier: MIT */
/*
 * cases_per_io.c - tags of one queue that are served by tasks of their own (PER_IO_DAEMON): each has
 * its tag alone, one that ends takes the whole daemon with it, and what another one copies just then
 * stays until it is copied. Hazard 3 of kernel/README.md.
 */
#include <errno.h>
#include <unistd.h>

#include "tests/guest/ublk/probe.h"
#include "tests/guest/ublk/slow_memory.h"

#define COMMIT	   UBLK_U_IO_COMMIT_AND_FETCH_REQ
#define TASKS	   2
#define PAGE_BYTES 4096u
#define COPY_MS	   1500 /* far more than that, in which a copy stands still */

static struct probe probe;

/* A thread and its tag. What comes it leaves, or answers with slow memory. */
struct task {
	pthread_t thread;
	struct probe view; /* its own ring */
	uint16_t tag;
	const struct slow_memory *memory; /* NULL: it leaves the request alone */
	uint32_t answer;
	atomic_int fetched, taken, end;
	int result; /* of the answer */
};

static struct task tasks[TASKS];

static void *task_run(void *argument)
{
	struct task *task = argument;
	int got;

	task->view = probe;
	if (io_uring_queue_init(8, &task->view.ring, 0))
		probe_die("no ring");
	probe_send(&task->view, UBLK_U_IO_FETCH_REQ, task->tag, 0);
	atomic_store(&task->fetched, 1);
	while ((got = probe_wait(&task->view, NULL, 10)) == -ETIME && !atomic_load(&task->end))
		;
	if (got != UBLK_IO_RES_OK && got != UBLK_IO_RES_NEED_GET_DATA)
		return NULL;
	atomic_store(&task->taken, 1);
	if (task->memory)
		task->result = probe_ask_at(&task->view, task->answer, task->tag, PAGE_BYTES,
					    (uintptr_t)task->memory->area);
	while (!atomic_load(&task->end))
		usleep(1000);
	return NULL;
}

static void begin(uint64_t features, const struct slow_memory *memory, uint32_t answer)
{
	/* Not asked for: it is granted to all. */
	probe_need(UBLK_F_PER_IO_DAEMON);
	probe_add(&probe, features, TASKS);
	probe_open(&probe, 0);
	for (uint16_t tag = 0; tag < TASKS; tag++) {
		tasks[tag].tag = tag;
		tasks[tag].memory = memory;
		tasks[tag].answer = answer;
		if (pthread_create(&tasks[tag].thread, NULL, task_run, &tasks[tag]))
			probe_die("no thread");
		probe_await(&tasks[tag].fetched, "a task that fetches");
	}
	probe_start(&probe);
}

static void end_task(struct task *task)
{
	atomic_store(&task->end, 1);
	pthread_join(task->thread, NULL);
}

/* The rings stay open until here: the end of a task is what is to be seen. */
static void finish(void)
{
	for (uint16_t tag = 0; tag < TASKS; tag++)
		io_uring_queue_exit(&tasks[tag].view.ring);
	probe_delete(&probe);
}

/* The task that got the request; the other one in *idle. */
static struct task *who_took(struct task **idle)
{
	uint64_t end_ms = probe_now_ms() + PROBE_TIMEOUT_MS;

	while (!atomic_load(&tasks[0].taken) && !atomic_load(&tasks[1].taken)) {
		if (probe_now_ms() > end_ms)
			probe_die("no task got the request");
		usleep(1000);
	}
	*idle = atomic_load(&tasks[0].taken) ? &tasks[1] : &tasks[0];
	return atomic_load(&tasks[0].taken) ? &tasks[0] : &tasks[1];
}

static void tags_alone(void)
{
	struct disk_io io = { 0 };
	struct task *owner, *other;

	begin(0, NULL, 0);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	owner = who_took(&other);
	probe_expect("COMMIT by no task of the tag", -EINVAL,
		     probe_ask(&probe, COMMIT, owner->tag, PAGE_BYTES));
	probe_expect("the read is not over", 0, atomic_load(&io.done));
	end_task(owner);
	probe_expect("the read", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	end_task(other);
	finish();
}

/* A task ends that had nothing to do; another one's request is failed as soon. */
static void one_task_ends(void)
{
	struct disk_io io = { 0 }, later = { 0 };
	struct task *owner, *other;
	uint64_t lost_ms;

	begin(0, NULL, 0);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	owner = who_took(&other);
	lost_ms = probe_now_ms();
	end_task(other);
	probe_expect("the other task's request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_expect_noticed("it failed", lost_ms, io.end_ms);
	disk_io_start(&later, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	probe_expect("a later request", -EIO, disk_io_wait(&later, PROBE_TIMEOUT_MS));
	end_task(owner);
	finish();
}

/* A task ends while another one's command stands still in its copy: the request waits for that. */
static void lost_while_answering(uint32_t op, uint64_t features, uint32_t answer, int result)
{
	struct slow_memory memory = slow_memory_make();
	struct disk_io io = { 0 };
	struct task *copying, *other;

	begin(features, &memory, answer);
	disk_io_start(&io, &probe, op, PAGE_BYTES);
	copying = who_took(&other);
	slow_memory_await(&memory);
	end_task(other);
	probe_expect("the request waits for the copy", -ETIME, disk_io_wait(&io, COPY_MS));
	slow_memory_fill(&memory);
	probe_expect("the request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	end_task(copying);
	probe_expect("the answer", result, copying->result);
	finish();
}

static void lost_while_getting_data(void)
{
	/* The data came; what becomes of it the next COMMIT tells. */
	lost_while_answering(UBLK_IO_OP_WRITE, UBLK_F_NEED_GET_DATA, UBLK_U_IO_NEED_GET_DATA,
			     UBLK_IO_RES_OK);
}

static void lost_while_committing(void)
{
	lost_while_answering(UBLK_IO_OP_READ, 0, COMMIT, UBLK_IO_RES_ABORT);
}

const struct probe_case cases_per_io[] = {
	{ "per-io-tags-alone", tags_alone },
	{ "per-io-one-task-ends", one_task_ends },
	{ "lost-while-getting-data", lost_while_getting_data },
	{ "lost-while-committing", lost_while_committing },
	{ NULL, NULL },
};
