/* SPDX-License-Identifier: MIT */
#include "gateway/disk/reconnect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/places.h"
#include "gateway/nbd/connection.h"
#include "gateway/nbd/join.h"
#include "tls/clock.h"

/* The pause before a dial: none at first, then this, doubled each time, up to the most; all +-25 %. */
#define PACE_FIRST_MS 250u
#define PACE_MOST_MS  10000u
/* Nor more than this part of --dead-timeout. */
#define PACE_PART     8u
#define PACE_LEAST_MS 100u
/* A step of a clock that counts only the time in which this thread ran. */
#define STEP_MOST_MS 2000
/* How often the clock is looked at while it runs, and the log says that the server is still away. */
#define LOOK_MS	      250
#define STILL_AWAY_MS 60000
/* After a FLUSH that was to show whether the server lives, and did not. */
#define PROBE_AGAIN_MS 1000

static struct server_link *link_of(const struct reconnect *reconnect)
{
	return &reconnect->disk->client_shared.link;
}

static enum link_state state_of(const struct reconnect *reconnect)
{
	return server_link_state(link_of(reconnect));
}

/* --- the link's state ------------------------------------------------------------------------------- */

static void move(struct reconnect *reconnect, enum link_event event)
{
	enum link_state before = state_of(reconnect);

	if (server_link_move(link_of(reconnect), event) != before)
		reconnect->since_ms = reconnect->now_ms;
}

static void describe_time(char *out, size_t out_bytes, uint32_t ms)
{
	if (ms == DISK_NEVER)
		snprintf(out, out_bytes, "for as long as it takes");
	else
		snprintf(out, out_bytes, "for up to %g s", ms / 1000.0);
}

static void log_lost(struct reconnect *reconnect)
{
	const struct disk *disk = reconnect->disk;
	char time[60];

	reconnect->said_ms = reconnect->now_ms;
	describe_time(time, sizeof(time), disk->config.dead_timeout_ms);
	if (!atomic_load(&link_of(reconnect)->waits))
		log_error("the server is lost: %s: I/O fails until it is back",
			  places_reason_of_loss(disk));
	else
		log_error("the server is lost: %s: I/O waits for it %s",
			  places_reason_of_loss(disk), time);
}

static void log_still_away(struct reconnect *reconnect)
{
	if (reconnect->now_ms - reconnect->said_ms < STILL_AWAY_MS)
		return;
	reconnect->said_ms = reconnect->now_ms;
	log_warning(
		"the server is still away, after %lld s; %u requests wait; the last attempt: %s",
		(long long)(reconnect->now_ms - reconnect->lost_ms) / 1000,
		places_parked(reconnect->disk),
		reconnect->error[0] ? reconnect->error : "none has ended yet");
}

/* The last connection is lost. */
static void lose(struct reconnect *reconnect)
{
	if (reconnect->lost_ms == 0) {
		reconnect->lost_ms = reconnect->now_ms;
		log_lost(reconnect);
	}
	move(reconnect, LINK_LOST);
}

static void give_up_waiting(struct reconnect *reconnect)
{
	move(reconnect, LINK_EXPIRED);
	if (atomic_load(&link_of(reconnect)->waits))
		log_error("the server has been away for longer than --dead-timeout (%u ms): I/O "
			  "fails until it is back",
			  reconnect->disk->config.dead_timeout_ms);
	places_wake_queues(reconnect->disk);
}

/* A request was answered: the server is back. */
static void take_answer(struct reconnect *reconnect)
{
	if (reconnect->lost_ms)
		log_info("the server is back after %.1f s",
			 (double)(reconnect->now_ms - reconnect->lost_ms) / 1000.0);
	reconnect->lost_ms = 0;
	reconnect->away_ms = 0;
	reconnect->pace_ms = 0;
	reconnect->attempts = 0;
}

/* Since the last look; what is more is time in which this thread did not run. */
static uint32_t step_ms(const struct reconnect *reconnect, int64_t before_ms)
{
	int64_t ms = reconnect->now_ms - before_ms;

	return ms < 0 ? 0 : ms > STEP_MOST_MS ? STEP_MOST_MS : (uint32_t)ms;
}

static bool has_expired(const struct reconnect *reconnect)
{
	uint32_t limit_ms = reconnect->disk->config.dead_timeout_ms;

	return !atomic_load(&link_of(reconnect)->waits) ||
	       (limit_ms != DISK_NEVER && reconnect->away_ms >= limit_ms);
}

static void look_at_link(struct reconnect *reconnect, const struct places_census *census,
			 int64_t before_ms)
{
	bool unproven = atomic_load(&link_of(reconnect)->unproven);

	if (census->live == 0)
		lose(reconnect);
	else if (!unproven && reconnect->lost_ms)
		take_answer(reconnect);
	if (reconnect->lost_ms && (census->live == 0 || places_any_waits(reconnect->disk)) &&
	    reconnect->away_ms < UINT32_MAX / 2)
		reconnect->away_ms += step_ms(reconnect, before_ms);
	if (state_of(reconnect) == LINK_WAITING && has_expired(reconnect))
		give_up_waiting(reconnect);
	if (state_of(reconnect) != LINK_ONLINE)
		log_still_away(reconnect);
}

/* --- dialling --------------------------------------------------------------------------------------- */

static uint32_t pace_most_ms(const struct disk *disk)
{
	uint32_t part_ms = disk->config.dead_timeout_ms / PACE_PART;

	if (part_ms == 0 || part_ms > PACE_MOST_MS)
		return PACE_MOST_MS;
	return part_ms < PACE_LEAST_MS ? PACE_LEAST_MS : part_ms;
}

/* The next dial comes after the pause, and the one after that after a longer one. */
static void schedule(struct reconnect *reconnect)
{
	uint32_t most_ms = pace_most_ms(reconnect->disk), pace_ms = reconnect->pace_ms;

	if (pace_ms > most_ms)
		pace_ms = most_ms;
	/* +-25 %, so that many disks do not dial at the same moment. */
	reconnect->dial_ms = reconnect->now_ms + pace_ms - pace_ms / 4 +
			     (pace_ms ? (int64_t)random() % (pace_ms / 2 + 1) : 0);
	reconnect->pace_ms = pace_ms ? pace_ms * 2 : PACE_FIRST_MS;
}

static bool choose_place(struct reconnect *reconnect)
{
	const struct disk *disk = reconnect->disk;

	for (struct place at = places_before_all; places_next(disk, &at);) {
		if (connection_state(places_connection(disk, at)) != CONNECTION_DEAD ||
		    atomic_load(&disk->clients[at.queue].joins[at.index]) != JOIN_NONE ||
		    atomic_load(&disk->queues[at.queue].state) != QUEUE_SERVING)
			continue;
		reconnect->queue = at.queue;
		reconnect->index = at.index;
		return true;
	}
	return false;
}

static void note_dial_error(struct reconnect *reconnect, bool refused, const char *sentence)
{
	bool news = refused && !reconnect->refused;

	snprintf(reconnect->error, sizeof(reconnect->error), "%s", sentence);
	reconnect->refused = refused;
	if (news)
		log_error("the server that answers is refused: %s", reconnect->error);
}

static void dial(struct reconnect *reconnect)
{
	struct disk *disk = reconnect->disk;
	struct dial_options options = {
		.target = &disk->config.target,
		.tls = &disk->config.tls,
		.goal = NBD_GOAL_GO,
		.timeout_ms = disk->config.connect_timeout_ms,
		.addresses = reconnect->by_name ? NULL : &disk->peer,
		.addresses_count = reconnect->by_name ? 0 : 1,
	};

	reconnect->attempts++;
	schedule(reconnect);
	dial_like(&options, disk->export);
	if (dial_task_start(&options, &reconnect->task) < 0) {
		reconnect->task = NULL;
		note_dial_error(reconnect, false, "no thread to dial with");
	}
}

/* The new connection is what the disk needs; else the reason stands in reconnect->error. */
static bool is_fit(struct reconnect *reconnect, const struct dial_result *result)
{
	struct disk *disk = reconnect->disk;
	const struct connection *place =
		&disk->clients[reconnect->queue].connections[reconnect->index];
	bool several = disk->queues_count > 1 || disk->clients[0].connections_count > 1;
	uint64_t size_bytes = atomic_load(&disk->shared.size_bytes);
	char why[200] = "";

	if (result->export->size_bytes < size_bytes)
		snprintf(why, sizeof(why), "its export has %llu bytes, and the disk has %llu",
			 (unsigned long long)result->export->size_bytes,
			 (unsigned long long)size_bytes);
	else if (params_check_terms(disk->export, result->export, several, why, sizeof(why)) == 0 &&
		 (transport_detach(result->transport) < 0 ||
		  !connection_fits(place, result->transport)))
		snprintf(why, sizeof(why), "its connections are encrypted in another way now");
	if (why[0])
		note_dial_error(reconnect, true, why);
	return !why[0];
}

/* With other connections all go to one address: only that server promised that they may be mixed. */
static bool is_other_server(const struct reconnect *reconnect, const struct dial_result *result)
{
	return places_census(reconnect->disk).live > 0 &&
	       (result->peer.address_bytes != reconnect->disk->peer.address_bytes ||
		memcmp(&result->peer.address, &reconnect->disk->peer.address,
		       result->peer.address_bytes));
}

static void take_dial(struct reconnect *reconnect)
{
	struct dial_result result;

	dial_task_take(reconnect->task, &result);
	reconnect->task = NULL;
	if (result.error) {
		note_dial_error(reconnect, result.exit_code == EXIT_CODE_REFUSED, result.sentence);
		/* Its address may be another one now. */
		reconnect->by_name =
			!reconnect->by_name && places_census(reconnect->disk).live == 0;
	} else if (is_other_server(reconnect, &result)) {
		reconnect->by_name = false;
	} else if (is_fit(reconnect, &result)) {
		reconnect->refused = false;
		reconnect->error[0] = '\0';
		reconnect->disk->peer = result.peer;
		snprintf(reconnect->disk->peer_text, sizeof(reconnect->disk->peer_text), "%s",
			 result.peer_text);
		reconnect->ready = result.transport;
		reconnect->asked = false;
		result.transport = NULL;
	}
	dial_result_clear(&result);
}

/* --- handing over ----------------------------------------------------------------------------------- */

/* Nothing is left that could tell whether the server still has what it acknowledged. */
static void suspect_loss(struct reconnect *reconnect)
{
	struct server_link *link = link_of(reconnect);
	uint64_t unflushed = server_link_unflushed(link);

	if (link->trusts_server || unflushed == 0 || atomic_exchange(&link->flush_fails, true))
		return;
	log_error("the server was lost with %llu acknowledged writes that were not flushed: each "
		  "FLUSH fails from now on, until \"ublk-nbd reconnect --accept-loss %u\"",
		  (unsigned long long)unflushed, reconnect->disk->info.dev_id);
}

static void hand_over(struct reconnect *reconnect)
{
	struct disk *disk = reconnect->disk;
	struct nbd_client *client = &disk->clients[reconnect->queue];

	snprintf(client->connections[reconnect->index].peer_text,
		 sizeof(client->connections[reconnect->index].peer_text), "%s", disk->peer_text);
	client->joining[reconnect->index] = reconnect->ready;
	reconnect->ready = NULL;
	move(reconnect, LINK_MADE);
	join_ask(client, reconnect->index);
	places_wake_queues(disk);
}

static struct nbd_client *probed_client(const struct disk *disk)
{
	for (uint32_t q = 0; q < disk->queues_count; q++)
		if (atomic_load(&disk->clients[q].probe) != PROBE_NONE)
			return &disk->clients[q];
	return NULL;
}

static struct nbd_client *live_client(const struct disk *disk, uint32_t *queue)
{
	for (struct place at = places_before_all; places_next(disk, &at);) {
		if (connection_state(places_connection(disk, at)) != CONNECTION_LIVE)
			continue;
		*queue = at.queue;
		return &disk->clients[at.queue];
	}
	return NULL;
}

static void ask_probe(struct reconnect *reconnect)
{
	uint32_t queue = 0;
	struct nbd_client *client = live_client(reconnect->disk, &queue);

	if (!client)
		return;
	reconnect->asked = true;
	join_ask_probe(client);
	queue_request(&reconnect->disk->queues[queue], QUEUE_REQUEST_LOOK);
}

/* What came of a FLUSH, once; PROBE_NONE: there is none. */
static enum probe_state take_probe(const struct disk *disk)
{
	struct nbd_client *client = probed_client(disk);
	enum probe_state probe = client ? atomic_load(&client->probe) : PROBE_NONE;

	if (probe == PROBE_ANSWERED || probe == PROBE_FAILED)
		atomic_store(&client->probe, PROBE_NONE);
	return probe;
}

/* Whether a FLUSH on an older connection was answered that was sent after the new one was made; asks for it. One
 * that was under way before, or that a queue sent by itself (join_seek_life()), says nothing. */
static bool older_server_lives(struct reconnect *reconnect)
{
	enum probe_state probe = take_probe(reconnect->disk);

	if (!reconnect->asked) {
		if (probe == PROBE_NONE && reconnect->now_ms >= reconnect->dial_ms)
			ask_probe(reconnect);
		return false;
	}
	if (probe == PROBE_NONE || probe == PROBE_FAILED) {
		reconnect->asked = false;
		reconnect->dial_ms = reconnect->now_ms + PROBE_AGAIN_MS;
	}
	return probe == PROBE_ANSWERED;
}

static bool has_ended(const struct transport *transport)
{
	struct pollfd fd = { .fd = transport->fd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0;
}

/* Whether the new connection must lead to the server that the others have: one that was restarted may have lost
 * something, and nobody was told yet. */
static bool must_be_same_server(const struct reconnect *reconnect)
{
	const struct server_link *link = &reconnect->disk->client_shared.link;

	return link->counts_unflushed && !link->trusts_server && !atomic_load(&link->flush_fails);
}

static void look_at_ready(struct reconnect *reconnect, const struct places_census *census)
{
	if (has_ended(reconnect->ready)) {
		transport_close(reconnect->ready);
		reconnect->ready = NULL;
	} else if (census->live > 0 && must_be_same_server(reconnect)) {
		if (older_server_lives(reconnect))
			hand_over(reconnect);
	} else if (census->live > 0 || census->settling == 0) {
		suspect_loss(reconnect);
		hand_over(reconnect);
	}
}

/* Takes back what the queues have answered. */
static void collect(struct disk *disk)
{
	for (struct place at = places_before_all; places_next(disk, &at);) {
		struct nbd_client *client = &disk->clients[at.queue];
		enum join_state join = atomic_load(&client->joins[at.index]);

		if (join != JOIN_TAKEN && join != JOIN_REFUSED)
			continue;
		transport_close(join == JOIN_TAKEN ? client->outgoing[at.index]
						   : client->joining[at.index]);
		client->outgoing[at.index] = NULL;
		client->joining[at.index] = NULL;
		atomic_store(&client->joins[at.index], JOIN_NONE);
	}
}

/* --- each turn -------------------------------------------------------------------------------------- */

bool reconnect_dials(const struct disk *disk)
{
	return !disk->config.command[0];
}

void reconnect_open(struct reconnect *reconnect, struct disk *disk)
{
	memset(reconnect, 0, sizeof(*reconnect));
	srandom((unsigned int)(disk->tag ^
			       disk->tag >> 32)); /* for pauses: each disk has its own */
	reconnect->disk = disk;
	reconnect->now_ms = clock_now_ms();
	reconnect->since_ms = reconnect->now_ms;
	reconnect_follow_settings(reconnect);
}

void reconnect_follow_settings(struct reconnect *reconnect)
{
	const struct disk *disk = reconnect->disk;

	atomic_store(&link_of(reconnect)->waits,
		     reconnect_dials(disk) && disk->config.dead_timeout_ms > 0);
}

int reconnect_fd(const struct reconnect *reconnect)
{
	return reconnect->task ? dial_task_fd(reconnect->task) : -1;
}

int reconnect_wait_ms(const struct reconnect *reconnect)
{
	struct places_census census = places_census(reconnect->disk);

	if (census.dead == 0 && !reconnect->lost_ms && !reconnect->ready)
		return -1;
	if (!reconnect_dials(reconnect->disk) && state_of(reconnect) == LINK_FAILING)
		return -1; /* for good */
	return LOOK_MS;
}

static void read_events(const struct disk *disk)
{
	uint64_t count;

	if (read(disk->link_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_debug("the queues' events: %s", strerror(errno));
}

static void look_at_dialling(struct reconnect *reconnect, const struct places_census *census)
{
	struct pollfd fd = { .fd = reconnect_fd(reconnect), .events = POLLIN };

	if (reconnect->task && poll(&fd, 1, 0) > 0)
		take_dial(reconnect);
	if (reconnect->ready)
		look_at_ready(reconnect, census);
	else
		take_probe(reconnect->disk); /* one that a queue sent by itself */
	if (!reconnect->task && !reconnect->ready && census->dead > 0 &&
	    reconnect->now_ms >= reconnect->dial_ms && choose_place(reconnect))
		dial(reconnect);
}

void reconnect_look(struct reconnect *reconnect, int64_t now_ms, bool idle)
{
	struct disk *disk = reconnect->disk;
	int64_t before_ms = reconnect->now_ms;
	struct places_census census;

	reconnect->now_ms = now_ms;
	read_events(disk);
	if (!idle)
		return;
	collect(disk);
	census = places_census(disk);
	look_at_link(reconnect, &census, before_ms);
	if (reconnect_dials(disk))
		look_at_dialling(reconnect, &census);
}

void reconnect_now(struct reconnect *reconnect, bool accept_loss)
{
	reconnect->dial_ms = 0;
	reconnect->pace_ms = 0;
	if (reconnect->task) /* it may hang */
		dial_task_abandon(reconnect->task);
	reconnect->task = NULL;
	if (!accept_loss)
		return;
	server_link_flushed(link_of(reconnect), server_link_flush_mark(link_of(reconnect)));
	if (atomic_exchange(&link_of(reconnect)->flush_fails, false))
		log_warning("FLUSH works again: the loss of acknowledged writes was accepted");
}

void reconnect_close(struct reconnect *reconnect)
{
	if (reconnect->task)
		dial_task_abandon(reconnect->task);
	reconnect->task = NULL;
	transport_close(reconnect->ready);
	reconnect->ready = NULL;
}

bool reconnect_is_away(const struct reconnect *reconnect)
{
	return state_of(reconnect) != LINK_ONLINE;
}
