/* SPDX-License-Identifier: MIT */
/*
 * cases_batches.c - requests that come before the daemon's task has run, which one piece of task work may
 * bring to it: each comes to its own task and its own ring, with its own bytes, whatever becomes of the
 * others. Hazard 26 of kernel/README.md; cases_death.c has what dies with several.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/guest/ublk/burst.h"
#include "tests/guest/ublk/slow_memory.h"

#define COMMIT	     UBLK_U_IO_COMMIT_AND_FETCH_REQ
#define DEPTH	     BURST_MAX
#define RINGS	     2
#define SECTOR_BYTES 512u
#define HELD_ROUNDS  4
#define ROUNDS	     50
#define RING_FLAGS   (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

static struct probe probe;

/* What the daemons have stored, a request's bytes for each BURST_APART_BYTES. */
static char store[BURST_MAX][BURST_BYTES];

/* A thread, which serves from as many rings as it has; tags go round the rings of all threads. */
struct server {
	pthread_t thread;
	struct probe views[RINGS];
	unsigned int first, rings, all_rings; /* its rings are numbers first to first + rings - 1 */
	uint16_t odd_tag;		      /* that has another buffer */
	char *odd_buffer;		      /* NULL: none has */
	atomic_int fetched, hold, held, end;
	atomic_int lost;	   /* what comes to it is not answered any more */
	atomic_int written, ended; /* WRITEs answered, commands not answered */
};

static struct server servers[RINGS];

static char *buffer_of(const struct server *server, uint16_t tag)
{
	return server->odd_buffer && tag == server->odd_tag ? server->odd_buffer
							    : probe_buffer(&probe, tag);
}

/* Bytes to or from the store, and the answer. Another READ than a burst's is of a partition table. */
static void answer(struct server *server, struct probe *view, uint16_t tag)
{
	const struct ublksrv_io_desc *desc = &probe.descs[tag];
	uint64_t at = desc->start_sector * SECTOR_BYTES / BURST_APART_BYTES;
	uint32_t bytes = desc->nr_sectors * SECTOR_BYTES;
	bool write = (desc->op_flags & 0xff) == UBLK_IO_OP_WRITE;

	if (write && (at >= BURST_MAX || bytes != BURST_BYTES))
		probe_die("a WRITE of %u bytes at sector %llu", bytes,
			  (unsigned long long)desc->start_sector);
	if (write) {
		memcpy(store[at], buffer_of(server, tag), BURST_BYTES);
		atomic_fetch_add(&server->written, 1);
	} else if (at < BURST_MAX && bytes == BURST_BYTES) {
		memcpy(probe_buffer(&probe, tag), store[at], BURST_BYTES);
	}
	probe_send(view, COMMIT, tag, (int)bytes);
}

/* What has come to one of its rings. */
static void serve_ring(struct server *server, unsigned int ring, uint32_t timeout_ms)
{
	struct probe *view = &server->views[ring];
	uint16_t tag = 0;
	int got;

	while ((got = probe_wait(view, &tag, timeout_ms)) != -ETIME) {
		if (tag % server->all_rings != server->first + ring)
			probe_die("tag %u came to ring %u", tag, server->first + ring);
		if (got == UBLK_IO_RES_ABORT || atomic_load(&server->lost)) {
			atomic_fetch_add(&server->ended, 1);
		} else if (got == UBLK_IO_RES_NEED_GET_DATA) {
			probe_send(view, UBLK_U_IO_NEED_GET_DATA, tag, 0);
		} else {
			probe_expect("a request to serve", UBLK_IO_RES_OK, got);
			answer(server, view, tag);
		}
	}
}

static void fetch(struct server *server, unsigned int ring)
{
	struct probe *view = &server->views[ring];

	*view = probe;
	if (io_uring_queue_init(2 * DEPTH, &view->ring, RING_FLAGS))
		probe_die("no ring");
	for (uint16_t tag = 0; tag < DEPTH; tag++)
		if (tag % server->all_rings == server->first + ring)
			probe_send_at(view, UBLK_U_IO_FETCH_REQ, tag, 0,
				      (uintptr_t)buffer_of(server, tag));
}

/* While it is held its rings do not run their task work. */
static void *server_run(void *argument)
{
	struct server *server = argument;

	for (unsigned int ring = 0; ring < server->rings; ring++)
		fetch(server, ring);
	atomic_store(&server->fetched, 1);
	while (!atomic_load(&server->end)) {
		if (atomic_load(&server->hold)) {
			atomic_store(&server->held, 1);
			usleep(1000);
			continue;
		}
		atomic_store(&server->held, 0);
		for (unsigned int ring = 0; ring < server->rings; ring++)
			serve_ring(server, ring, 2);
	}
	return NULL;
}

/* So many threads with so many rings each; one tag has another buffer where `odd_buffer` is not NULL. */
static void begin(uint64_t features, unsigned int threads, unsigned int rings, char *odd_buffer)
{
	memset(servers, 0, sizeof(servers));
	memset(&probe, 0, sizeof(probe));
	probe_add(&probe, features, DEPTH);
	probe_open(&probe, 0);
	for (unsigned int i = 0; i < threads; i++) {
		servers[i].first = i * rings;
		servers[i].rings = rings;
		servers[i].all_rings = threads * rings;
		servers[i].odd_buffer = odd_buffer;
		servers[i].odd_tag = DEPTH / 2;
		if (pthread_create(&servers[i].thread, NULL, server_run, &servers[i]))
			probe_die("no thread");
		probe_await(&servers[i].fetched, "a thread that fetches");
	}
	probe_start(&probe);
}

static void hold(unsigned int threads)
{
	for (unsigned int i = 0; i < threads; i++) {
		atomic_store(&servers[i].hold, 1);
		probe_await(&servers[i].held, "a thread that is to wait");
	}
}

static void release(unsigned int threads)
{
	for (unsigned int i = 0; i < threads; i++)
		atomic_store(&servers[i].hold, 0);
}

static void end_server(struct server *server)
{
	atomic_store(&server->end, 1);
	pthread_join(server->thread, NULL);
}

static void delete_device(unsigned int threads)
{
	for (unsigned int i = 0; i < threads; i++)
		for (unsigned int ring = 0; ring < servers[i].rings; ring++)
			io_uring_queue_exit(&servers[i].views[ring].ring);
	probe_delete(&probe);
}

/* The disk goes first, so that the threads see all their commands end. */
static void finish(unsigned int threads)
{
	probe_expect("STOP_DEV", 0, probe_control(UBLK_U_CMD_STOP_DEV, probe.info.dev_id, 0));
	for (unsigned int i = 0; i < threads; i++)
		end_server(&servers[i]);
	delete_device(threads);
}

/* A burst while nobody looks, then they all do. */
static void held_burst(unsigned int threads, uint32_t op, int byte, const char *what)
{
	struct burst burst;

	hold(threads);
	burst_send(&burst, probe.info.dev_id, op, DEPTH, byte);
	probe_expect("requests that end while nobody looks", 0, burst_wait(&burst, 1, 100));
	release(threads);
	burst_expect(&burst, what, BURST_BYTES);
	if (op == UBLK_IO_OP_READ)
		burst_expect_bytes(&burst, byte);
	burst_end(&burst);
}

/* Written and read back, with and without a pause in between. */
static void bursts(uint64_t features, unsigned int threads, unsigned int rings)
{
	struct burst burst;
	int written = 0;

	begin(features, threads, rings, NULL);
	for (int round = 0; round < HELD_ROUNDS; round++) {
		held_burst(threads, UBLK_IO_OP_WRITE, 10 * round, "a write of a batch");
		held_burst(threads, UBLK_IO_OP_READ, 10 * round, "a read of a batch");
	}
	for (int round = 0; round < ROUNDS; round++) {
		burst_send(&burst, probe.info.dev_id, UBLK_IO_OP_WRITE, DEPTH, round);
		burst_expect(&burst, "a write", BURST_BYTES);
		burst_end(&burst);
		burst_send(&burst, probe.info.dev_id, UBLK_IO_OP_READ, DEPTH, 0);
		burst_expect(&burst, "a read", BURST_BYTES);
		burst_expect_bytes(&burst, round);
		burst_end(&burst);
	}
	for (unsigned int i = 0; i < threads; i++) {
		if (!atomic_load(&servers[i].written))
			probe_die("thread %u served no write", i);
		written += atomic_load(&servers[i].written);
	}
	probe_expect("writes served", (HELD_ROUNDS + ROUNDS) * DEPTH, written);
	finish(threads);
}

static void one_task(void)
{
	bursts(0, 1, 1);
}

static void asked(void)
{
	bursts(UBLK_F_NEED_GET_DATA, 1, 1);
}

/* One thread and two rings: a command ends in the ring that it came from. */
static void two_rings(void)
{
	bursts(0, 1, RINGS);
}

static void two_tasks(void)
{
	bursts(UBLK_F_PER_IO_DAEMON, RINGS, 1);
}

/* In the middle a buffer that is no memory: that request fails, and no other. */
static void unwritable(void)
{
	struct burst burst;
	int failed = 0;

	begin(0, 1, 1, (char *)8);
	hold(1);
	burst_send(&burst, probe.info.dev_id, UBLK_IO_OP_WRITE, DEPTH, 0);
	release(1);
	probe_expect("writes that are over", DEPTH, burst_wait(&burst, DEPTH, PROBE_TIMEOUT_MS));
	for (unsigned int i = 0; i < DEPTH; i++) {
		if (burst.results[i] == -EIO)
			failed++;
		else
			probe_expect("a write of a batch", BURST_BYTES, burst.results[i]);
	}
	probe_expect("writes that fail", 1, failed);
	burst_end(&burst);
	finish(1);
}

/*
 * A copy stands still in the middle, and another thread ends: what came before and what comes behind is failed
 * at once, the request that is copied when it has been; each command ends.
 */
static void lost_while_given(void)
{
	struct slow_memory memory = slow_memory_make();
	struct burst burst;
	uint64_t lost_ms;

	begin(UBLK_F_PER_IO_DAEMON, RINGS, 1, memory.area);
	hold(RINGS);
	burst_send(&burst, probe.info.dev_id, UBLK_IO_OP_WRITE, DEPTH, 0);
	atomic_store(&servers[0].hold, 0);
	slow_memory_await(&memory);
	lost_ms = probe_now_ms();
	end_server(&servers[1]);
	if (burst_wait(&burst, DEPTH - 1, PROBE_TIMEOUT_MS) < DEPTH - 1)
		probe_die("%u of %u requests are over", burst.over, DEPTH);
	probe_expect_noticed("they failed", lost_ms, burst.end_ms);
	probe_expect("requests over while one is copied", DEPTH - 1,
		     burst_wait(&burst, DEPTH, PROBE_NOTICE_MS));
	atomic_store(&servers[0].lost, 1);
	slow_memory_fill(&memory);
	burst_expect(&burst, "a request of a daemon that is lost", -EIO);
	burst_end(&burst);
	while (atomic_load(&servers[0].ended) < DEPTH / RINGS) {
		if (probe_now_ms() - lost_ms > PROBE_TIMEOUT_MS)
			probe_die("%d of %d commands ended", atomic_load(&servers[0].ended),
				  DEPTH / RINGS);
		usleep(1000);
	}
	end_server(&servers[0]);
	delete_device(RINGS);
}

const struct probe_case cases_batches[] = {
	{ "h26-one-task", one_task },
	{ "h26-asked", asked },
	{ "h26-two-rings", two_rings },
	{ "h26-two-tasks", two_tasks },
	{ "h26-unwritable", unwritable },
	{ "h26-lost-while-given", lost_while_given },
	{ NULL, NULL },
};
