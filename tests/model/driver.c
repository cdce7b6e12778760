/* SPDX-License-Identifier: MIT */
/* The loop is queue.c's, with random requests in place of the driver's commands. */
#include "tests/model/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/nbd/connection.h"
#include "gateway/nbd/patience.h"
#include "proto/wire.h"
#include "tests/model/failure.h"
#include "tests/model/request.h"
#include "tests/model/stamp.h"
#include "tests/model/tally.h"

#define START_MS       1000000
#define TICK_NS	       400000 /* of real time */
#define CONTROL_ONE_IN 50
/* Beyond its patience: what is cancelled has to come back, what is there is read before. */
#define SLACK_TICKS 30
/* A request may be held while connections are replaced: until the others are answered, flushed, and left. */
#define HELD_TIMEOUTS  100
#define LEAVE_TIMEOUTS 100
/* With no connection left, so many requests more are submitted. */
#define CUT_OFF_REQUESTS 20
#define LATE_ONE_IN	 8
#define ABSENCE_TICKS	 40

/* --- a request's end --------------------------------------------------------------------------------- */

static void describe(const struct block_request *request, char *out, size_t out_bytes)
{
	static const char *const names[] = { "READ", "WRITE", "FLUSH", "TRIM", "WRITE_ZEROES" };

	snprintf(out, out_bytes, "tag %u, %s of %u bytes at %llu", request->tag, names[request->op],
		 request->length_bytes, (unsigned long long)request->offset_bytes);
}

/* Where requests wait for connections, a loss alone fails none, but one that was there at each of many. */
static bool is_without_excuse(struct driver *driver)
{
	const struct odds *odds = &driver->plan->odds;
	struct trouble_note note = { .text = "" };

	trouble_since(&driver->trouble, 0, &note);
	return driver->plan->waits && !driver->wished && !driver->leaving && !odds->error &&
	       !odds->early_error && !odds->payload_fault &&
	       !atomic_load(&driver->shared.link.flush_fails) && !strstr(note.text, "in a row");
}

static void check_error(struct driver *driver, const struct block_request *request)
{
	bool optional = request->op == BLOCK_TRIM || request->op == BLOCK_WRITE_ZEROES;
	int error = request->error;
	char text[100];

	describe(request, text, sizeof(text));
	if (error != 0 && error != -EIO && error != -ENOSPC && !(optional && error == -EOPNOTSUPP))
		failure_report("%s ended with error %d, which no request may", text, error);
	if (error == 0 && driver->tags[request->tag].late)
		failure_report("%s succeeded, though the client was leaving", text);
	if (error != 0 && is_without_excuse(driver))
		failure_report("%s ended with error %d, and no more than connections were lost",
			       text, error);
	if (error != 0 && driver->plan->calm && !driver->wished && !driver->tags[request->tag].late)
		failure_report("%s ended with error %d, and nothing was wrong", text, error);
}

static void check_age(const struct driver *driver, const struct driver_tag *tag)
{
	int64_t ms = driver->client.base.now_ms - tag->began_ms -
		     (driver->absences_ms - tag->absences_ms);
	char text[100];

	if (ms <= tag->limit_ms)
		return;
	describe(&tag->request, text, sizeof(text));
	failure_report("%s is not done after %lld ms; its limit is %lld", text, (long long)ms,
		       (long long)tag->limit_ms);
}

static void check_durable(struct driver *driver)
{
	store_copy_durable(server_store(driver->server), driver->disk);
	oracle_check_durable(driver->oracle, driver->disk);
	tally_add(durable_checks, 1);
}

static void ask_oracle(struct driver *driver, const struct driver_tag *tag)
{
	const struct block_request *request = &tag->request;
	bool succeeded = request->error == 0;

	if (request->op == BLOCK_READ) {
		oracle_end_read(driver->oracle, &tag->asked, request->tag,
				succeeded ? memory_of(&driver->memory, request->tag) : NULL);
	} else if (request->op == BLOCK_FLUSH) {
		if (!succeeded)
			return;
		oracle_end_flush(driver->oracle, &tag->asked);
		check_durable(driver);
	} else {
		oracle_end_write(driver->oracle, &tag->asked, succeeded);
	}
}

static void count(const struct block_request *request)
{
	_Atomic uint64_t *const counters[] = {
		[BLOCK_READ] = &tally.reads,	      [BLOCK_WRITE] = &tally.writes,
		[BLOCK_FLUSH] = &tally.flushes,	      [BLOCK_TRIM] = &tally.trims,
		[BLOCK_WRITE_ZEROES] = &tally.zeroes,
	};

	atomic_fetch_add(request->error ? &tally.failures : counters[request->op], 1);
}

static void end_request(struct driver *driver, struct block_request *request)
{
	struct driver_tag *tag = &driver->tags[request->tag];

	if (request != &tag->request || !tag->active)
		failure_report("tag %u was done twice", request->tag);
	tag->active = false;
	driver->active--;
	check_age(driver, tag);
	check_error(driver, request);
	ask_oracle(driver, tag);
	count(request);
	if (request->op == BLOCK_READ || request->op == BLOCK_WRITE)
		memory_end(&driver->memory, request->tag, request->length_bytes);
}

static bool does_damage(struct driver *driver, enum control control)
{
	return driver->plan->control == control && chance_one_in(&driver->dice, CONTROL_ONE_IN);
}

/* block_backend.done */
static void take_done(void *submitter, struct block_request *request)
{
	struct driver *driver = submitter;

	end_request(driver, request);
	if (does_damage(driver, CONTROL_LATE_TOUCH))
		memory_of(&driver->memory, request->tag)[BLOCK_BYTES - 1] ^= 1;
	if (does_damage(driver, CONTROL_DOUBLE_DONE))
		end_request(driver, request);
}

/* --- a request's beginning ---------------------------------------------------------------------------- */

static void tell_oracle(struct driver *driver, struct driver_tag *tag)
{
	const struct block_request *request = &tag->request;
	const struct plan *plan = driver->plan;

	tag->asked = (struct oracle_request){
		.block = (uint32_t)(request->offset_bytes / BLOCK_BYTES),
		.blocks = request->length_bytes / BLOCK_BYTES,
		.zeroes = request->op != BLOCK_WRITE,
		.durable = request->fua || plan->fua_always || plan->write_through,
	};
	if (request->op == BLOCK_READ)
		oracle_begin_read(driver->oracle, &tag->asked, request->tag);
	else if (request->op == BLOCK_FLUSH)
		oracle_begin_flush(driver->oracle, &tag->asked);
	else
		oracle_begin_write(driver->oracle, &tag->asked);
}

static void fill_memory(struct driver *driver, const struct driver_tag *tag)
{
	uint8_t *bytes = memory_of(&driver->memory, tag->request.tag);

	memory_begin(&driver->memory, tag->request.tag);
	if (tag->request.op != BLOCK_WRITE)
		return;
	for (uint32_t i = 0; i < tag->asked.blocks; i++)
		stamp_fill(bytes + (size_t)i * BLOCK_BYTES, tag->asked.block + i, tag->asked.write);
}

static int64_t limit_ms(const struct driver *driver, const struct block_request *request)
{
	bool quick = request->op == BLOCK_READ || request->op == BLOCK_WRITE;
	int64_t ms = patience_ms(&driver->shared, quick ? NBD_CMD_READ : NBD_CMD_FLUSH);

	ms = ms * PATIENCE_QUEUE_FACTOR + SLACK_TICKS * (int64_t)driver->client.base.tick_ms;
	if (driver->client.replacing != REPLACE_NONE || driver->plan->waits)
		ms += HELD_TIMEOUTS * (int64_t)driver->plan->timeout_ms;
	return ms;
}

/* Where a lost write may take effect twice, two that are under way at once would leave no order: the second one's
 * effect may come between those of the first. Nobody who wants an order has two of them under way. */
static bool meets_another_write(const struct driver *driver, const struct block_request *request)
{
	uint64_t end_bytes = request->offset_bytes + request->length_bytes;

	for (uint16_t i = 0; driver->plan->waits && i < driver->plan->depth; i++) {
		const struct block_request *other = &driver->tags[i].request;

		if (driver->tags[i].active && block_request_changes(other) &&
		    block_request_changes(request) &&
		    request->offset_bytes < other->offset_bytes + other->length_bytes &&
		    other->offset_bytes < end_bytes)
			return true;
	}
	return false;
}

static void choose(struct driver *driver, struct block_request *request)
{
	struct block_request chosen;

	do
		request_choose(&chosen, driver->plan, &driver->dice);
	while (meets_another_write(driver, &chosen));
	*request = chosen;
}

/* A newer write that has to wait, as the client sees it. */
static void count_held(struct driver *driver, const struct block_request *request)
{
	if (driver->plan->waits && block_request_changes(request) &&
	    holds_meet(&driver->shared.holds, request->offset_bytes, request->length_bytes,
		       driver->client.base.now_ms) == HOLD_WAIT)
		tally_add(held, 1);
}

static void submit(struct driver *driver, uint16_t number)
{
	struct block_backend *backend = &driver->client.base;
	struct driver_tag *tag = &driver->tags[number];

	choose(driver, &tag->request);
	count_held(driver, &tag->request);
	tag->request.tag = number;
	tell_oracle(driver, tag);
	fill_memory(driver, tag);
	tag->active = true;
	tag->late = driver->client.leaving != LEAVE_NONE;
	tag->began_ms = backend->now_ms;
	tag->absences_ms = driver->absences_ms;
	tag->limit_ms = limit_ms(driver, &tag->request);
	driver->active++;
	atomic_fetch_add(&driver->submitted, 1);
	if (driver->plan->control == CONTROL_LATE_WRITE)
		atomic_store(&driver->shared.holds.count, 0);
	if (driver->plan->control == CONTROL_LOST_MARK)
		atomic_store(&driver->shared.link.durable, driver->shared.link.acknowledged);
	backend->ops->submit(backend, &tag->request);
}

static bool is_cut_off(const struct driver *driver)
{
	if (driver->client.replacing != REPLACE_NONE || (driver->plan->waits && !driver->wished))
		return false;
	for (uint32_t i = 0; i < driver->client.connections_count; i++)
		if (connection_works(&driver->client.connections[i]))
			return false;
	return true;
}

/* Some more after the last connection is lost: nothing brings it back. */
static bool may_submit(struct driver *driver)
{
	if (is_cut_off(driver) && ++driver->cut_off > CUT_OFF_REQUESTS)
		driver->gave_up = true;
	return atomic_load(&driver->submitted) < driver->plan->requests && !driver->gave_up &&
	       !driver->leaving;
}

/* Some of the tags that are free. */
static void submit_some(struct driver *driver)
{
	uint32_t depth = driver->plan->depth;
	uint32_t first = dice_below(&driver->dice, depth),
		 some = chance_between(&driver->dice, 1, 8);

	for (uint32_t i = 0; i < depth && some > 0 && may_submit(driver); i++) {
		uint16_t number = (uint16_t)((first + i) % depth);

		if (driver->tags[number].active)
			continue;
		submit(driver, number);
		some--;
	}
}

/* --- the clock ------------------------------------------------------------------------------------------ */

static void arm_tick(struct driver *driver)
{
	const struct block_backend *backend = &driver->client.base;
	struct io_uring_sqe *sqe;
	uint64_t user_data;

	if (driver->tick_armed)
		return;
	driver->tick.tv_nsec = TICK_NS;
	sqe = ring_sqe(&driver->ring, RING_TICK, 0);
	user_data = sqe->user_data;
	io_uring_prep_timeout(sqe, &driver->tick, 0, 0);
	sqe->user_data = user_data;
	driver->tick_armed = true;
	driver->tick_wanted = driver->active > 0 || backend->ops->is_busy(backend);
}

static void check_ages(struct driver *driver)
{
	for (uint16_t i = 0; i < driver->plan->depth; i++)
		if (driver->tags[i].active)
			check_age(driver, &driver->tags[i]);
}

/* A calm server that is busy loses nothing to the clock. */
static bool time_moves(struct driver *driver)
{
	return server_turns(driver->server) >= driver->server_turns + 2 &&
	       (server_is_idle(driver->server) ||
		chance_one_in(&driver->dice, driver->plan->busy_time));
}

static void move_time(struct driver *driver)
{
	struct block_backend *backend = &driver->client.base;
	int64_t absence_ms = 0;

	if (chance_one_in(&driver->dice, driver->plan->odds.absence)) {
		absence_ms =
			(int64_t)backend->tick_ms * chance_between(&driver->dice, 1, ABSENCE_TICKS);
		tally_add(absences, 1);
	}
	driver->server_turns = server_turns(driver->server);
	driver->tick_due_ms = backend->now_ms + backend->tick_ms;
	driver->absences_ms += absence_ms;
	backend->now_ms = driver->tick_due_ms + absence_ms;
	server_set_time(driver->server, backend->now_ms);
}

static void tick_completed(struct driver *driver)
{
	driver->tick_armed = false;
	if (!time_moves(driver))
		return;
	move_time(driver);
	driver->tick_came = driver->tick_wanted;
}

/* --- wishes --------------------------------------------------------------------------------------------- */

static void arm_mailbox(struct driver *driver)
{
	struct io_uring_sqe *sqe;
	uint64_t user_data;

	if (driver->mailbox_armed)
		return;
	sqe = ring_sqe(&driver->ring, RING_MAILBOX, 0);
	user_data = sqe->user_data;
	io_uring_prep_read(sqe, driver->mailbox_fd, &driver->mailbox_value,
			   sizeof(driver->mailbox_value), 0);
	sqe->user_data = user_data;
	driver->mailbox_armed = true;
}

static void mailbox_completed(struct driver *driver)
{
	uint32_t requested = atomic_exchange(&driver->requested, 0);
	struct block_backend *backend = &driver->client.base;

	driver->mailbox_armed = false;
	if (requested & DRIVER_WISH_LOOK)
		driver->look = true;
	if (!(requested & (DRIVER_WISH_CONDEMN | DRIVER_WISH_GIVE_UP)))
		return;
	driver->gave_up = driver->gave_up || requested & DRIVER_WISH_GIVE_UP;
	driver->wished = true;
	tally_add(wishes, 1);
	backend->ops->condemn(backend, "the model wished so");
}

void driver_wish(struct driver *driver, uint32_t bits)
{
	const uint64_t one = 1;

	atomic_fetch_or(&driver->requested, bits);
	if (write(driver->mailbox_fd, &one, sizeof(one)) < 0)
		failure_report("cannot reach the driver's thread: %s", strerror(errno));
}

/* --- the end --------------------------------------------------------------------------------------------- */

static void check_left(const struct driver *driver)
{
	for (uint32_t i = 0; i < driver->client.connections_count; i++) {
		const struct connection *connection = &driver->client.connections[i];

		if (connection_state(connection) != CONNECTION_DEAD ||
		    connection_is_armed(connection))
			failure_report("connection %u was left and is not dead", i);
		if (connection->in_flight > 0 || connection->in_flight_bytes > 0)
			failure_report("connection %u was left with %u requests, %llu bytes in "
				       "flight",
				       i, connection->in_flight,
				       (unsigned long long)connection->in_flight_bytes);
	}
}

static void check_calm(const struct driver *driver)
{
	if (!driver->plan->calm || driver->wished)
		return;
	if (stats_read(&driver->stats.connections_lost) > 0 || driver->client.flush_error)
		failure_report("%llu connections were lost, the last FLUSH ended with %d, and "
			       "nothing was wrong",
			       (unsigned long long)stats_read(&driver->stats.connections_lost),
			       driver->client.flush_error);
}

/* The client has left. What it reports to have flushed is durable. */
static void take_leave(struct driver *driver)
{
	check_left(driver);
	check_calm(driver);
	if (!driver->client.flush_error) {
		oracle_end_flush(driver->oracle, &driver->last_flush);
		check_durable(driver);
	}
	tally_add(hold_refusals, stats_read(&driver->stats.hold_refusals));
	tally_add(timeouts, stats_read(&driver->stats.timeouts));
	tally_add(connections_lost, stats_read(&driver->stats.connections_lost));
}

/* Whether the client has left. Where the driver did not abort all commands a request may still come. */
static bool leave_when_done(struct driver *driver)
{
	struct block_backend *backend = &driver->client.base;

	if (!driver->leaving) {
		if (driver->active > 0 ||
		    (!driver->gave_up && atomic_load(&driver->submitted) < driver->plan->requests))
			return false;
		driver->leaving = true;
		driver->leave_ms = backend->now_ms - driver->absences_ms;
		oracle_begin_flush(driver->oracle, &driver->last_flush);
	}
	if (driver->client.leaving != LEAVE_NONE && driver->active == 0 &&
	    chance_one_in(&driver->dice, LATE_ONE_IN))
		submit(driver, (uint16_t)dice_below(&driver->dice, driver->plan->depth));
	if (driver->active == 0 && backend->ops->leave(backend))
		return true;
	if (backend->now_ms - driver->absences_ms >
	    driver->leave_ms + (int64_t)LEAVE_TIMEOUTS * driver->plan->timeout_ms)
		failure_report("the client does not leave");
	return false;
}

/* --- the thread ------------------------------------------------------------------------------------------ */

static void take_cqe(struct driver *driver, const struct io_uring_cqe *cqe)
{
	struct block_backend *backend = &driver->client.base;

	switch (ring_kind_of(cqe->user_data)) {
	case RING_MAILBOX:
		mailbox_completed(driver);
		break;
	case RING_TICK:
		tick_completed(driver);
		break;
	case RING_CANCEL:
		break;
	default:
		backend->ops->completed(backend, cqe);
	}
	if (chance_one_in(&driver->dice, 4)) /* the driver's completions come in between */
		submit_some(driver);
}

static void reap(struct driver *driver)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe(&driver->ring, head, cqe) {
		seen++;
		take_cqe(driver, cqe);
	}
	io_uring_cq_advance(&driver->ring, seen);
}

/* Whether the client has left. */
static bool turn(struct driver *driver)
{
	struct block_backend *backend = &driver->client.base;
	int ret;

	backend->ops->arm(backend);
	arm_tick(driver);
	arm_mailbox(driver);
	ret = io_uring_submit_and_wait(&driver->ring, 1);
	if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		failure_report("io_uring failed: %s", strerror(-ret));
	driver->look = false;
	driver->tick_came = false;
	reap(driver);
	if (driver->tick_came && driver->plan->control != CONTROL_NO_TICK)
		backend->ops->tick(backend, driver->tick_due_ms);
	if (driver->tick_came)
		check_ages(driver);
	backend->ops->advance(backend, driver->look);
	submit_some(driver);
	return leave_when_done(driver);
}

static void open_ring(struct driver *driver)
{
	const struct block_backend *backend = &driver->client.base;
	int fds[RING_FILE_BACKEND + RING_BACKEND_FILES_MAX];
	int ret = ring_open(&driver->ring, driver->plan->depth);
	uint32_t files;

	fds[RING_FILE_CHAR] = -1;
	files = backend->ops->files(backend, &fds[RING_FILE_BACKEND]);
	if (ret == 0)
		ret = ring_register_files(&driver->ring, fds, RING_FILE_BACKEND + files);
	if (ret < 0)
		failure_report("no io_uring: %s", strerror(-ret));
}

/* Takes the mailbox's read back. */
static void close_ring(struct driver *driver)
{
	driver_wish(driver, DRIVER_WISH_LOOK);
	while (driver->mailbox_armed) {
		io_uring_submit_and_wait(&driver->ring, 1);
		reap(driver);
	}
	ring_close(&driver->ring);
}

static void *drive(void *argument)
{
	struct driver *driver = argument;

	open_ring(driver);
	submit_some(driver);
	while (!turn(driver))
		;
	take_leave(driver);
	close_ring(driver);
	atomic_store(&driver->done, true);
	return NULL;
}

/* --- start, end ------------------------------------------------------------------------------------------ */

static void share(struct driver *driver)
{
	const struct plan *plan = driver->plan;
	struct nbd_client_shared *shared = &driver->shared;

	holds_init(&shared->holds);
	server_link_init(&shared->link, -1);
	atomic_store(&shared->export_size_bytes, plan->export.size_bytes);
	shared->export = &plan->export;
	shared->depth = plan->depth;
	shared->parts_max = plan->parts_max;
	shared->max_io_bytes = plan->max_io_bytes;
	shared->timeout_ms = plan->timeout_ms;
	shared->quiet_closed_ms = plan->waits ? plan->quiet_ms : HOLDS_NEVER;
	shared->quiet_silent_ms = shared->quiet_closed_ms;
	shared->link.waits = plan->waits;
	shared->link.counts_unflushed = plan->waits && plan->export.flags & NBD_FLAG_SEND_FLUSH;
	shared->in_place = plan->in_place;
	shared->fua_always = plan->fua_always;
}

static void open_client(struct driver *driver)
{
	const struct plan *plan = driver->plan;
	struct block_backend *backend = &driver->client.base;
	struct transport *transports[PLAN_CONNECTIONS_MAX];

	for (uint32_t i = 0; i < plan->connections; i++)
		transports[i] = server_connect(driver->server, false);
	if (nbd_client_open(&driver->client, &driver->shared, transports, plan->connections) < 0)
		failure_report("no memory for a client");
	trouble_init(&driver->trouble);
	memory_open(&driver->memory, plan);
	backend->ring = &driver->ring;
	backend->payload = &driver->memory.base;
	backend->stats = &driver->stats;
	backend->trouble = &driver->trouble;
	backend->done = take_done;
	backend->submitter = driver;
	backend->now_ms = START_MS;
	server_set_time(driver->server, START_MS);
}

void driver_start(struct driver *driver, const struct plan *plan, struct server *server)
{
	memset(driver, 0, sizeof(*driver));
	driver->plan = plan;
	driver->server = server;
	chance_seed(&driver->dice, plan->seed, CHANCE_DRIVER);
	driver->oracle = oracle_open(plan->blocks, plan->depth);
	driver->tags = calloc(plan->depth, sizeof(*driver->tags));
	driver->disk = malloc((size_t)plan->blocks * BLOCK_BYTES);
	driver->mailbox_fd = eventfd(0, EFD_CLOEXEC);
	if (!driver->tags || !driver->disk || driver->mailbox_fd < 0)
		abort();
	share(driver);
	open_client(driver);
	if (pthread_create(&driver->thread, NULL, drive, driver) != 0)
		failure_report("no thread for the driver");
}

void driver_join(struct driver *driver)
{
	pthread_join(driver->thread, NULL);
}

void driver_close(struct driver *driver)
{
	nbd_client_close(&driver->client);
}

/* A client that was told to give up, or met a deadline or a payload that the driver refused, has its reason. */
static bool may_have_condemned(const struct driver *driver)
{
	return driver->wished || stats_read(&driver->stats.timeouts) > 0 ||
	       driver->plan->odds.payload_fault;
}

void driver_check_end(struct driver *driver)
{
	uint32_t unexplained = server_unexplained(driver->server);

	if (unexplained > 0 && !may_have_condemned(driver))
		failure_report("%u connections ended without DISC, and nothing was wrong with them",
			       unexplained);
	store_copy_shown(server_store(driver->server), driver->disk);
	oracle_check(driver->oracle, driver->disk);
	if (!driver->client.flush_error)
		check_durable(driver);
}

void driver_free(struct driver *driver)
{
	memory_close(&driver->memory);
	oracle_close(driver->oracle);
	free(driver->tags);
	free(driver->disk);
	close(driver->mailbox_fd);
}
