/* SPDX-License-Identifier: MIT */
/*
 * stopping.c - the main thread's part in a stop: who asked for it and is told how it ended, and how
 * long the server is waited for. What may block is the attendant's (stop.c).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/reconnect_status.h"
#include "gateway/disk/serve.h"
#include "gateway/nbd/patience.h"
#include "tls/clock.h"

/* Signals that come sooner after the last one are that one: two senders at the same moment (a service's manager,
 * a person's ^C) mean one stop, not force. */
#define SIGNAL_GAP_MS 200
/* Nobody has been told anything yet: so much later a signal is meant as another one, and so long the last one is
 * remembered. The same time counts once it was said that the disk is in use. */
#define SIGNAL_GAP_UNTOLD_MS 500
#define SIGNAL_MEMORY_MS     5000
/* By then the attendant knows whether the disk is in use; a stop that takes longer waits for the server. */
#define IN_USE_KNOWN_MS 3000
/* How long a forced stop lets the server answer before its connections are condemned. */
#define FORCED_STOP_MS 5000
/* Beyond the time of the queues' own FLUSH, and as much again for the DISCs behind it. */
#define LEAVE_GRACE_MS 10000
/* So often the deadline may pass with nothing left that waits for the server: then it is the driver that
 * keeps a request, and only the end of this process makes it let go. */
#define STOP_OVERDUE_MAX 6
/* The same once the device is stopped: the queues, whose connections are condemned, do not end. */
#define LEAVE_OVERDUE_MAX 1
/* Beyond the time of a FLUSH, for an unforced stop. */
#define STOP_GRACE_MS 5000

/* --- who waits ----------------------------------------------------------------------------------- */

/* There is a place for each client that can be connected, once those that have left are forgotten. */
static void add_client(struct serve *serve, control_client_id client)
{
	uint32_t kept = 0;

	if (!client)
		return;
	for (uint32_t i = 0; i < serve->stop_clients_count; i++)
		if (control_server_has(serve->disk->control_server, serve->stop_clients[i]))
			serve->stop_clients[kept++] = serve->stop_clients[i];
	assert(kept < CONTROL_CLIENTS_MAX);
	serve->stop_clients[kept++] = client;
	serve->stop_clients_count = kept;
}

static void reply_error_all(struct serve *serve, int error, enum exit_code exit_code,
			    const char *sentence)
{
	for (uint32_t i = 0; i < serve->stop_clients_count; i++)
		control_server_reply_error(serve->disk->control_server, serve->stop_clients[i],
					   error, exit_code, sentence);
	serve->stop_clients_count = 0;
}

static void reply_ok_all(struct serve *serve)
{
	const char *flush = serve->disk->geometry.read_only ? "none" : "ok";

	for (uint32_t i = 0; i < serve->stop_clients_count; i++)
		control_server_reply(serve->disk->control_server, serve->stop_clients[i],
				     json_pack("{s:b, s:s, s:b}", "ok", 1, "flush", flush, "unseen",
					       (int)serve->stop_unseen));
	serve->stop_clients_count = 0;
}

/* flush: what its fsync failed with, which is no business of the next stop's; or NULL. */
static void reply_busy_all(struct serve *serve, const char *flush)
{
	char sentence[200];

	snprintf(sentence, sizeof(sentence),
		 "%s is in use: unmount it (or end what holds it), or use --force, which fails its "
		 "users' I/O",
		 serve->disk->device_path);
	for (uint32_t i = 0; i < serve->stop_clients_count; i++)
		control_server_reply(serve->disk->control_server, serve->stop_clients[i],
				     json_pack("{s:b, s:s, s:i, s:s, s:s*}", "ok", 0, "errno",
					       "EBUSY", "exit", (int)EXIT_CODE_BUSY, "error",
					       sentence, "flush", flush));
	serve->stop_clients_count = 0;
}

static void refuse(struct serve *serve)
{
	struct disk *disk = serve->disk;
	const char *flush = disk->flush_errno ? disk->flush_why : NULL;

	disk->flush_errno = 0;
	if (flush)
		log_error("the disk is in use and goes on, but flushing it failed: %s: what was "
			  "written last may be lost",
			  flush);
	reply_busy_all(serve, flush);
	if (!serve->stop_signalled)
		return;
	serve->stop_signalled = false;
	serve->refused_ms = clock_now_ms();
	log_warning("asked to end while the disk is in use: it goes on; unmount it first, "
		    "or send SIGTERM again within %d s to end it by force",
		    SIGNAL_MEMORY_MS / 1000);
}

/* --- the stop ------------------------------------------------------------------------------------ */

static void force_stop(struct serve *serve)
{
	for (uint32_t i = 0; i < serve->disk->queues_count; i++)
		queue_request(&serve->disk->queues[i], QUEUE_REQUEST_CONDEMN);
}

static int64_t gentle_patience_ms(const struct disk *disk)
{
	return patience_ms(&disk->client_shared, NBD_CMD_FLUSH) + STOP_GRACE_MS;
}

/* Grows with whatever the server answers: a block request may have many parts, and zeroes no bytes. */
static uint64_t receives(const struct disk *disk)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < disk->queues_count; i++)
		sum += stats_read(&disk->queues[i].stats.receives);
	return sum;
}

/* How long the server may take to answer once that is to end soon; a server that is away has no time. */
static int64_t forced_patience_ms(const struct serve *serve)
{
	return reconnect_is_away(&serve->reconnect) ? 0 : FORCED_STOP_MS;
}

static void go_on(struct serve *serve, bool force)
{
	int64_t deadline_ms = clock_now_ms() + forced_patience_ms(serve);

	serve->stop_forced |= force;
	serve->stop_hurried |= force;
	if (force && deadline_ms < serve->stop_deadline_ms)
		serve->stop_deadline_ms = deadline_ms;
}

/* Nobody is left who could ask the driver: the process' end makes the kernel stop the device. */
static void cannot_begin(struct serve *serve, int error)
{
	const char *sentence =
		"the daemon's attendant process is gone, and no thread can be had in its "
		"place: end the daemon by kill -9, then disconnect again";

	log_error("cannot stop the device: %s: %s", strerror(error), sentence);
	reply_error_all(serve, error, EXIT_CODE_SYSTEM, sentence);
}

static void begin(struct serve *serve, bool force)
{
	struct disk *disk = serve->disk;
	bool hurried = false;
	int ret = stopper_start(disk, force, &hurried);

	if (ret < 0) {
		cannot_begin(serve, -ret);
		return;
	}
	serve->stop_began_ms = clock_now_ms();
	serve->stop_forced = force;
	serve->stop_hurried = force || hurried;
	serve->stop_overdue = 0;
	serve->stop_deadline_ms = clock_now_ms() + (serve->stop_hurried ? forced_patience_ms(serve)
									: gentle_patience_ms(disk));
	serve->stop_receives = receives(disk);
	serve->stop_forgiven_ms = 0;
}

/* As deadline.c does for requests: between two signs of life by one absence alone, the longest. Whoever sent
 * a second signal meanwhile cannot have read what the first one came to. */
void stopping_forgive(struct serve *serve, int64_t absence_ms)
{
	uint64_t now_receives = receives(serve->disk);

	if (now_receives != serve->stop_forgiven_receives)
		serve->stop_forgiven_ms = 0;
	serve->stop_forgiven_receives = now_receives;
	serve->stop_began_ms += absence_ms;
	if (absence_ms <= serve->stop_forgiven_ms)
		return;
	serve->stop_deadline_ms += absence_ms - serve->stop_forgiven_ms;
	serve->stop_forgiven_ms = absence_ms;
}

/* Its server is away, and with it what only that could take. */
static bool is_refused_for_loss(struct serve *serve, control_client_id client)
{
	char sentence[400];

	if (!reconnect_status_loss(&serve->reconnect, sentence, sizeof(sentence)))
		return false;
	if (client) {
		control_server_reply_error(serve->disk->control_server, client, ENOTCONN,
					   EXIT_CODE_BUSY, sentence);
		return true;
	}
	serve->refused_ms = clock_now_ms();
	log_warning("asked to end, but %s; or send SIGTERM again within %d s", sentence,
		    SIGNAL_MEMORY_MS / 1000);
	return true;
}

void stopping_begin(struct serve *serve, bool force, control_client_id client)
{
	if (!force && serve->disk->state != DISK_STOPPING && is_refused_for_loss(serve, client))
		return;
	add_client(serve, client);
	if (serve->disk->state == DISK_STOPPING) {
		go_on(serve, force);
		return;
	}
	serve->stop_signalled = false;
	serve->stop_insisted = false;
	begin(serve, force);
}

/* --- signals --------------------------------------------------------------------------------------
 *
 * A first signal stops the disk gently; what another one means depends on what its sender can know by then.
 */

enum stage {
	STAGE_LIVE,    /* no stop is under way */
	STAGE_REFUSED, /* the log has said just now that the disk is in use */
	STAGE_LOOKING, /* it is not known yet whether the disk is in use */
	STAGE_WAITING, /* it is not in use, and its server is waited for */
	STAGE_LEAVING, /* the device is stopped, and the queues' last flush is waited for */
};

enum effect {
	EFFECT_STOP,   /* begin a gentle stop, or join the one that is under way */
	EFFECT_INSIST, /* as before, but if the disk is in use, force it */
	EFFECT_FORCE,  /* the users' I/O fails; the server gets FORCED_STOP_MS */
};

/* Of the first signal that asks for this stop, and of another one. */
static const enum effect effects[][2] = {
	[STAGE_LIVE] = { EFFECT_STOP, EFFECT_STOP },
	[STAGE_REFUSED] = { EFFECT_FORCE, EFFECT_FORCE },
	[STAGE_LOOKING] = { EFFECT_STOP, EFFECT_INSIST },
	[STAGE_WAITING] = { EFFECT_STOP, EFFECT_FORCE },
	[STAGE_LEAVING] = { EFFECT_STOP, EFFECT_FORCE },
};

static enum stage stage_at(const struct serve *serve, int64_t now_ms)
{
	if (serve->disk->stopped)
		return STAGE_LEAVING;
	/* Whether or not somebody else has begun another stop since. */
	if (serve->refused_ms && now_ms - serve->refused_ms < SIGNAL_MEMORY_MS)
		return STAGE_REFUSED;
	if (serve->disk->state != DISK_STOPPING)
		return STAGE_LIVE;
	return now_ms - serve->stop_began_ms < IN_USE_KNOWN_MS ? STAGE_LOOKING : STAGE_WAITING;
}

void stopping_signal(struct serve *serve)
{
	int64_t now_ms = clock_now_ms();
	int64_t gap_ms = serve->signal_ms ? now_ms - serve->signal_ms : INT64_MAX;
	enum effect effect = effects[stage_at(serve, now_ms)][serve->stop_signalled];

	if (gap_ms < SIGNAL_GAP_MS)
		return;
	serve->signal_ms = now_ms;
	stopping_begin(serve, effect == EFFECT_FORCE, 0);
	if (effect == EFFECT_INSIST && gap_ms >= SIGNAL_GAP_UNTOLD_MS && gap_ms < SIGNAL_MEMORY_MS)
		serve->stop_insisted = true;
	serve->stop_signalled = true;
}

/* --- the stop goes on ---------------------------------------------------------------------------- */

void stopping_untaken(struct serve *serve)
{
	log_warning("the command that asked for the disk ended without taking it: it is removed");
	stopping_begin(serve, false, 0);
	serve->stop_insisted = true;
	serve->stop_hurried = true;
	serve->stop_deadline_ms = clock_now_ms() + FORCED_STOP_MS;
}

static bool queues_are_done(const struct disk *disk)
{
	for (uint32_t i = 0; i < disk->queues_count; i++)
		if (atomic_load(&disk->queues[i].state) != QUEUE_DONE)
			return false;
	return true;
}

bool stopping_is_over(const struct serve *serve)
{
	const struct disk *disk = serve->disk;

	return disk->stopped && (queues_are_done(disk) || serve->stop_overdue > LEAVE_OVERDUE_MAX);
}

/* The device is stopped: what is left to wait for is the queues' last FLUSH and DISC. A forced stop
 * has its one deadline for all of it. */
static void begin_leaving(struct serve *serve)
{
	serve->stop_overdue = 0;
	if (!serve->stop_hurried)
		serve->stop_deadline_ms =
			clock_now_ms() +
			2 * patience_ms(&serve->disk->client_shared, NBD_CMD_FLUSH) +
			LEAVE_GRACE_MS;
}

static void look_at_leaving(struct serve *serve)
{
	if (serve->now_ms < serve->stop_deadline_ms)
		return;
	if (++serve->stop_overdue <= LEAVE_OVERDUE_MAX)
		log_error("the last flush takes too long: it fails now");
	force_stop(serve);
	serve->stop_deadline_ms = clock_now_ms() + FORCED_STOP_MS;
}

/* What waits for the server when the deadline comes fails. Unforced, that is not done as long as the
 * server answers anything: each request has its own deadline. */
void stopping_look(struct serve *serve)
{
	struct disk *disk = serve->disk;
	uint64_t now_receives = receives(disk);

	if (disk->stopped)
		look_at_leaving(serve);
	if (!disk->stopper_running || serve->now_ms < serve->stop_deadline_ms)
		return;
	if (!serve->stop_hurried && now_receives != serve->stop_receives) {
		serve->stop_receives = now_receives;
		serve->stop_deadline_ms = clock_now_ms() + gentle_patience_ms(disk);
		return;
	}
	if (++serve->stop_overdue > STOP_OVERDUE_MAX) {
		log_error("the driver does not stop the device: ending, so that it fails what it "
			  "still has; \"ublk-nbd disconnect %u\" removes the device",
			  disk->info.dev_id);
		_exit(EXIT_CODE_FAILURE);
	}
	log_error("stopping takes too long: what waits for the server fails now");
	force_stop(serve);
	serve->stop_deadline_ms = clock_now_ms() + FORCED_STOP_MS;
}

void stopping_attendant_ended(struct serve *serve)
{
	log_warning(
		"the attendant process has ended, killed perhaps: a thread will stop the device in "
		"its place");
	attendant_close(&serve->disk->attendant);
}

static void cannot_stop(struct serve *serve, const struct attendant_answer *answer)
{
	char sentence[400];

	snprintf(sentence, sizeof(sentence), "%s: %s",
		 answer->sentence[0] ? answer->sentence : "the driver does not stop the device",
		 strerror(-answer->result));
	log_error("%s", sentence);
	reply_error_all(serve, -answer->result, EXIT_CODE_SYSTEM, sentence);
}

void stopping_answered(struct serve *serve)
{
	struct attendant_answer answer;
	int ret = stopper_finish(serve->disk, &answer);

	if (ret == 0) {
		serve->stop_unseen = answer.others;
		if (answer.others)
			log_warning("not all processes could be looked into: whether one of them "
				    "had the disk open is not known");
		begin_leaving(serve);
	} else if (ret == -ECHILD) {
		stopping_attendant_ended(serve);
		begin(serve, serve->stop_forced);
	} else if (ret != -EBUSY) {
		cannot_stop(serve, &answer);
	} else if (serve->stop_forced || serve->stop_insisted) {
		/* Asked for while the gentle stop was under way. */
		begin(serve, true);
	} else {
		refuse(serve);
	}
}

void stopping_over(struct serve *serve)
{
	struct disk *disk = serve->disk;
	char sentence[TROUBLE_BYTES_MAX + 160];

	if (disk->flush_errno) {
		snprintf(sentence, sizeof(sentence),
			 "%s is gone, but flushing it failed (%s): what was written last may be "
			 "lost",
			 disk->device_path, disk->flush_why);
		reply_error_all(serve, disk->flush_errno, EXIT_CODE_DATA, sentence);
	} else if (disk->exit_code != EXIT_CODE_OK) {
		reply_error_all(serve, EIO, disk->exit_code, disk->sentence);
	} else {
		reply_ok_all(serve);
	}
}
