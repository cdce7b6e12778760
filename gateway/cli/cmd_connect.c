/* SPDX-License-Identifier: MIT */
/*
 * cmd_connect.c - from a command line to a device that can be used:
 *   options -> driver, and all that doctor looks at -> (--idempotent: lock, look for an equal disk) -> daemon ->
 *   its ready conversation -> the path on stdout.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/connect_options.h"
#include "gateway/cli/control_client.h"
#include "gateway/cli/daemon.h"
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

#define VERB "connect"

/* --- before ----------------------------------------------------------------------------------------------- */

/* What doctor says of this machine is what connect says, and nothing is begun that would fail by it. */
static int prepare(void)
{
	char sentence[2000];
	struct checks checks;

	if (driver_permitted() && driver_load(sentence, sizeof(sentence))) {
		output_error(VERB, "ublk driver: %s", sentence);
		return EXIT_CODE_SYSTEM;
	}
	checks_init_quiet(&checks);
	doctor_machine(&checks);
	checks_clear(&checks);
	if (checks.failures) {
		output_error(VERB, "%s", checks.first);
		return (int)checks.exit_code;
	}
	if (!runtime_dir_prepare(sentence, sizeof(sentence)))
		return EXIT_CODE_OK;
	output_error(VERB, "%s", sentence);
	return EXIT_CODE_SYSTEM;
}

/* --- --idempotent ----------------------------------------------------------------------------------------- */

/* The status of disk number, if it is live and what was asked for; else NULL. */
static json_t *status_if_equal(const struct disk_config *config, uint32_t number)
{
	struct disk_record record;
	json_t *status = NULL;
	uint64_t tag;
	char error[400];
	bool same;

	if (config->device >= 0 && (uint32_t)config->device != number)
		return NULL;
	if (disk_record_load(number, &record, error, sizeof(error)))
		return NULL;
	same = disk_config_same_disk(config, &record.config);
	tag = record.tag;
	disk_record_clear(&record);
	if (!same || control_client_status(number, tag, CONTROL_ALIVE_TIMEOUT_MS, &status))
		return NULL;
	if (!strcmp(disk_state_word(status), "live"))
		return status;
	json_decref(status);
	return NULL;
}

static json_t *status_of_equal(const struct disk_config *config)
{
	uint32_t *numbers = NULL;
	size_t count = 0;
	json_t *status = NULL;

	if (disks_list(&numbers, &count))
		return NULL;
	for (size_t i = 0; i < count && !status; i++)
		status = status_if_equal(config, numbers[i]);
	free(numbers);
	return status;
}

static int lock_failed(int error)
{
	if (error == -EINTR)
		return EXIT_CODE_INTERRUPTED;
	if (error == -ETIMEDOUT)
		output_error(VERB,
			     "another 'connect --idempotent' has been at work for %d s: try again "
			     "once it has ended",
			     RUNTIME_LOCK_TIMEOUT_MS / 1000);
	else
		output_error(VERB, "%s/state/lock cannot be taken: %s", runtime_dir_path(),
			     strerror(-error));
	return EXIT_CODE_FAILURE;
}

/* --- after ------------------------------------------------------------------------------------------------ */

static const char *status_device(const json_t *status)
{
	const char *device = json_string_value(json_object_get(status, "device"));

	return device ? device : "?";
}

static int print_device(const struct connect_options *wanted, const json_t *status)
{
	if (wanted->common.json)
		return output_json(VERB, json_deep_copy(status));
	puts(status_device(status));
	return output_finish(VERB);
}

/* Takes the daemon down where it will not end by itself. */
static int give_up(struct daemon *daemon, int exit_code, bool ended)
{
	/* Closing the conversation tells it as well. */
	close(daemon->ready_fd);
	if (exit_code == EXIT_CODE_INTERRUPTED)
		output_error(VERB, "interrupted: what was made is removed again");
	if (!ended || process_wait(daemon->pidfd, DAEMON_END_MS))
		daemon_end(daemon);
	else
		daemon_reap(daemon);
	close(daemon->pidfd);
	return exit_code;
}

/* The disk is usable, and may still be taken down: nobody has been told of it. */
static int await_links(const json_t *status, int interrupt_fd)
{
	int ret = udev_wait_links(status_device(status), UDEV_WAIT_MS, interrupt_fd);

	if (ret == -EINTR)
		return EXIT_CODE_INTERRUPTED;
	if (ret == -ETIMEDOUT)
		output_warning(VERB, "udev did not handle %s within %d s: its links may come later",
			       status_device(status), UDEV_WAIT_MS / 1000);
	return EXIT_CODE_OK;
}

static int finish(const struct connect_options *wanted, struct daemon *daemon, int interrupt_fd,
		  const json_t *status)
{
	int exit_code = print_device(wanted, status);

	if (wanted->config.foreground)
		exit_code = foreground_run(daemon, interrupt_fd, status_device(status));
	daemon_release(daemon);
	return exit_code;
}

/* --- the way ---------------------------------------------------------------------------------------------- */

/* lock_fd is let go of as soon as the disk is there, or will not be; -1 without --idempotent. */
static int make_disk(const struct connect_options *wanted, int interrupt_fd, int lock_fd)
{
	struct ready_reader reader = {
		.verb = VERB,
		.verbose = wanted->common.verbose,
		.interrupt_fd = interrupt_fd,
		.connect_timeout_ms = wanted->config.connect_timeout_ms,
	};
	struct daemon daemon;
	json_t *status = NULL;
	char error[5000];
	int exit_code;
	bool ended;

	if (daemon_start(&wanted->config, &daemon, error, sizeof(error))) {
		output_error(VERB, "%s", error);
		close(lock_fd);
		return EXIT_CODE_SYSTEM;
	}
	reader.daemon = &daemon;
	exit_code = (int)ready_reader_run(&reader, &status, &ended);
	if (exit_code == EXIT_CODE_OK) {
		ended = false; /* it serves the disk until it is told to end */
		exit_code = await_links(status, interrupt_fd);
	}
	if (exit_code != EXIT_CODE_OK)
		exit_code = give_up(&daemon, exit_code, ended);
	close(lock_fd);
	if (exit_code == EXIT_CODE_OK)
		exit_code = finish(wanted, &daemon, interrupt_fd, status);
	json_decref(status);
	return exit_code;
}

static int connect_idempotent(const struct connect_options *wanted, int interrupt_fd)
{
	int lock_fd = runtime_lock_take(interrupt_fd, RUNTIME_LOCK_TIMEOUT_MS);
	json_t *status;
	int exit_code;

	if (lock_fd < 0)
		return lock_failed(lock_fd);
	status = status_of_equal(&wanted->config);
	if (!status)
		return make_disk(wanted, interrupt_fd, lock_fd);
	exit_code = print_device(wanted, status);
	json_decref(status);
	close(lock_fd);
	return exit_code;
}

int cmd_connect(int argc, char **argv)
{
	struct connect_options wanted;
	int interrupt_fd, exit_code;

	if (connect_options_read(&wanted, argc, argv) == OPTION_EXIT)
		return wanted.common.exit_code;
	exit_code = prepare();
	interrupt_fd = interrupt_open();
	if (exit_code == EXIT_CODE_OK && interrupt_fd < 0) {
		output_error(VERB, "signals cannot be waited for: %s", strerror(-interrupt_fd));
		exit_code = EXIT_CODE_SYSTEM;
	}
	if (exit_code == EXIT_CODE_OK)
		exit_code = wanted.idempotent ? connect_idempotent(&wanted, interrupt_fd)
					      : make_disk(&wanted, interrupt_fd, -1);
	connect_options_clear(&wanted);
	return exit_code;
}
