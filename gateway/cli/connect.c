/* SPDX-License-Identifier: MIT */
#include "gateway/cli/connect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/control_client.h"
#include "gateway/cli/daemon.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disk_state.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/doctor.h"
#include "gateway/cli/driver.h"
#include "gateway/cli/foreground.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/output.h"
#include "gateway/cli/process.h"
#include "gateway/cli/ready_reader.h"
#include "gateway/cli/runtime_lock.h"
#include "gateway/cli/udev_wait.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/target_text.h"
#include "tls/clock.h"

/* How often a disk is looked at that waits for its server. */
#define SERVER_POLL_MS 250
/* The pause before a server that was not there is tried again: doubled each time, up to the most. */
#define RETRY_FIRST_MS 250u
#define RETRY_MOST_MS  10000u

/* --- before ----------------------------------------------------------------------------------------------- */

/* What doctor says of this machine is what connect says, and nothing is begun that would fail by it. */
int connect_prepare(const char *verb)
{
	char sentence[2000];
	struct checks checks;

	if (driver_permitted() && driver_load(sentence, sizeof(sentence))) {
		output_error(verb, "ublk driver: %s", sentence);
		return EXIT_CODE_SYSTEM;
	}
	checks_init_quiet(&checks);
	doctor_machine(&checks);
	checks_clear(&checks);
	if (checks.failures) {
		output_error(verb, "%s", checks.first);
		return (int)checks.exit_code;
	}
	if (!runtime_dir_prepare(sentence, sizeof(sentence)))
		return EXIT_CODE_OK;
	output_error(verb, "%s", sentence);
	return EXIT_CODE_SYSTEM;
}

/* One call of connect_disk(). */
struct making {
	const struct connect_options *wanted;
	const char *verb;
	int interrupt_fd;
	struct connect_result *result; /* NULL: standard output is told */
	bool tries_again, said;	       /* as in struct ready_reader */
};

/* --- --idempotent ----------------------------------------------------------------------------------------- */

static const char *status_device(const json_t *status)
{
	const char *device = json_string_value(json_object_get(status, "device"));

	return device ? device : "?";
}

/* How disk number is, if it is what was asked for, and its daemon is not dead; else NULL. */
static json_t *state_if_equal(const struct disk_config *config, uint32_t number)
{
	struct disk_record record;
	char error[400];
	json_t *state;
	bool same;

	if (config->device >= 0 && (uint32_t)config->device != number)
		return NULL;
	if (disk_record_load(number, &record, error, sizeof(error)))
		return NULL;
	same = disk_config_same_disk(config, &record.config);
	disk_record_clear(&record);
	state = same ? disk_state_full(number) : NULL;
	if (!state || strcmp(disk_state_word(state), "dead"))
		return state;
	json_decref(state);
	return NULL;
}

/* With fewer connections it works as well. */
static bool state_is_usable(const json_t *state)
{
	return !strcmp(disk_state_word(state), "live") ||
	       !strcmp(disk_state_word(state), "degraded");
}

/* A usable one, if there is any. */
static json_t *state_of_equal(const struct disk_config *config)
{
	uint32_t *numbers = NULL;
	size_t count = 0;
	json_t *found = NULL;

	if (disks_list(&numbers, &count))
		return NULL;
	for (size_t i = 0; i < count && (!found || !state_is_usable(found)); i++) {
		json_t *state = state_if_equal(config, numbers[i]);

		if (state && (!found || state_is_usable(state))) {
			json_decref(found);
			found = state;
		} else {
			json_decref(state);
		}
	}
	free(numbers);
	return found;
}

/* The same; one that waits for its server is given the time that a connect may take. */
static json_t *await_server(const struct making *making)
{
	const struct disk_config *config = &making->wanted->config;
	int64_t deadline_ms = clock_now_ms() + config->connect_timeout_ms;
	json_t *state = state_of_equal(config);

	while (state && !strcmp(disk_state_word(state), "waiting") &&
	       clock_now_ms() < deadline_ms) {
		struct pollfd fd = { .fd = making->interrupt_fd, .events = POLLIN };

		if (poll(&fd, 1, SERVER_POLL_MS) > 0)
			break;
		json_decref(state);
		state = state_of_equal(config);
	}
	return state;
}

/* A second disk beside one that may still write what it has would be no repair. */
static int refuse_second(const char *verb, const json_t *state)
{
	static const struct {
		const char *word, *means;
	} known[] = {
		{ "waiting", "it has lost its server, and its I/O waits" },
		{ "failing", "it has lost its server, and its I/O fails" },
		{ "refused", "its server answers, but does not have this disk any more" },
		{ "silent", "its daemon does not answer" },
		{ "unseen", "its daemon cannot be asked from here" },
	};
	const char *word = disk_state_word(state), *device = status_device(state);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].word, word))
			continue;
		output_error(verb,
			     "%s is this disk already, and it is %s: %s: 'ublk-nbd disconnect %s' "
			     "first (unmount it before), then connect again",
			     device, word, known[i].means, device);
		return EXIT_CODE_BUSY;
	}
	output_error(verb, "%s is this disk already, and it is %s: try again when that is over",
		     device, word);
	return EXIT_CODE_BUSY;
}

static int lock_failed(const char *verb, int error)
{
	if (error == -EINTR)
		return EXIT_CODE_INTERRUPTED;
	if (error == -ETIMEDOUT)
		output_error(verb,
			     "another 'connect --idempotent' has been at work for %d s: try again "
			     "once it has ended",
			     RUNTIME_LOCK_TIMEOUT_MS / 1000);
	else
		output_error(verb, "%s/state/lock cannot be taken: %s", runtime_dir_path(),
			     strerror(-error));
	return EXIT_CODE_FAILURE;
}

/* --- after ------------------------------------------------------------------------------------------------ */

static int print_device(const struct making *making, const json_t *status)
{
	json_t *copy;

	if (!making->wanted->common.json) {
		puts(status_device(status));
		return output_finish(making->verb);
	}
	copy = json_deep_copy(status);
	disk_state_add_link(copy);
	return output_json(making->verb, copy);
}

static int tell_device(const struct making *making, const json_t *status, bool found)
{
	if (!making->result)
		return print_device(making, status);
	making->result->found = found;
	snprintf(making->result->device, sizeof(making->result->device), "%s",
		 status_device(status));
	return EXIT_CODE_OK;
}

/* Takes the daemon down where it will not end by itself. */
static int give_up(const struct making *making, struct daemon *daemon, int exit_code, bool ended)
{
	/* Closing the conversation tells it as well. */
	close(daemon->ready_fd);
	if (exit_code == EXIT_CODE_INTERRUPTED)
		output_error(making->verb, "interrupted: what was made is removed again");
	if (!ended || process_wait(daemon->pidfd, DAEMON_END_MS))
		daemon_end(daemon);
	else
		daemon_reap(daemon);
	close(daemon->pidfd);
	return exit_code;
}

/* The disk is usable, and may still be taken down: nobody has been told of it. */
static int await_links(const struct making *making, const json_t *status)
{
	int ret = udev_wait_links(status_device(status), UDEV_WAIT_MS, making->interrupt_fd);

	if (ret == -EINTR)
		return EXIT_CODE_INTERRUPTED;
	if (ret == -ETIMEDOUT)
		output_warning(making->verb,
			       "udev did not handle %s within %d s: its links may come later",
			       status_device(status), UDEV_WAIT_MS / 1000);
	return EXIT_CODE_OK;
}

/* Tells the user of the disk, and the daemon that this was done: until then it removes the disk if we
 * end, however that may be. */
static int hand_over(const struct making *making, const struct daemon *daemon, const json_t *status)
{
	int exit_code = EXIT_CODE_OK;

	if (!making->result)
		exit_code = output_await_reader(making->verb, making->interrupt_fd);
	if (exit_code == EXIT_CODE_OK)
		exit_code = tell_device(making, status, false);
	if (exit_code != EXIT_CODE_OK || daemon_take(daemon) == 0)
		return exit_code;
	output_error(making->verb, "the daemon of %s ended at once: its disk is gone",
		     status_device(status));
	return EXIT_CODE_FAILURE;
}

static int finish(const struct making *making, struct daemon *daemon, const json_t *status)
{
	int exit_code = EXIT_CODE_OK;

	if (making->wanted->config.foreground)
		exit_code = foreground_run(daemon, making->interrupt_fd, status_device(status));
	daemon_release(daemon);
	return exit_code;
}

/* --- the way ---------------------------------------------------------------------------------------------- */

/* What keeps others from making the same, until the disk is there to stay, or will not be. */
struct locks {
	int runtime_fd; /* -1 without --idempotent */
	int name_fd;	/* -1 without --name */
	char name_file[DISK_NAME_BYTES_MAX + 8];
};

static void locks_let_go(struct locks *locks)
{
	runtime_lock_remove(locks->name_file, locks->name_fd);
	close(locks->runtime_fd);
	locks->name_fd = locks->runtime_fd = -1;
}

/* Lets go of the locks. */
static int make_disk(const struct making *making, struct locks *locks)
{
	struct ready_reader reader = {
		.verb = making->verb,
		.verbose = making->wanted->common.verbose,
		.interrupt_fd = making->interrupt_fd,
		.connect_timeout_ms = making->wanted->config.connect_timeout_ms,
		.tries_again = making->tries_again,
		.said = making->said,
	};
	struct daemon daemon;
	json_t *status = NULL;
	char error[5000];
	int exit_code;
	bool ended;

	if (daemon_start(&making->wanted->config, &daemon, error, sizeof(error))) {
		output_error(making->verb, "%s", error);
		locks_let_go(locks);
		return EXIT_CODE_SYSTEM;
	}
	reader.daemon = &daemon;
	exit_code = (int)ready_reader_run(&reader, &status, &ended);
	if (exit_code == EXIT_CODE_OK) {
		ended = false; /* it serves the disk until it is told to end */
		exit_code = await_links(making, status);
	}
	if (exit_code == EXIT_CODE_OK)
		exit_code = hand_over(making, &daemon, status);
	if (exit_code != EXIT_CODE_OK)
		exit_code = give_up(making, &daemon, exit_code, ended);
	locks_let_go(locks);
	if (exit_code == EXIT_CODE_OK)
		exit_code = finish(making, &daemon, status);
	json_decref(status);
	return exit_code;
}

/* --- --name ------------------------------------------------------------------------------------------------ */

static int name_is_taken(const char *verb, const char *name, uint32_t number)
{
	struct disk_record record;
	char error[400], target[400] = "";

	if (!disk_record_load(number, &record, error, sizeof(error))) {
		target_describe(&record.config.target, record.config.command, target,
				sizeof(target));
		disk_record_clear(&record);
	}
	output_error(verb,
		     "the name '%s' is taken: /dev/ublkb%u has it, or that link, for %s; choose "
		     "another, or "
		     "disconnect that disk first",
		     name, number, target[0] ? target : "another disk");
	return EXIT_CODE_BUSY;
}

static int name_lock_failed(const char *verb, const char *name, int error)
{
	if (error == -EINTR)
		return EXIT_CODE_INTERRUPTED;
	if (error != -ETIMEDOUT) {
		output_error(verb, "the name '%s' cannot be reserved in %s/state: %s", name,
			     runtime_dir_path(), strerror(-error));
		return EXIT_CODE_FAILURE;
	}
	output_error(
		verb,
		"the name '%s' is taken: another connect has been making its disk for %d s; choose "
		"another, or try again once it has ended",
		name, RUNTIME_LOCK_TIMEOUT_MS / 1000);
	return EXIT_CODE_BUSY;
}

/* Names that collide are not reserved at the same time either: they have one stem. */
static int name_lock(const struct making *making, struct locks *locks)
{
	const char *name = making->wanted->config.name;
	uint32_t number;
	int error;

	snprintf(locks->name_file, sizeof(locks->name_file), "%.*s.name",
		 (int)disk_name_stem_bytes(name), name);
	locks->name_fd =
		runtime_lock_take(locks->name_file, making->interrupt_fd, RUNTIME_LOCK_TIMEOUT_MS);
	if (locks->name_fd < 0)
		return name_lock_failed(making->verb, name, locks->name_fd);
	error = device_find_named(name, true, &number);
	if (error == -ENOENT)
		return EXIT_CODE_OK;
	return error ? name_lock_failed(making->verb, name, error)
		     : name_is_taken(making->verb, name, number);
}

/* As make_disk(), once no other disk has the name, and while no other can get it: the disk's record has it before
 * the daemon says that it is usable. */
static int make_named(const struct making *making, int runtime_fd)
{
	struct locks locks = { .runtime_fd = runtime_fd, .name_fd = -1 };
	int exit_code = EXIT_CODE_OK;

	if (making->wanted->config.name[0])
		exit_code = name_lock(making, &locks);
	if (exit_code == EXIT_CODE_OK)
		return make_disk(making, &locks);
	locks_let_go(&locks);
	return exit_code;
}

static int make_or_find(const struct making *making)
{
	int lock_fd =
		runtime_lock_take(RUNTIME_LOCK_NAME, making->interrupt_fd, RUNTIME_LOCK_TIMEOUT_MS);
	json_t *status;
	int exit_code;

	if (lock_fd < 0)
		return lock_failed(making->verb, lock_fd);
	status = await_server(making);
	if (!status)
		return make_named(making, lock_fd);
	exit_code = state_is_usable(status) ? tell_device(making, status, true)
					    : refuse_second(making->verb, status);
	json_decref(status);
	close(lock_fd);
	return exit_code;
}

/* --- --retry-for ------------------------------------------------------------------------------------------- */

/* +-25 %, so that many machines that boot at once do not come at the same moment. false: interrupted. */
static bool retry_pause(const struct making *making, uint32_t pace_ms)
{
	int64_t until_ms = clock_now_ms() + pace_ms - pace_ms / 4 + random() % (pace_ms / 2 + 1);
	struct pollfd fd = { .fd = making->interrupt_fd, .events = POLLIN };
	int64_t left_ms;

	while ((left_ms = until_ms - clock_now_ms()) > 0)
		if (poll(&fd, 1, (int)left_ms) > 0 && interrupt_take(making->interrupt_fd))
			return false;
	return true;
}

static int make(const struct making *making)
{
	return making->wanted->idempotent ? make_or_find(making) : make_named(making, -1);
}

int connect_disk(const struct connect_options *wanted, int interrupt_fd,
		 struct connect_result *result)
{
	struct making making = {
		.wanted = wanted,
		.verb = wanted->common.verb,
		.interrupt_fd = interrupt_fd,
		.result = result,
	};

	int64_t until_ms = clock_now_ms() + wanted->retry_for_ms;
	uint32_t pace_ms = RETRY_FIRST_MS;

	srandom((unsigned int)(clock_now_ms() ^ getpid()));
	for (;;) {
		int exit_code;

		/* The last attempt is the one that fails after the time. */
		making.tries_again = clock_now_ms() < until_ms;
		exit_code = make(&making);
		if (exit_code != EXIT_CODE_UNREACHABLE || !making.tries_again)
			return exit_code;
		making.said = true;
		if (!retry_pause(&making, pace_ms))
			return EXIT_CODE_INTERRUPTED;
		pace_ms = pace_ms < RETRY_MOST_MS / 2 ? 2 * pace_ms : RETRY_MOST_MS;
	}
}
