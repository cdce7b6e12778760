/* SPDX-License-Identifier: MIT */
/* Each turn: receive, carry out, answer, send; none of them waits. */
#include "tests/model/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/wire.h"
#include "tests/model/failure.h"
#include "tests/model/sockets.h"
#include "tests/model/tally.h"

#define TICK_MS		  200 /* of the client's clock: deadline.h makes ten of --timeout */
#define RECEIVE_BYTES_MAX (64u << 10)
#define RECEIVES_IN_TURN  8
#define TRICKLE_BYTES	  4096u
#define LATE_TICKS_MAX	  200
/* How long a client waits: for READ and WRITE (--timeout), and for the others. */
#define QUICK_TICKS	     10
#define SLOW_TICKS	     40
#define SILENCE_SLACK_TICKS  25
#define REACTION_TICKS_MAX   50
#define ORPHAN_NEVER_ONE_IN  3
#define CONTROL_WRITE_ONE_IN 20
#define CONTROL_READ_ONE_IN  10
#define FLUSH_ERRORS	     4
#define EARLY_ANSWER_TICKS   3

static const uint32_t errors[] = { NBD_EPERM,  NBD_EIO,	      NBD_ENOMEM,  NBD_EINVAL,
				   NBD_ENOSPC, NBD_EOVERFLOW, NBD_ENOTSUP, 9999 };

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

/* --- carrying out ------------------------------------------------------------------------------------ */

static void write_store(struct peer_shared *shared, uint32_t connection, const struct job *job,
			uint32_t length_bytes)
{
	const struct plan *plan = shared->plan;
	struct store_write write = { .offset_bytes = job->offset_bytes,
				     .length_bytes = length_bytes,
				     .data = job->data,
				     .connection = connection };

	if (plan->control == CONTROL_LOST_WRITE &&
	    chance_one_in(&shared->dice, CONTROL_WRITE_ONE_IN))
		return;
	write.durable = plan->write_through ||
			(job->flags & NBD_CMD_FLAG_FUA && plan->control != CONTROL_LOST_FUA);
	store_write(&shared->store, &write);
}

static void add_orphan(struct peer_shared *shared, const struct orphan *orphan)
{
	if (shared->orphans_count == shared->orphans_room) {
		shared->orphans_room = shared->orphans_room ? 2 * shared->orphans_room : 16;
		shared->orphans =
			realloc(shared->orphans, shared->orphans_room * sizeof(*shared->orphans));
		if (!shared->orphans)
			abort();
	}
	shared->orphans[shared->orphans_count++] = *orphan;
}

/* A copy that is carried out after the answer. */
static void put_off(struct peer *peer, const struct job *job)
{
	struct peer_shared *shared = peer->shared;
	struct orphan orphan = { .connection = peer->number,
				 .carry_out_ms = shared->now_ms + EARLY_ANSWER_TICKS * TICK_MS };

	orphan.job = malloc(sizeof(*job));
	if (!orphan.job)
		abort();
	*orphan.job = *job;
	if (job->data) {
		orphan.job->data = malloc(job->length_bytes);
		if (!orphan.job->data)
			abort();
		memcpy(orphan.job->data, job->data, job->length_bytes);
	}
	add_orphan(shared, &orphan);
}

static void carry_out_change(struct peer *peer, const struct job *job)
{
	struct peer_shared *shared = peer->shared;
	uint32_t length_bytes = job->length_bytes;

	/* Of one that fails, the beginning may have been done. */
	if (job->error)
		length_bytes = dice_below(&shared->dice, length_bytes + 1);
	if (shared->plan->control == CONTROL_EARLY_ANSWER && !job->error)
		put_off(peer, job);
	else
		write_store(shared, peer->number, job, length_bytes);
}

static void carry_out(struct peer *peer, struct job *job)
{
	struct peer_shared *shared = peer->shared;
	const struct plan *plan = shared->plan;
	bool former = plan->control == CONTROL_OLD_READ &&
		      chance_one_in(&shared->dice, CONTROL_READ_ONE_IN);

	job->carried_out = true;
	if (job->command == NBD_CMD_READ)
		store_read(&shared->store, job->offset_bytes, job->length_bytes, former, job->data);
	else if (job->command == NBD_CMD_FLUSH && !job->error &&
		 plan->control != CONTROL_LOST_FLUSH)
		store_flush(&shared->store, peer->number);
	else if (job_changes(job))
		carry_out_change(peer, job);
}

bool peer_carry_out_orphans(struct peer_shared *shared, bool all)
{
	uint32_t kept = 0, count = shared->orphans_count;

	for (uint32_t i = 0; i < count; i++) {
		struct orphan *orphan = &shared->orphans[i];

		if (!all && orphan->carry_out_ms > shared->now_ms) {
			shared->orphans[kept++] = *orphan;
			continue;
		}
		write_store(shared, orphan->connection, orphan->job, orphan->job->arrived_bytes);
		tally_add(late_writes, 1);
		job_free(orphan->job);
	}
	shared->orphans_count = kept;
	return kept < count;
}

/* What of it can be carried out later: of a payload that did not arrive whole, what did. */
static void leave_behind(struct peer *peer, struct job *job)
{
	struct peer_shared *shared = peer->shared;
	struct dice *dice = &shared->dice;
	struct orphan orphan = { .job = job, .connection = peer->number };

	if (!job_changes(job) || job->carried_out || job->answered || job->error ||
	    chance_one_in(dice, ORPHAN_NEVER_ONE_IN)) {
		job_free(job);
		return;
	}
	if (job->command != NBD_CMD_WRITE)
		job->arrived_bytes = job->length_bytes;
	orphan.carry_out_ms = shared->now_ms + (int64_t)dice_below(dice, LATE_TICKS_MAX) * TICK_MS;
	add_orphan(shared, &orphan);
}

/* --- the connection's end ---------------------------------------------------------------------------- */

static void end(struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	peer->arriving = NULL;
	for (uint32_t i = 0; i < peer->jobs_count; i++)
		leave_behind(peer, peer->jobs[i]);
	peer->jobs_count = 0;
	peer->out.count = 0;
	peer->out_sent = 0;
}

void peer_open(struct peer *peer, struct peer_shared *shared, uint32_t number, int fd)
{
	memset(peer, 0, sizeof(*peer));
	peer->shared = shared;
	peer->number = number;
	peer->fd = fd;
}

void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		end(peer);
	free(peer->jobs);
	free(peer->out.bytes);
}

/* --- receiving ---------------------------------------------------------------------------------------- */

static void add_job(struct peer *peer, struct job *job)
{
	for (uint32_t i = 0; i < peer->jobs_count; i++)
		if (peer->jobs[i]->cookie == job->cookie)
			failure_report("the client sent cookie 0x%llx twice",
				       (unsigned long long)job->cookie);
	if (peer->jobs_count == peer->jobs_room) {
		peer->jobs_room = peer->jobs_room ? 2 * peer->jobs_room : 16;
		peer->jobs = realloc(peer->jobs, peer->jobs_room * sizeof(struct job *));
		if (!peer->jobs)
			abort();
	}
	peer->jobs[peer->jobs_count++] = job;
}

static void remove_job(struct peer *peer, struct job *job)
{
	uint32_t i = 0;

	while (peer->jobs[i] != job)
		i++;
	peer->jobs_count--;
	memmove(&peer->jobs[i], &peer->jobs[i + 1], (peer->jobs_count - i) * sizeof(struct job *));
	job_free(job);
}

static int64_t some_time(struct peer_shared *shared)
{
	uint32_t ticks = 0;

	if (chance_one_in(&shared->dice, shared->plan->odds.delay))
		ticks = chance_between(&shared->dice, 1, shared->plan->delay_ticks_max);
	return shared->now_ms + (int64_t)ticks * TICK_MS;
}

/* A FLUSH is rare, and fails more often. */
static uint32_t error_odds(const struct peer *peer, const struct job *job)
{
	uint32_t odds = peer->shared->plan->odds.error;

	return job->command == NBD_CMD_FLUSH ? (odds + FLUSH_ERRORS - 1) / FLUSH_ERRORS : odds;
}

/* What becomes of a request. */
static void decide(struct peer *peer, struct job *job)
{
	struct peer_shared *shared = peer->shared;
	const struct odds *odds = &shared->plan->odds;
	struct dice *dice = &shared->dice;

	job->carry_out_ms = some_time(shared);
	if (chance_one_in(dice, error_odds(peer, job))) {
		job->error = errors[dice_below(dice, ERRORS)];
		tally_add(errors, 1);
	}
	if (chance_one_in(dice, odds->shutdown)) {
		job->error = NBD_ESHUTDOWN;
		tally_add(shutdowns, 1);
	}
	if (chance_one_in(dice, odds->silence)) {
		job->silent = true;
		job->error = 0;
		job->carry_out_ms += (int64_t)dice_below(dice, LATE_TICKS_MAX) * TICK_MS;
		peer->faulty = true;
		tally_add(silences, 1);
	}
	if (job->command == NBD_CMD_WRITE && !job->silent &&
	    chance_one_in(dice, odds->early_error)) {
		job->error = errors[dice_below(dice, ERRORS)];
		job->answered = true;
		tally_add(early_errors, 1);
	}
	answer_divide(job, shared->plan->export.framing, dice);
}

/* What becomes of the connection. */
static void decide_connection(struct peer *peer)
{
	struct peer_shared *shared = peer->shared;
	const struct odds *odds = &shared->plan->odds;
	struct dice *dice = &shared->dice;

	if (chance_one_in(dice, odds->deaf)) {
		peer->deaf = true;
		peer->faulty = true;
		tally_add(deaf, 1);
	}
	if (!peer->close_ms && chance_one_in(dice, odds->close)) {
		peer->close_ms = some_time(shared);
		peer->faulty = true;
		tally_add(closed, 1);
	}
	if (chance_one_in(dice, odds->breach)) {
		peer->breaks = true;
		peer->faulty = true;
	}
}

/* Answers at once, whatever of the payload is still to come. */
static void answer_early(struct peer *peer, struct job *job)
{
	struct peer_shared *shared = peer->shared;

	while (!answer_append(&peer->out, job, shared->plan->export.framing, &shared->dice))
		;
}

/* Whether a client had time to react to what was sent to it then. */
static bool is_late(const struct peer *peer, int64_t since_ms)
{
	return since_ms && !peer_has_output(peer) &&
	       peer->shared->now_ms > since_ms + REACTION_TICKS_MAX * TICK_MS;
}

static void take_header(struct peer *peer)
{
	struct job *job = job_make(peer->shared->plan, peer->header);

	peer->header_bytes = 0;
	if (job->command != NBD_CMD_DISC && is_late(peer, peer->shutdown_ms))
		failure_report("the client goes on with connection %u after ESHUTDOWN",
			       peer->number);
	if (job->command == NBD_CMD_DISC) {
		if (peer->jobs_count > 0)
			failure_report("the client sent DISC with %u requests not answered",
				       peer->jobs_count);
		peer->disconnected = true;
		tally_add(disconnects, 1);
		job_free(job);
		return;
	}
	add_job(peer, job);
	decide(peer, job);
	decide_connection(peer);
	if (job->answered)
		answer_early(peer, job);
	if (job->command == NBD_CMD_WRITE)
		peer->arriving = job;
}

static size_t take_payload(struct peer *peer, const uint8_t *bytes, size_t len)
{
	struct job *job = peer->arriving;
	uint32_t n = job->length_bytes - job->arrived_bytes;

	if (len < n)
		n = (uint32_t)len;
	memcpy(job->data + job->arrived_bytes, bytes, n);
	job->arrived_bytes += n;
	if (job_is_arriving(job))
		return n;
	peer->arriving = NULL;
	if (job->answered)
		remove_job(peer, job);
	return n;
}

static void take(struct peer *peer, const uint8_t *bytes, size_t len)
{
	uint32_t wanted = job_header_bytes(peer->shared->plan);

	while (len > 0) {
		size_t used = wanted - peer->header_bytes;

		if (peer->disconnected)
			failure_report("the client sent %zu bytes after DISC", len);
		if (peer->arriving) {
			used = take_payload(peer, bytes, len);
		} else {
			if (len < used)
				used = len;
			memcpy(peer->header + peer->header_bytes, bytes, used);
			peer->header_bytes += (uint32_t)used;
			if (peer->header_bytes == wanted)
				take_header(peer);
		}
		bytes += used;
		len -= used;
	}
}

/* One receive of random size. Whether there was something, or the end. */
static bool receive(struct peer *peer)
{
	static uint8_t buffer[RECEIVE_BYTES_MAX]; /* the server has one thread */
	struct dice *dice = &peer->shared->dice;
	uint32_t most = chance_one_in(dice, 4) ? chance_between(dice, 1, RECEIVE_BYTES_MAX)
					       : RECEIVE_BYTES_MAX;
	ssize_t n = recv(peer->fd, buffer, most, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		end(peer);
		return true;
	}
	peer->used = true;
	if (peer->shared->plan->masked)
		sockets_mask(buffer, (size_t)n);
	take(peer, buffer, (size_t)n);
	return true;
}

/* Of a connection that is deaf, nothing but that the client has given it up. */
static bool is_given_up(const struct peer *peer)
{
	struct pollfd fd = { .fd = peer->fd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0;
}

static bool receive_some(struct peer *peer)
{
	bool moved = false;

	if (peer->deaf && !is_given_up(peer))
		return false;
	for (int i = 0; i < RECEIVES_IN_TURN && peer->fd >= 0 && receive(peer); i++)
		moved = true;
	return moved;
}

void peer_receive_rest(struct peer *peer)
{
	while (peer->fd >= 0 && receive(peer))
		;
}

/* --- answering --------------------------------------------------------------------------------------- */

static void breach(struct peer *peer)
{
	struct peer_shared *shared = peer->shared;

	answer_append_breach(&peer->out, shared->plan->export.framing, peer->answered_cookie,
			     &shared->dice);
	peer->breaks = false;
	peer->breach_ms = shared->now_ms;
	tally_add(breaches, 1);
}

/* A client whose oldest request is left out finds that out in time, whatever else is answered. */
static void check_silence(const struct peer *peer, struct job *job)
{
	bool quick = job->command == NBD_CMD_READ || job->command == NBD_CMD_WRITE;
	int64_t ticks = (quick ? QUICK_TICKS : SLOW_TICKS) + SILENCE_SLACK_TICKS;
	int64_t now_ms = peer->shared->now_ms;

	if (!job->silent || peer->jobs[0] != job || peer->shared->plan->odds.absence)
		return;
	if (!job->oldest_ms)
		job->oldest_ms = now_ms;
	if (now_ms > job->oldest_ms + ticks * TICK_MS)
		failure_report("the client waits for %lld ms for its oldest request, command %u",
			       (long long)(now_ms - job->oldest_ms), job->command);
}

/* Whether something was done about it; *gone: it was answered, and is no more. */
static bool advance(struct peer *peer, struct job *job, bool *gone)
{
	struct peer_shared *shared = peer->shared;

	*gone = false;
	check_silence(peer, job);
	if (job->answered || job_is_arriving(job))
		return false;
	if (!job->carried_out) {
		if (job->carry_out_ms > shared->now_ms)
			return false;
		carry_out(peer, job);
		job->answer_ms = some_time(shared);
		return true;
	}
	if (job->silent || job->answer_ms > shared->now_ms)
		return false;
	if (peer->breaks)
		breach(peer);
	*gone = answer_append(&peer->out, job, shared->plan->export.framing, &shared->dice);
	if (*gone) {
		if (job->error == NBD_ESHUTDOWN && !peer->shutdown_ms)
			peer->shutdown_ms = shared->now_ms;
		peer->answered_cookie = job->cookie;
		remove_job(peer, job);
	}
	return true;
}

/* One pass over what it has to do, from a random place on where it reorders. */
static bool work(struct peer *peer)
{
	struct peer_shared *shared = peer->shared;
	bool reorders = shared->plan->reorders, moved = false;
	uint32_t count = peer->jobs_count;
	uint32_t i = reorders && count ? dice_below(&shared->dice, count) : 0;

	for (uint32_t steps = 0; steps < count && peer->jobs_count > 0; steps++) {
		bool gone, acted;

		if (i >= peer->jobs_count)
			i = 0;
		acted = advance(peer, peer->jobs[i], &gone);
		moved = moved || acted;
		if (!gone)
			i++;
		if (!reorders && !gone)
			break;
	}
	return moved;
}

/* How much of it goes out now. */
static size_t portion(struct peer *peer)
{
	size_t left = peer->out.count - peer->out_sent;
	uint32_t most = TRICKLE_BYTES;

	if (!peer->shared->plan->trickles)
		return left;
	if (most < left / 2)
		most = (uint32_t)(left / 2);
	if (most > left)
		most = (uint32_t)left;
	return chance_between(&peer->shared->dice, 1, most);
}

/* Masked as it goes; what is not taken is unmasked again. */
static ssize_t send_portion(struct peer *peer, size_t len)
{
	uint8_t *bytes = peer->out.bytes + peer->out_sent;
	bool masked = peer->shared->plan->masked;
	ssize_t n;

	if (masked)
		sockets_mask(bytes, len);
	n = send(peer->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (masked)
		sockets_mask(bytes, len);
	return n;
}

static bool send_some(struct peer *peer)
{
	ssize_t n;

	if (!peer_has_output(peer))
		return false;
	n = send_portion(peer, portion(peer));
	if (n < 0) /* that the client has given it up is for receive() to find */
		return false;
	peer->out_sent += (size_t)n;
	if (!peer_has_output(peer)) {
		peer->out.count = 0;
		peer->out_sent = 0;
	}
	return true;
}

/* A client that goes on after a breach takes anything for an answer. */
static void check_breach(const struct peer *peer)
{
	if (!peer->disconnected && is_late(peer, peer->breach_ms))
		failure_report("the client goes on with connection %u after a breach of the "
			       "protocol",
			       peer->number);
}

bool peer_move(struct peer *peer)
{
	struct peer_shared *shared = peer->shared;
	bool moved = receive_some(peer);

	if (peer->fd < 0 || peer->deaf)
		return moved;
	moved = work(peer) || moved;
	moved = send_some(peer) || moved;
	check_breach(peer);
	if (peer->close_ms && peer->close_ms <= shared->now_ms) {
		end(peer);
		moved = true;
	}
	return moved;
}
