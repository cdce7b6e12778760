/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/control_client.h"
#include "gateway/cli/disconnect.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/driver.h"
#include "gateway/cli/holders_aside.h"
#include "gateway/cli/output.h"
#include "gateway/cli/process.h"
#include "gateway/cli/reap.h"
#include "gateway/cli/removal.h"
#include "gateway/common/disk_stop.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"
#include "tls/clock.h"

#define VERB		"disconnect"

#define KILL_TIMEOUT_MS 5000
/* Once it has said that the device is gone, the process only has to end. */
#define END_TIMEOUT_MS 5000
/* How long somebody who merely has a disk open is waited for. */
#define TRANSIENT_USE_MS 3000
#define ASK_AGAIN_MS	 100
/* How long the kernel may take to notice that a daemon has died. */
#define DEATH_NOTICED_MS 10000
/* How long a daemon whose disk is stopped, and that listens no more, is given to end before it is killed by
 * force: another command's stop is at its end. */
#define ENDING_MS 5000
/* Between two attempts of --force-after. */
#define FORCE_PAUSE_MS 500

/* What is known about one device, before anything is done. */
struct job {
	uint32_t number;
	const struct disconnect_options *options;
	int64_t deadline_ms;
	int64_t patience_ms; /* until when a transient use is waited for; 0: none was seen yet */
	bool files_hang; /* those in the runtime directory: they tell nothing, and nobody is reached there */
	bool all_seen; /* all processes of the machine were looked into, and none had it open */
	bool in_kernel;
	bool ours;
	uint64_t tag;			   /* the device's by the kernel: server_tag.h */
	struct ublksrv_ctrl_dev_info info; /* while in_kernel */
	pid_t pid;			   /* of its daemon, as seen from here; 0 unknown */
	int pidfd;			   /* of the daemon that runs, or -1 */
};

/* What is left of the device that was there at first. */
enum left {
	LEFT_NOTHING,
	LEFT_DEAD,    /* no daemon */
	LEFT_UNSEEN,  /* somebody serves it whom we do not see */
	LEFT_STOPPED, /* a daemon that is starting, or ending: there is no disk, yet or any more */
	LEFT_LIVE,
};

static uint32_t left_ms(const struct job *job, uint32_t at_least_ms)
{
	int64_t left = job->deadline_ms - clock_now_ms();

	return left > (int64_t)at_least_ms ? (uint32_t)left : at_least_ms;
}

/* --- looking ---------------------------------------------------------------------------------------------- */

static enum exit_code look_at_kernel(struct job *job)
{
	struct ublksrv_ctrl_dev_info info;
	int error = reap_look(job->number, &info);
	char sentence[400];

	if (error == -ENODEV)
		return EXIT_CODE_OK;
	if (error == -EACCES || error == -EPERM) {
		driver_forbidden_text(sentence, sizeof(sentence));
		output_error(VERB, "%s", sentence);
		return EXIT_CODE_SYSTEM;
	}
	if (error) {
		output_error(VERB, "the kernel does not tell about device %u: %s", job->number,
			     strerror(-error));
		return EXIT_CODE_SYSTEM;
	}
	/* Another disk has taken the number of the one that is meant. */
	if (job->options->tag != SERVER_TAG_NONE && job->options->tag != info.ublksrv_flags)
		return EXIT_CODE_OK;
	job->in_kernel = true;
	job->info = info;
	job->tag = info.ublksrv_flags;
	job->ours = server_tag_is_ours(job->tag);
	if (job->ours)
		job->pidfd = process_open_daemon(job->tag, &job->pid);
	else if (info.ublksrv_pid > 0)
		job->pid = info.ublksrv_pid;
	return EXIT_CODE_OK;
}

/* Only the kernel is believed about whose a device is and which process serves it: files may be old,
 * and their numbers belong to somebody else by now. */
static enum exit_code look(struct job *job)
{
	enum exit_code exit_code = look_at_kernel(job);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	job->files_hang = !disk_files_answer(job->number);
	if (job->files_hang)
		output_warning(VERB,
			       "the runtime directory %s does not answer: going on without it",
			       runtime_dir_path());
	else if (!job->in_kernel && job->options->tag == SERVER_TAG_NONE)
		job->ours = disk_has_files(job->number);
	if (job->ours || job->in_kernel)
		return EXIT_CODE_OK;
	if (job->options->tag != SERVER_TAG_NONE)
		return EXIT_CODE_NO_DEVICE;
	output_error(VERB, "there is no device %u: 'ublk-nbd list' shows those there are",
		     job->number);
	return EXIT_CODE_NO_DEVICE;
}

static enum left look_again(struct job *job)
{
	struct ublksrv_ctrl_dev_info info;
	int error = reap_look(job->number, &info);

	if (error == -ENODEV || (!error && info.ublksrv_flags != job->tag))
		return LEFT_NOTHING;
	if (!error)
		job->info = info;
	if (job->pidfd < 0)
		return job->info.state == UBLK_S_DEV_LIVE ? LEFT_UNSEEN : LEFT_DEAD;
	if (!process_wait(job->pidfd, 0))
		return LEFT_DEAD;
	return job->info.state == UBLK_S_DEV_LIVE ? LEFT_LIVE : LEFT_STOPPED;
}

static enum exit_code complain_gone(const struct job *job)
{
	output_error(VERB,
		     "device %u is gone: it was being removed already, by its daemon or another "
		     "command",
		     job->number);
	return EXIT_CODE_NO_DEVICE;
}

/* --- in use ----------------------------------------------------------------------------------------------- */

static enum exit_code complain_busy(const struct job *job, const struct holders *holders,
				    const char *otherwise)
{
	if (holders->text[0])
		output_error(
			VERB,
			"/dev/ublkb%u is in use (%s): end that first, or --force fails its I/O and "
			"loses what is unwritten",
			job->number, holders->text);
	else
		output_error(VERB,
			     "%s: end its use first, or --force fails its I/O and loses what is "
			     "unwritten",
			     otherwise);
	return EXIT_CODE_BUSY;
}

/* Whether whoever has it in use may be gone in a moment: udev opens a disk whenever a writer has closed it, a
 * file system's unmounting included. Another command of ours is waited for as long as it takes. */
static bool may_pass(struct job *job, const struct holders *holders)
{
	int64_t now_ms = clock_now_ms();

	if (!job->patience_ms)
		job->patience_ms = now_ms + TRANSIENT_USE_MS;
	if (holders->lasting || now_ms >= job->deadline_ms)
		return false;
	return now_ms < job->patience_ms || (holders->ours && !holders->text[0]);
}

/* Whether somebody who can be seen uses it, after a moment's patience. */
static bool is_used(struct job *job, struct holders *holders)
{
	for (;;) {
		holders_find_aside(job->number, holders);
		if (!holders->text[0])
			return false;
		if (!may_pass(job, holders))
			return true;
		poll(NULL, 0, ASK_AGAIN_MS);
	}
}

static void warn_of_unseen(const struct job *job)
{
	output_warning(VERB,
		       "this kernel's driver does not tell who has /dev/ublkb%u open, and not all "
		       "processes can be seen from here: one in another container may have had it "
		       "open",
		       job->number);
}

/* --- the daemon does it ----------------------------------------------------------------------------------- */

/* Somebody uses the disk. Where its server is lost, and with it what only that could take, the daemon says so itself
 * (ENOTCONN), and nobody's use is to be ended. */
static bool is_busy(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "errno"));

	return !json_is_true(json_object_get(answer, "ok")) &&
	       json_integer_value(json_object_get(answer, "exit")) == EXIT_CODE_BUSY &&
	       !(error && !strcmp(error, "ENOTCONN"));
}

static enum exit_code judge_answer(const struct job *job, const json_t *answer)
{
	const char *sentence = json_string_value(json_object_get(answer, "error"));
	const char *flush = json_string_value(json_object_get(answer, "flush"));
	json_int_t exit_code = json_integer_value(json_object_get(answer, "exit"));
	struct holders holders;

	if (json_is_true(json_object_get(answer, "ok"))) {
		if (json_is_true(json_object_get(answer, "unseen")) && !job->all_seen)
			warn_of_unseen(job);
		if (!flush || !strcmp(flush, "ok") || !strcmp(flush, "none"))
			return EXIT_CODE_OK;
		output_error(VERB,
			     "/dev/ublkb%u is gone, but its last flush failed (%s): data written "
			     "shortly before may not be on the server",
			     job->number, flush);
		return EXIT_CODE_DATA;
	}
	if (is_busy(answer)) {
		holders_find_aside(job->number, &holders);
		return complain_busy(job, &holders, sentence ? sentence : "the disk is in use");
	}
	output_error(VERB, "%s", sentence ? sentence : "the daemon refused without a reason");
	return exit_code > 0 && exit_code < 256 ? (enum exit_code)exit_code : EXIT_CODE_FAILURE;
}

/* --- we do it --------------------------------------------------------------------------------------------- */

/* Only by force. */
static enum exit_code kill_daemon(const struct job *job)
{
	if (job->pidfd < 0)
		return EXIT_CODE_OK;
	output_warning(VERB,
		       "the daemon of /dev/ublkb%u (process %d) does not answer: it is killed, "
		       "unwritten data is lost",
		       job->number, (int)job->pid);
	if (!process_kill(job->pidfd, KILL_TIMEOUT_MS))
		return EXIT_CODE_OK;
	output_error(VERB,
		     "process %d does not end: it hangs in the kernel (its stack is in "
		     "/proc/%d/stack)",
		     (int)job->pid, (int)job->pid);
	return EXIT_CODE_SYSTEM;
}

/* Whether something may have been written and not flushed. A disk that nobody was told of has no record. */
static bool may_lose_writes(const struct job *job)
{
	struct disk_record record;
	struct holders holders;
	char error[400];
	bool writable;

	if (job->ours && job->files_hang)
		return true;
	if (!job->ours || disk_record_load(job->number, &record, error, sizeof(error)))
		return false;
	writable = !record.read_only;
	disk_record_clear(&record);
	if (!writable || !disk_stop_is_unwritten(job->number))
		return writable;
	/* A file system on it may have what it has not sent yet. */
	holders_find_aside(job->number, &holders);
	return holders.text[0] != '\0';
}

/* What a dead daemon left; lossy: what it had may not have been flushed. */
static enum exit_code reap(const struct job *job, bool lossy)
{
	char error[400] = "";
	int result;

	if (!job->in_kernel) {
		disk_forget(job->number);
		return EXIT_CODE_OK;
	}
	result = reap_device(job->number, job->tag, left_ms(job, 10000) / 2, error, sizeof(error));
	if (!result && lossy)
		output_error(VERB,
			     "/dev/ublkb%u is gone, and nobody flushed it: data written shortly "
			     "before its daemon ended may not be on the server",
			     job->number);
	if (!result)
		return lossy ? EXIT_CODE_DATA : EXIT_CODE_OK;
	if (result == -ENODEV)
		return complain_gone(job);
	output_error(VERB, "%s", error);
	return EXIT_CODE_SYSTEM;
}

static enum exit_code take_down(const struct job *job)
{
	bool lossy =
		may_lose_writes(job); /* before the kernel takes the disk away, and its counts */
	enum exit_code exit_code = kill_daemon(job);

	return exit_code == EXIT_CODE_OK ? reap(job, lossy) : exit_code;
}

/* Its I/O fails already; but who uses it may not know that yet, and its number would be another disk's. */
static enum exit_code remove_dead(struct job *job)
{
	struct holders holders;

	if (is_used(job, &holders))
		return complain_busy(job, &holders, "");
	return reap(job, may_lose_writes(job));
}

static enum exit_code complain_not_removed(const struct job *job, const struct removal *removal)
{
	if (removal && removal->answer.result != -ETIMEDOUT)
		output_error(VERB, "/dev/ublkb%u was not removed: %s: %s", job->number,
			     removal->answer.sentence[0] ? removal->answer.sentence
							 : "the kernel does not stop it",
			     strerror(-removal->answer.result));
	else
		output_error(
			VERB,
			"/dev/ublkb%u was not removed: its daemon (process %d) did not answer, "
			"or was not done, within %u s: is it stopped (kill -CONT %d)? Wait with a "
			"longer --timeout, or --force kills it and loses what is unwritten",
			job->number, (int)job->pid, job->options->timeout_ms / 1000, (int)job->pid);
	return EXIT_CODE_BUSY;
}

/* The disk is stopped. Its daemon sees that, and ends. */
static enum exit_code finish_removal(struct job *job, const struct removal *removal)
{
	enum left left;

	process_wait(job->pidfd, left_ms(job, 1000));
	left = look_again(job);
	if (left == LEFT_DEAD)
		reap(job, false);
	else if (left != LEFT_NOTHING)
		output_warning(VERB,
			       "/dev/ublkb%u is gone, but its number is taken until its daemon "
			       "(process %d) goes on and ends",
			       job->number, (int)job->pid);
	if (removal->answer.others)
		warn_of_unseen(job);
	if (removal->lossless)
		return EXIT_CODE_OK;
	output_error(
		VERB,
		"/dev/ublkb%u is gone, but flushing it failed (%s): data written shortly before "
		"may not be on the server",
		job->number,
		removal->answer.flush_errno ? strerror(removal->answer.flush_errno)
					    : "it could not be opened for that");
	return EXIT_CODE_DATA;
}

/* The daemon lives and cannot be talked to. true: it is over, *exit_code tells how. */
static bool remove_alone(struct job *job, enum exit_code *exit_code)
{
	struct removal removal;
	struct holders holders;

	if (is_used(job, &holders)) { /* known at once, where the fsync may never come back */
		*exit_code = complain_busy(job, &holders, "");
		return true;
	}
	output_progress(job->options->verbose, VERB,
			"device %u is flushed and stopped without its daemon's help", job->number);
	removal_run(&job->info, job->deadline_ms, &removal);
	if (removal.answer.result == -ENODEV)
		return false;
	if (removal.answer.result == -EBUSY) {
		holders_find_aside(job->number, &holders);
		if (may_pass(job, &holders))
			return false;
		*exit_code =
			complain_busy(job, &holders,
				      "the disk is in use, by whom cannot be seen from here (a "
				      "mount in a container, perhaps)");
	} else if (removal.answer.result == 0 ||
		   (removal.answer.result == -ETIMEDOUT && look_again(job) == LEFT_STOPPED)) {
		*exit_code = finish_removal(job, &removal);
	} else {
		*exit_code = complain_not_removed(job, &removal);
	}
	return true;
}

/* --- with its daemon ----------------------------------------------------------------------------------------- */

static enum exit_code complain_silent(const struct job *job, int error)
{
	if (error == -ETIMEDOUT) {
		output_error(
			VERB,
			"the daemon of /dev/ublkb%u is still at it after %u s, writing to its "
			"server "
			"perhaps: wait with a longer --timeout, or give up its data with --force",
			job->number, job->options->timeout_ms / 1000);
		return EXIT_CODE_BUSY;
	}
	output_error(VERB, "the daemon of /dev/ublkb%u does not answer: %s", job->number,
		     strerror(-error));
	return EXIT_CODE_FAILURE;
}

/* The disk goes on, and the next attempt's flush may well be fine: now is the time to say it. */
static void warn_of_flush(const struct job *job, const json_t *answer)
{
	const char *flush = json_string_value(json_object_get(answer, "flush"));

	if (flush)
		output_warning(
			VERB,
			"flushing /dev/ublkb%u failed (%s): what was written last may not be "
			"on the server",
			job->number, flush);
}

/* Asks until the answer is not "busy", or the busy-ness is meant. */
static int ask_patiently(struct job *job, json_t **answer)
{
	struct holders holders;

	for (;;) {
		json_t *request =
			json_pack("{s:s, s:b}", "verb", "disconnect", "force", job->options->force);
		int error = control_client_call(job->number, job->tag, request, left_ms(job, 1000),
						answer);

		if (error || !is_busy(*answer))
			return error;
		warn_of_flush(job, *answer);
		holders_find_aside(job->number, &holders);
		if (!may_pass(job, &holders))
			return 0;
		json_decref(*answer);
		poll(NULL, 0, ASK_AGAIN_MS);
	}
}

/* Whether the daemon is well enough to do it by itself. */
static bool daemon_answers(const struct job *job)
{
	uint32_t timeout_ms = left_ms(job, 1000) / 2;
	json_t *status = NULL;
	int error;

	if (job->files_hang)
		return false;
	error = control_client_status(
		job->number, job->tag,
		timeout_ms < CONTROL_ALIVE_TIMEOUT_MS ? timeout_ms : CONTROL_ALIVE_TIMEOUT_MS,
		&status);

	json_decref(status);
	output_progress(job->options->verbose, VERB, "the daemon of device %u %s", job->number,
			error ? "does not answer" : "answers");
	return !error;
}

/* Where the driver does not tell who has it open the daemon looks, but perhaps not from where all can be
 * seen; one of 0.1.0 does not look. true: somebody uses it. */
static bool is_used_unasked(struct job *job, struct holders *holders)
{
	if (job->options->force || job->info.flags & UBLK_F_SAFE_STOP_DEV)
		return false;
	if (is_used(job, holders))
		return true;
	job->all_seen = !holders->others && !holders->closed;
	return false;
}

/* Has the daemon do it. false: there is no conversation with it, or none that came to an end. */
static bool ask_daemon(struct job *job, enum exit_code *exit_code)
{
	struct holders holders;
	json_t *answer = NULL;
	int error;

	if (!daemon_answers(job))
		return false;
	if (is_used_unasked(job, &holders)) {
		*exit_code = complain_busy(job, &holders, "");
		return true;
	}
	error = ask_patiently(job, &answer);
	/* It ended of it, or has just ended; or force is to be had against its will. */
	if (error == -ECONNRESET || control_client_is_dead(error) || (error && job->options->force))
		return false;
	if (error) {
		*exit_code = complain_silent(job, error);
		return true;
	}
	*exit_code = judge_answer(job, answer);
	json_decref(answer);
	if (job->pidfd >= 0 && (*exit_code == EXIT_CODE_OK || *exit_code == EXIT_CODE_DATA))
		process_wait(job->pidfd, END_TIMEOUT_MS);
	return true;
}

/* --- all of it -------------------------------------------------------------------------------------------- */

/* The kernel still has it live, but no process that we can see serves it: a daemon that died a moment
 * ago, or one in a container whose process numbers are not ours. The former passes. */
static bool stays_live(const struct job *job)
{
	int64_t give_up_ms = clock_now_ms() + DEATH_NOTICED_MS;
	struct ublksrv_ctrl_dev_info info;

	while (!reap_look(job->number, &info) && info.state == UBLK_S_DEV_LIVE) {
		if (clock_now_ms() >= give_up_ms)
			return true;
		poll(NULL, 0, ASK_AGAIN_MS);
	}
	return false;
}

/* Without a conversation. true: it is over, *exit_code tells how; false: it is to be looked at again. */
static bool remove_somehow(struct job *job, enum left left, int64_t kill_ms,
			   enum exit_code *exit_code)
{
	if (job->options->force) {
		if (left == LEFT_STOPPED && clock_now_ms() < kill_ms)
			return false;
		*exit_code = take_down(job);
	} else if (left == LEFT_DEAD) {
		*exit_code = remove_dead(job);
	} else if (left == LEFT_LIVE) {
		return remove_alone(job, exit_code);
	} else if (left == LEFT_UNSEEN && stays_live(job)) {
		output_error(
			VERB,
			"device %u is served by a process that cannot be seen from here, in a "
			"container perhaps: disconnect it there; --force removes it all the same",
			job->number);
		*exit_code = EXIT_CODE_REFUSED;
	} else {
		return false;
	}
	return true;
}

static enum exit_code remove_ours(struct job *job)
{
	int64_t kill_ms = clock_now_ms() + ENDING_MS;
	enum exit_code exit_code;

	for (;;) {
		enum left left = look_again(job);

		/* One whose process is not seen may have its socket here all the same. */
		if (left != LEFT_NOTHING && (left != LEFT_DEAD || job->pidfd < 0) &&
		    ask_daemon(job, &exit_code))
			return exit_code;
		left = look_again(job);
		if (left == LEFT_NOTHING)
			return complain_gone(job);
		if (remove_somehow(job, left, kill_ms, &exit_code))
			return exit_code;
		if (clock_now_ms() >= job->deadline_ms)
			return complain_not_removed(job, NULL);
		poll(NULL, 0, ASK_AGAIN_MS);
	}
}

static enum exit_code run(struct job *job)
{
	enum exit_code exit_code = look(job);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	if (!job->ours && !job->options->force) {
		output_error(VERB,
			     "device %u was not made by ublk-nbd (process %d serves it): its own "
			     "program should remove it; --force removes it all the same",
			     job->number, (int)job->pid);
		return EXIT_CODE_REFUSED;
	}
	return job->ours && job->in_kernel ? remove_ours(job) : take_down(job);
}

/* tag: of the device that was found; SERVER_TAG_NONE stays where there was none. */
static enum exit_code disconnect_once(uint32_t number, const struct disconnect_options *options,
				      uint64_t *tag)
{
	struct job job = {
		.number = number,
		.options = options,
		.deadline_ms = clock_now_ms() + options->timeout_ms,
		.pidfd = -1,
	};
	enum exit_code exit_code = run(&job);

	if (job.pidfd >= 0)
		close(job.pidfd);
	if (job.in_kernel)
		*tag = job.tag;
	return exit_code;
}

static bool is_final(enum exit_code exit_code)
{
	return exit_code == EXIT_CODE_OK || exit_code == EXIT_CODE_DATA ||
	       exit_code == EXIT_CODE_NO_DEVICE;
}

/* Tried again until the time is over: its use may end, or its server come back. Only the first attempt says why
 * it failed. */
static enum exit_code try_gently(uint32_t number, struct disconnect_options *options)
{
	int64_t until_ms = clock_now_ms() + options->force_after_ms;
	uint32_t timeout_ms = options->timeout_ms;
	enum exit_code exit_code;

	for (;;) {
		int64_t left = until_ms - clock_now_ms();

		options->timeout_ms = left < (int64_t)timeout_ms ? (uint32_t)left : timeout_ms;
		/* From then on this disk is meant, whichever has its number later. */
		exit_code = disconnect_once(number, options, &options->tag);
		output_mute(true);
		if (is_final(exit_code) || clock_now_ms() + FORCE_PAUSE_MS >= until_ms)
			break;
		poll(NULL, 0, FORCE_PAUSE_MS);
	}
	output_mute(false);
	options->timeout_ms = timeout_ms;
	return exit_code;
}

enum exit_code disconnect_device(uint32_t number, const struct disconnect_options *options)
{
	struct disconnect_options how = *options;
	enum exit_code exit_code;

	if (how.force || !how.force_after_ms)
		return disconnect_once(number, &how, &how.tag);
	exit_code = try_gently(number, &how);
	if (is_final(exit_code))
		return exit_code;
	output_warning(VERB, "/dev/ublkb%u is removed by force, as --force-after wants it", number);
	how.force = true;
	return disconnect_once(number, &how, &how.tag);
}
