/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/clock.h"
#include "gateway/cli/control_client.h"
#include "gateway/cli/disconnect.h"
#include "gateway/cli/driver.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/holders.h"
#include "gateway/cli/output.h"
#include "gateway/cli/process.h"
#include "gateway/cli/reap.h"
#include "gateway/common/server_tag.h"

#define VERB		"disconnect"

#define KILL_TIMEOUT_MS 5000
/* Once it has said that the device is gone, the process only has to end. */
#define END_TIMEOUT_MS 5000
/* How long somebody who merely has a disk open is waited for. */
#define TRANSIENT_USE_MS 3000
#define ASK_AGAIN_MS	 100
/* How long the kernel may take to notice that a daemon has died. */
#define DEATH_NOTICED_MS 10000

/* What is known about one device, before anything is done. */
struct job {
	uint32_t number;
	const struct disconnect_options *options;
	int64_t deadline_ms;
	bool in_kernel;
	bool ours;
	uint64_t tag; /* the device's by the kernel: server_tag.h */
	pid_t pid;    /* of its daemon, as seen from here; 0 unknown */
	int pidfd;    /* of the daemon that runs, or -1 */
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
	job->in_kernel = true;
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
	if (!job->in_kernel)
		job->ours = disk_has_files(job->number);
	if (job->ours || job->in_kernel)
		return EXIT_CODE_OK;
	output_error(VERB, "there is no device %u: 'ublk-nbd list' shows those there are",
		     job->number);
	return EXIT_CODE_NO_DEVICE;
}

/* --- in use ----------------------------------------------------------------------------------------------- */

static enum exit_code complain_busy(const struct job *job, const char *otherwise)
{
	char holders[1500];

	if (holders_describe(job->number, holders, sizeof(holders)))
		output_error(
			VERB,
			"/dev/ublkb%u is in use (%s): end that first, or --force fails its I/O and "
			"loses what is unwritten",
			job->number, holders);
	else
		output_error(VERB,
			     "%s: end its use first, or --force fails its I/O and loses what is "
			     "unwritten",
			     otherwise);
	return EXIT_CODE_BUSY;
}

/* --- the daemon does it ----------------------------------------------------------------------------------- */

static enum exit_code judge_answer(const struct job *job, const json_t *answer)
{
	const char *sentence = json_string_value(json_object_get(answer, "error"));
	const char *flush = json_string_value(json_object_get(answer, "flush"));
	json_int_t exit_code = json_integer_value(json_object_get(answer, "exit"));

	if (json_is_true(json_object_get(answer, "ok"))) {
		if (!flush || !strcmp(flush, "ok") || !strcmp(flush, "none"))
			return EXIT_CODE_OK;
		output_error(VERB,
			     "/dev/ublkb%u is gone, but its last flush failed (%s): data written "
			     "shortly before may not be on the server",
			     job->number, flush);
		return EXIT_CODE_DATA;
	}
	if (exit_code == EXIT_CODE_BUSY && flush)
		output_warning(VERB, "flushing /dev/ublkb%u failed: %s", job->number, flush);
	if (exit_code == EXIT_CODE_BUSY)
		return complain_busy(job, sentence ? sentence : "the disk is in use");
	output_error(VERB, "%s", sentence ? sentence : "the daemon refused without a reason");
	return exit_code > 0 && exit_code < 256 ? (enum exit_code)exit_code : EXIT_CODE_FAILURE;
}

/* --- we do it --------------------------------------------------------------------------------------------- */

static enum exit_code kill_daemon(const struct job *job)
{
	char holders[1500];

	if (job->pidfd < 0)
		return EXIT_CODE_OK;
	if (!job->options->force && holders_describe(job->number, holders, sizeof(holders)))
		return complain_busy(job, "");
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

static enum exit_code take_down(const struct job *job)
{
	char error[400] = "";
	enum exit_code exit_code = kill_daemon(job);
	uint32_t half_ms = left_ms(job, 10000) / 2;

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	if (!job->in_kernel) {
		disk_forget(job->number);
		return EXIT_CODE_OK;
	}
	if (!reap_device(job->number, job->tag, half_ms, error, sizeof(error)))
		return EXIT_CODE_OK;
	output_error(VERB, "%s", error);
	return EXIT_CODE_SYSTEM;
}

/* --- the two ways ----------------------------------------------------------------------------------------- */

static enum exit_code complain_silent(const struct job *job, int error)
{
	if (error == -ETIMEDOUT)
		output_error(
			VERB,
			"the daemon of /dev/ublkb%u is still at it after %u s, writing to its "
			"server "
			"perhaps: wait with a longer --timeout, or give up its data with --force",
			job->number, job->options->timeout_ms / 1000);
	else
		output_error(VERB, "the daemon of /dev/ublkb%u does not answer: %s", job->number,
			     strerror(-error));
	return EXIT_CODE_FAILURE;
}

static bool is_busy(const json_t *answer)
{
	return !json_is_true(json_object_get(answer, "ok")) &&
	       json_integer_value(json_object_get(answer, "exit")) == EXIT_CODE_BUSY;
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

/* Asks until the answer is not "busy", or the busy-ness is meant: udev opens a disk for a moment
 * whenever a writer has closed it, a file system's unmounting included. */
static int ask_patiently(const struct job *job, json_t **answer)
{
	int64_t give_up_ms = clock_now_ms() + TRANSIENT_USE_MS;

	for (;;) {
		json_t *request =
			json_pack("{s:s, s:b}", "verb", "disconnect", "force", job->options->force);
		int error = control_client_call(job->number, job->tag, request, left_ms(job, 1000),
						answer);

		if (!error && is_busy(*answer))
			warn_of_flush(job, *answer);
		if (error || !is_busy(*answer) || clock_now_ms() >= give_up_ms ||
		    holders_are_lasting(job->number))
			return error;
		json_decref(*answer);
		poll(NULL, 0, ASK_AGAIN_MS);
	}
}

/* The daemon has answered `status` a moment ago. */
static enum exit_code ask_daemon(const struct job *job)
{
	json_t *answer = NULL;
	enum exit_code exit_code;
	int error = ask_patiently(job, &answer);

	/* It died of it, or force is to be had against its will. */
	if (error == -ECONNRESET || (error && job->options->force))
		return take_down(job);
	if (error)
		return complain_silent(job, error);
	exit_code = judge_answer(job, answer);
	json_decref(answer);
	if (job->pidfd >= 0 && (exit_code == EXIT_CODE_OK || exit_code == EXIT_CODE_DATA))
		process_wait(job->pidfd, END_TIMEOUT_MS);
	return exit_code;
}

/* Whether the daemon is well enough to do it by itself. One that still starts has no socket: taking
 * it down is what its user wants, who knows no other way by then. */
static bool daemon_answers(const struct job *job)
{
	json_t *status = NULL;
	int error = control_client_status(job->number, job->tag, CONTROL_ALIVE_TIMEOUT_MS, &status);

	json_decref(status);
	output_progress(job->options->verbose, VERB, "the daemon of device %u %s", job->number,
			error ? "does not answer" : "answers");
	return !error;
}

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

static enum exit_code run(struct job *job)
{
	enum exit_code exit_code = look(job);
	bool forced = job->options->force;

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	if (!job->ours && !forced) {
		output_error(VERB,
			     "device %u was not made by ublk-nbd (process %d serves it): its own "
			     "program should remove it; --force removes it all the same",
			     job->number, (int)job->pid);
		return EXIT_CODE_REFUSED;
	}
	if (job->ours && job->in_kernel && daemon_answers(job))
		return ask_daemon(job);
	if (job->in_kernel && job->pidfd < 0 && !forced && stays_live(job)) {
		output_error(
			VERB,
			"device %u is served by a process that cannot be seen from here, in a "
			"container perhaps: disconnect it there; --force removes it all the same",
			job->number);
		return EXIT_CODE_REFUSED;
	}
	return take_down(job);
}

enum exit_code disconnect_device(uint32_t number, const struct disconnect_options *options)
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
	return exit_code;
}
