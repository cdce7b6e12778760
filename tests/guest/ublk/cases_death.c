/* SPDX-License-Identifier: MIT */
/*
 * cases_death.c - a daemon dies, whole or one thread of it, with a request in each state that a slot
 * has, under each policy of recovery: the request fails or waits, as the policy says, within a second;
 * a successor serves what waits; nothing is left. Hazards 1, 2, 3, 4, 9, 10, 13 of kernel/README.md.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/burst.h"
#include "tests/guest/ublk/slow_memory.h"

#define DEPTH	   4
#define PAGE_BYTES 4096u

/* Where the request is when the daemon dies. */
enum place {
	PLACE_SENDING, /* on its way: the daemon's thread does not look */
	PLACE_ASKED,   /* the daemon was asked for a buffer */
	PLACE_OWNED,   /* the daemon has it */
	PLACE_GIVEN,   /* a WRITE's data is being copied to the daemon */
	PLACE_TAKEN,   /* a READ's data is being copied from it, by its COMMIT */
};

enum death { DEATH_PROCESS, DEATH_THREAD };

/* What the daemon, a child, and the test have in common. */
struct shared {
	struct probe probe; /* its info is what the test needs */
	atomic_int ready, die;
	atomic_int copying; /* stands still in the middle of it */
};

static struct shared *shared;

static void share(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		probe_die("no memory");
}

/* --- the daemon ---------------------------------------------------------------------------------------- */

struct daemon {
	uint64_t features;
	enum place place;
	enum death death;
};

static void *copy_thread(void *memory)
{
	slow_memory_await(memory);
	atomic_store(&shared->copying, 1);
	return NULL;
}

/* Memory in which a copy stands still until the daemon is killed; somebody tells of that. */
static char *slow_buffer(void)
{
	static struct slow_memory memory;
	pthread_t thread;

	memory = slow_memory_make();
	if (pthread_create(&thread, NULL, copy_thread, &memory))
		probe_die("no thread");
	return memory.area;
}

/* The daemon's thread: serves until the disk is there, then lets one request come to its place. */
static void *daemon_thread(void *argument)
{
	const struct daemon *daemon = argument;
	struct probe *probe = &shared->probe;
	const bool copies = daemon->place == PLACE_GIVEN || daemon->place == PLACE_TAKEN;
	char *slow = copies ? slow_buffer() : NULL;
	uint16_t tag;

	probe_add(probe, daemon->features, DEPTH);
	probe_open(probe, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (daemon->place == PLACE_GIVEN)
		for (tag = 0; tag < DEPTH; tag++)
			probe_send_at(probe, UBLK_U_IO_FETCH_REQ, tag, 0, (uintptr_t)slow);
	else
		probe_fetch_all(probe);
	probe_start(probe);
	atomic_store(&shared->ready, 1);
	if (daemon->place == PLACE_ASKED)
		probe_expect("a WRITE asks for a buffer", UBLK_IO_RES_NEED_GET_DATA,
			     probe_wait(probe, &tag, PROBE_TIMEOUT_MS));
	else if (daemon->place == PLACE_OWNED)
		probe_take(probe, UBLK_IO_OP_WRITE);
	else if (daemon->place == PLACE_GIVEN)
		/* It is taken only if its tag has another buffer, since a READ of the partition
		 * table was answered from there: what is missing then comes to the slow one. */
		probe_ask_at(probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ,
			     probe_take(probe, UBLK_IO_OP_WRITE), 512, (uintptr_t)slow);
	else if (daemon->place == PLACE_TAKEN)
		probe_ask_at(probe, UBLK_U_IO_COMMIT_AND_FETCH_REQ,
			     probe_take(probe, UBLK_IO_OP_READ), PAGE_BYTES, (uintptr_t)slow);
	while (!atomic_load(&shared->die))
		usleep(1000);
	return NULL;
}

static pid_t daemon_begin(const struct daemon *daemon)
{
	pthread_t thread;
	pid_t child;

	probe_need(daemon->features);
	share();
	child = fork();
	if (child)
		return child;
	if (pthread_create(&thread, NULL, daemon_thread, (void *)daemon))
		probe_die("no thread");
	pthread_join(thread, NULL);
	for (;;)
		pause();
}

/* When the whole process went at `lost_ms`: its successor may come. */
static void expect_recoverable(uint32_t id, uint64_t lost_ms)
{
	probe_await_state(id, shared->probe.info.flags & UBLK_F_USER_RECOVERY_FAIL_IO
				      ? UBLK_S_DEV_FAIL_IO
				      : UBLK_S_DEV_QUIESCED);
	probe_expect_noticed("recovery may begin", lost_ms, probe_now_ms());
}

/* Serves what waited, until it is killed. */
static pid_t successor_begin(uint32_t id)
{
	struct probe *probe = &shared->probe;
	pid_t child;

	probe_expect("START_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_START_USER_RECOVERY, id, 0));
	child = fork();
	if (child)
		return child;
	probe_open(probe, 0);
	probe_fetch_all(probe);
	probe_expect("END_USER_RECOVERY", 0,
		     probe_control(UBLK_U_CMD_END_USER_RECOVERY, id, (uint64_t)getpid()));
	while (!atomic_load(&shared->die))
		probe_serve(probe, 50);
	_exit(0);
}

static void end_child(pid_t child)
{
	int status;

	kill(child, SIGKILL);
	for (int i = 0; i < PROBE_TIMEOUT_MS / 10; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return;
		usleep(10000);
	}
	probe_die("the daemon cannot be killed");
}

static void delete_device(uint32_t id)
{
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, id, 0));
	probe_expect("GET_DEV_INFO of what is deleted", -ENODEV, probe_state(id));
}

/* --- the policy, for each place and each death ------------------------------------------------------------- */

/* cancel.h's table. */
static bool waits(const struct daemon *daemon)
{
	if (!(daemon->features & UBLK_F_USER_RECOVERY) ||
	    daemon->features & UBLK_F_USER_RECOVERY_FAIL_IO)
		return false;
	return (daemon->place != PLACE_OWNED && daemon->place != PLACE_TAKEN) ||
	       daemon->features & UBLK_F_USER_RECOVERY_REISSUE;
}

static void expect_noticed(uint64_t end_ms, uint64_t lost_ms)
{
	printf("%lld ms ", (long long)(end_ms - lost_ms));
	probe_expect_noticed("the request failed", lost_ms, end_ms);
}

static void expect_failed(struct disk_io *io, uint64_t lost_ms)
{
	probe_expect("the request", -EIO, disk_io_wait(io, PROBE_TIMEOUT_MS));
	expect_noticed(io->end_ms, lost_ms);
}

static void expect_burst_failed(struct burst *burst, uint64_t lost_ms)
{
	burst_expect(burst, "the request", -EIO);
	expect_noticed(burst->end_ms, lost_ms);
}

static void expect_burst_waits(struct burst *burst)
{
	if (burst_wait(burst, 1, PROBE_NOTICE_MS * probe_scale()))
		probe_expect("the request waits", -ETIME, burst->first_result);
}

static void expect_burst_served(struct burst *burst, uint32_t id)
{
	pid_t successor;

	expect_burst_waits(burst);
	atomic_store(&shared->die, 0);
	successor = successor_begin(id);
	burst_expect(burst, "the request", BURST_BYTES);
	printf("served ");
	end_child(successor);
}

/* What was failed is over; what comes after the recovery is served. */
static void expect_recovered(uint32_t id)
{
	struct disk_io io = { 0 };
	pid_t successor;

	atomic_store(&shared->die, 0);
	successor = successor_begin(id);
	/* Until then the policy may fail it. */
	probe_await_state(id, UBLK_S_DEV_LIVE);
	disk_io_start(&io, &shared->probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	probe_expect("a write after the recovery", PAGE_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	printf("recovered ");
	end_child(successor);
}

/* Several where the daemon looks at none, else the one that it looks at. */
static unsigned int requests_of(const struct daemon *daemon)
{
	return daemon->place == PLACE_SENDING ? DEPTH : 1;
}

static void one_death(const struct daemon *daemon)
{
	struct burst burst;
	uint64_t lost_ms, killed_ms;
	pid_t child = daemon_begin(daemon);
	uint32_t id;

	probe_await(&shared->ready, "the daemon");
	id = shared->probe.info.dev_id;
	burst_send(&burst, id, daemon->place == PLACE_TAKEN ? UBLK_IO_OP_READ : UBLK_IO_OP_WRITE,
		   requests_of(daemon), 0);
	usleep(150000);
	if (daemon->place == PLACE_GIVEN || daemon->place == PLACE_TAKEN)
		probe_await(&shared->copying, "a copy");
	lost_ms = killed_ms = probe_now_ms();
	if (daemon->death == DEATH_THREAD)
		atomic_store(&shared->die, 1);
	else
		end_child(child);
	if (!waits(daemon))
		expect_burst_failed(&burst, lost_ms);
	if (daemon->death == DEATH_THREAD) {
		if (waits(daemon))
			expect_burst_waits(&burst);
		killed_ms = probe_now_ms();
		end_child(child);
	}
	if (daemon->features & UBLK_F_USER_RECOVERY)
		expect_recoverable(id, killed_ms);
	if (waits(daemon))
		expect_burst_served(&burst, id);
	else if (daemon->features & UBLK_F_USER_RECOVERY)
		expect_recovered(id);
	burst_end(&burst);
	delete_device(id);
	munmap(shared, sizeof(*shared));
}

static const uint64_t policies[] = {
	0,
	UBLK_F_USER_RECOVERY,
	UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE,
	UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO,
};

/* With each policy that the driver has. */
static void deaths(enum place place, enum death death)
{
	const uint64_t asks = place == PLACE_ASKED ? UBLK_F_NEED_GET_DATA : 0;

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct daemon daemon = { .features = policies[i] | asks,
					 .place = place,
					 .death = death };

		if (probe_lists(daemon.features))
			one_death(&daemon);
	}
}

static void process_sending(void)
{
	deaths(PLACE_SENDING, DEATH_PROCESS);
}

static void process_owned(void)
{
	deaths(PLACE_OWNED, DEATH_PROCESS);
}

static void thread_sending(void)
{
	deaths(PLACE_SENDING, DEATH_THREAD);
}

static void thread_owned(void)
{
	deaths(PLACE_OWNED, DEATH_THREAD);
}

static void process_asked(void)
{
	deaths(PLACE_ASKED, DEATH_PROCESS);
}

static void thread_asked(void)
{
	deaths(PLACE_ASKED, DEATH_THREAD);
}

/* The copy is broken off by the kill; that is no error of the request's. */
static void killed_while_given(void)
{
	deaths(PLACE_GIVEN, DEATH_PROCESS);
}

static void killed_while_taken(void)
{
	deaths(PLACE_TAKEN, DEATH_PROCESS);
}

/* Nothing was at work: the next request is what tells. With a policy by which the disk stays. */
static void idle(enum death death)
{
	struct daemon daemon = { .features = UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO,
				 .place = PLACE_SENDING,
				 .death = death };
	struct disk_io io = { 0 };
	pid_t child = daemon_begin(&daemon);
	uint64_t lost_ms;
	uint32_t id;

	probe_await(&shared->ready, "the daemon");
	id = shared->probe.info.dev_id;
	lost_ms = probe_now_ms();
	if (death == DEATH_THREAD)
		atomic_store(&shared->die, 1);
	else
		end_child(child);
	disk_io_start(&io, &shared->probe, UBLK_IO_OP_READ, PAGE_BYTES);
	expect_failed(&io, lost_ms);
	if (death == DEATH_THREAD) {
		lost_ms = probe_now_ms();
		end_child(child);
	}
	expect_recoverable(id, lost_ms);
	expect_recovered(id);
	delete_device(id);
}

/* The daemon lives, and its ring does not: a FETCH must not keep either. */
static void ring_closed(void)
{
	struct probe probe = { 0 };
	struct disk_io io = { 0 };
	uint64_t lost_ms;

	probe_run(&probe, 0, DEPTH);
	lost_ms = probe_now_ms();
	io_uring_queue_exit(&probe.ring);
	disk_io_start(&io, &probe, UBLK_IO_OP_READ, PAGE_BYTES);
	expect_failed(&io, lost_ms);
	close(probe.char_fd);
	munmap((void *)probe.descs, PAGE_BYTES);
	delete_device(probe.info.dev_id);
}

static void process_idle(void)
{
	idle(DEATH_PROCESS);
}

static void thread_idle(void)
{
	idle(DEATH_THREAD);
}

/* Requests that come together while there is no daemon: they wait, or they fail, all of them. */
static void burst_without_daemon(void)
{
	/* Without recovery there is no disk then. */
	for (size_t i = 1; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct daemon daemon = { .features = policies[i], .place = PLACE_SENDING };
		struct burst burst;
		pid_t child;
		uint32_t id;

		if (!probe_lists(daemon.features))
			continue;
		child = daemon_begin(&daemon);
		probe_await(&shared->ready, "the daemon");
		id = shared->probe.info.dev_id;
		end_child(child);
		expect_recoverable(id, probe_now_ms());
		burst_send(&burst, id, UBLK_IO_OP_WRITE, DEPTH, 0);
		if (waits(&daemon))
			expect_burst_served(&burst, id);
		else
			burst_expect(&burst, "the request", -EIO);
		burst_end(&burst);
		delete_device(id);
		munmap(shared, sizeof(*shared));
	}
}

/* --- before START_DEV ---------------------------------------------------------------------------------- */

static void before_start(void)
{
	struct probe *probe;
	pid_t child;

	for (int fetched = 0; fetched <= DEPTH; fetched += DEPTH / 2) {
		share();
		probe = &shared->probe;
		child = fork();
		if (!child) {
			probe_add(probe, 0, DEPTH);
			probe_open(probe, 0);
			for (int tag = 0; tag < fetched; tag++)
				probe_send(probe, UBLK_U_IO_FETCH_REQ, (uint16_t)tag, 0);
			atomic_store(&shared->ready, 1);
			for (;;)
				pause();
		}
		probe_await(&shared->ready, "the daemon");
		end_child(child);
		delete_device(probe->info.dev_id);
	}
}

/* --- while the disk is being stopped ----------------------------------------------------------------------- */

struct stopper {
	pthread_t thread;
	uint32_t op, id;
	int result;
};

static void *stop_run(void *argument)
{
	struct stopper *stopper = argument;

	stopper->result = probe_control(stopper->op, stopper->id, 0);
	return NULL;
}

/* STOP_DEV has the mutex and waits for a request of a daemon that then dies. */
static void h01_killed_while_stopping(void)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct daemon daemon = { .features = policies[i], .place = PLACE_OWNED };
		struct stopper stopper = { .op = UBLK_U_CMD_STOP_DEV };
		struct disk_io io = { 0 };
		pid_t child = daemon_begin(&daemon);

		probe_await(&shared->ready, "the daemon");
		stopper.id = shared->probe.info.dev_id;
		disk_io_start(&io, &shared->probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
		usleep(150000);
		if (pthread_create(&stopper.thread, NULL, stop_run, &stopper))
			probe_die("no thread");
		usleep(200000);
		probe_expect("the request is with the daemon", 0, atomic_load(&io.done));
		end_child(child);
		pthread_join(stopper.thread, NULL);
		probe_expect("STOP_DEV", 0, stopper.result);
		probe_expect("the request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
		delete_device(stopper.id);
	}
}

/* The daemon is one thread, and it has itself asked for STOP_DEV when it is killed. */
static void h09_killed_while_stopping_itself(void)
{
	struct ublksrv_ctrl_cmd command = { .queue_id = UINT16_MAX };
	struct disk_io io = { 0 };
	struct probe *probe;
	struct io_uring_sqe *sqe;
	pid_t child;

	share();
	probe = &shared->probe;
	child = fork();
	if (!child) {
		probe_run(probe, 0, DEPTH);
		atomic_store(&shared->ready, 1);
		probe_take(probe, UBLK_IO_OP_WRITE);
		command.dev_id = probe->info.dev_id;
		sqe = probe_sqe(&probe->control.ring);
		memset(sqe, 0, 2 * sizeof(*sqe));
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = probe->control.fd;
		sqe->cmd_op = UBLK_U_CMD_STOP_DEV;
		memcpy(sqe->cmd, &command, sizeof(command));
		io_uring_submit(&probe->control.ring);
		for (;;)
			pause();
	}
	probe_await(&shared->ready, "the daemon");
	disk_io_start(&io, probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	usleep(500000);
	end_child(child);
	probe_expect("the request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	delete_device(probe->info.dev_id);
}

/* Requests wait for a successor; the device is deleted instead: they fail, and it goes. */
static void h10_deleted_while_waiting(void)
{
	static const uint32_t ops[] = { UBLK_U_CMD_STOP_DEV, UBLK_U_CMD_DEL_DEV };

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct daemon daemon = { .features = UBLK_F_USER_RECOVERY |
						     UBLK_F_USER_RECOVERY_REISSUE,
					 .place = PLACE_OWNED };
		struct disk_io io = { 0 }, later = { 0 };
		pid_t child = daemon_begin(&daemon);
		uint32_t id;

		probe_await(&shared->ready, "the daemon");
		id = shared->probe.info.dev_id;
		disk_io_start(&io, &shared->probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
		usleep(150000);
		end_child(child);
		probe_await_state(id, UBLK_S_DEV_QUIESCED);
		disk_io_start(&later, &shared->probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
		probe_expect("a later request waits too", -ETIME, disk_io_wait(&later, 200));
		probe_expect("STOP_DEV or DEL_DEV", 0, probe_control(ops[i], id, 0));
		probe_expect("the request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
		probe_expect("the later request", -EIO, disk_io_wait(&later, PROBE_TIMEOUT_MS));
		if (ops[i] == UBLK_U_CMD_STOP_DEV)
			delete_device(id);
	}
}

/* After FAIL_IO nothing waits, and the device can be deleted at once. */
static void h04_deleted_after_fail_io(void)
{
	struct daemon daemon = { .features = UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO,
				 .place = PLACE_OWNED };
	struct disk_io io = { 0 };
	pid_t child = daemon_begin(&daemon);
	uint32_t id;

	probe_await(&shared->ready, "the daemon");
	id = shared->probe.info.dev_id;
	disk_io_start(&io, &shared->probe, UBLK_IO_OP_WRITE, PAGE_BYTES);
	usleep(150000);
	end_child(child);
	probe_expect("the request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	probe_await_state(id, UBLK_S_DEV_FAIL_IO);
	for (int i = 0; i < 20; i++) {
		disk_io_start(&io, &shared->probe, UBLK_IO_OP_READ, PAGE_BYTES);
		probe_expect("a request", -EIO, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	}
	delete_device(id);
}

/*
 * An unprivileged daemon that stalls is killed by the driver; another may take its time. Its requests are the
 * first of their tags.
 */
static void stalls(uint64_t features, unsigned int requests, bool killed)
{
	struct daemon daemon = { .features = features, .place = PLACE_OWNED };
	struct burst burst;
	pid_t child = daemon_begin(&daemon);
	int status;

	probe_await(&shared->ready, "the daemon");
	probe_set_queue(shared->probe.info.dev_id, "io_timeout", "1000");
	burst_send(&burst, shared->probe.info.dev_id, UBLK_IO_OP_WRITE, requests, 0);
	if (killed) {
		burst_expect(&burst, "the request", -EIO);
		if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
			probe_die("the daemon was not killed");
	} else {
		probe_expect("requests that do not wait", 0, burst_wait(&burst, 1, 6000));
		end_child(child);
		burst_expect(&burst, "the request", -EIO);
	}
	burst_end(&burst);
	delete_device(shared->probe.info.dev_id);
}

static void h13_stalled(void)
{
	stalls(0, 1, false);
	stalls(UBLK_F_UNPRIVILEGED_DEV, 1, true);
	/* Together they come to the driver in another way. */
	stalls(UBLK_F_UNPRIVILEGED_DEV, DEPTH, true);
}

const struct probe_case cases_death[] = {
	{ "death-before-start", before_start },
	{ "death-idle", process_idle },
	{ "h02-death-sending", process_sending },
	{ "death-asked", process_asked },
	{ "death-owned", process_owned },
	{ "killed-while-given-data", killed_while_given },
	{ "killed-while-committing", killed_while_taken },
	{ "thread-death-idle", thread_idle },
	{ "ring-closed", ring_closed },
	{ "h03-thread-death-sending", thread_sending },
	{ "thread-death-asked", thread_asked },
	{ "thread-death-owned", thread_owned },
	{ "h26-without-daemon", burst_without_daemon },
	{ "h01-killed-while-stopping", h01_killed_while_stopping },
	{ "h09-killed-while-stopping-itself", h09_killed_while_stopping_itself },
	{ "h10-deleted-while-waiting", h10_deleted_while_waiting },
	{ "h04-deleted-after-fail-io", h04_deleted_after_fail_io },
	{ "h13-stalled", h13_stalled },
	{ NULL, NULL },
};
