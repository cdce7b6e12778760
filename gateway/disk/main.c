/* SPDX-License-Identifier: MIT */
/*
 * main.c - ublk-nbd-disk, the daemon of one disk. Started by `ublk-nbd connect`, which hands over
 * the configuration and listens for the outcome; not meant to be called by people.
 *
 *   ublk-nbd-disk --config-fd=N --ready-fd=N --identity=TAG [--journal]
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/common/dial_task.h"
#include "gateway/common/log.h"
#include "gateway/common/runtime_dir.h"
#include "gateway/common/server_tag.h"
#include "gateway/common/strays.h"
#include "gateway/common/tls_library.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/link.h"
#include "gateway/disk/mounts.h"
#include "gateway/disk/process.h"
#include "gateway/disk/ready.h"
#include "gateway/disk/serve.h"

/* Nothing waits for us any more but our parent, for our end. */
#define LOG_CLOSE_MS 500

struct arguments {
	int config_fd;
	int ready_fd;
	uint64_t tag; /* server_tag.h */
	bool journal;
};

static bool parse_fd(const char *text, int *fd)
{
	char *end;
	long n = strtol(text, &end, 10);

	*fd = (int)n;
	return *text && !*end && n > STDERR_FILENO && n < 1024;
}

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{ "config-fd", required_argument, NULL, 'c' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "identity", required_argument, NULL, 'i' },
		{ "journal", no_argument, NULL, 'j' },
		{ 0 },
	};
	int option;
	bool good = true, named = false;

	arguments->config_fd = -1;
	arguments->ready_fd = -1;
	arguments->journal = false;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'c')
			good &= parse_fd(optarg, &arguments->config_fd);
		else if (option == 'r')
			good &= parse_fd(optarg, &arguments->ready_fd);
		else if (option == 'i')
			good &= named = server_tag_parse(optarg, &arguments->tag);
		else if (option == 'j')
			arguments->journal = true;
		else
			good = false;
	}
	if (good && named && optind == argc && arguments->config_fd >= 0)
		return true;
	fprintf(stderr, "usage: ublk-nbd-disk --config-fd=N [--ready-fd=N] --identity=TAG "
			"[--journal]\n"
			"This is a disk's daemon; `ublk-nbd connect` starts it.\n");
	return false;
}

/* jansson's own way asks the kernel for each byte. */
static size_t read_some(void *buffer, size_t bytes, void *context)
{
	const int *fd = context;
	ssize_t n = read(*fd, buffer, bytes);

	return n < 0 ? (size_t)-1 : (size_t)n;
}

static bool read_config(int fd, struct disk *disk)
{
	json_error_t error;
	char sentence[512];
	json_t *object = json_load_callback(read_some, &fd, JSON_REJECT_DUPLICATES, &error);
	int ret;

	close(fd);
	if (!object)
		return disk_fail(disk, EXIT_CODE_USAGE, "the configuration is not JSON: %s",
				 error.text);
	ret = disk_config_from_json(&disk->config, object, sentence, sizeof(sentence));
	json_decref(object);
	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_USAGE, "%s", sentence);
	if (disk->config.target.tls && !tls_library_load(sentence))
		return disk_fail(disk, EXIT_CODE_TLS, "%s", sentence);
	return true;
}

static bool open_signals(struct disk *disk)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP); /* a terminal that closes is no reason to end */
	sigprocmask(SIG_BLOCK, &signals, NULL);
	strays_ignore();
	disk->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (disk->signal_fd < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "signalfd: %s", strerror(errno));
	disk->link_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (disk->link_fd < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "eventfd: %s", strerror(errno));
	return true;
}

static bool prepare_runtime_dir(struct disk *disk)
{
	char sentence[512];

	if (runtime_dir_prepare(sentence, sizeof(sentence)) < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "%s", sentence);
	return true;
}

/* The disk works: tell whoever waits, and serve until it is to end. */
static void serve_live(struct disk *disk, struct serve *serve)
{
	assert(disk->queues);
	if (link_settle(disk) == 0) {
		disk_announce(disk->info.dev_id);
		disk_wait_link(disk);
	}
	disk_write_state_file(disk);
	process_confine(&disk->config);
	log_info("%s: %llu bytes, %u queue%s of %u, %s, from %s", disk->device_path,
		 (unsigned long long)disk->geometry.size_bytes, disk->queues_count,
		 disk->queues_count == 1 ? "" : "s", disk->info.queue_depth,
		 disk->queues[0].backend->payload->ops->name, disk->peer_text);
	ready_done(disk);
	serve_run(serve);
}

static enum exit_code run(struct disk *disk)
{
	struct serve serve = { .disk = disk };

	if (!open_signals(disk) || !prepare_runtime_dir(disk) || !disk_start(disk) ||
	    !serve_open(&serve, disk)) {
		disk_remove(disk);
		ready_failed(disk);
		return disk->exit_code;
	}
	serve_live(disk, &serve);
	disk_remove(disk);
	serve_close(&serve);
	if (disk->flush_errno) {
		log_error("flushing on the way out failed: %s: what was written last may be lost",
			  disk->flush_why);
		return EXIT_CODE_DATA;
	}
	return disk->exit_code;
}

/* The log's process reads no file: it needs none of the mounts of whoever started us. */
static void leave_mounts(void)
{
	mounts_leave((const char *const[]){ NULL });
}

int main(int argc, char **argv)
{
	static struct disk disk = { .ready_fd = -1, .char_fd = -1, .link_fd = -1 };
	struct arguments arguments;
	enum exit_code exit_code;
	int ret;

	if (!parse_arguments(argc, argv, &arguments))
		return EXIT_CODE_USAGE;
	disk_config_init(&disk.config);
	disk.tag = arguments.tag;
	disk.ready_fd = arguments.ready_fd;
	disk.activation.minder_fd = -1;
	disk.attendant.fd = -1;
	log_open("ublk-nbd-disk", false, arguments.journal);
	ret = log_detach(leave_mounts);
	if (ret < 0)
		log_warning(
			"no process to write the log: %s: threads that log may have to wait for it",
			strerror(-ret));
	if (!read_config(arguments.config_fd, &disk)) {
		ready_failed(&disk);
		log_close(LOG_CLOSE_MS);
		return disk.exit_code;
	}
	log_open("ublk-nbd-disk", disk.config.verbose, arguments.journal);
	exit_code = run(&disk);
	log_close(LOG_CLOSE_MS);
	close(disk.signal_fd);
	disk_config_clear(&disk.config);
	if (dial_task_any_runs()) { /* abandoned: it is not to find the libraries taken down */
		fflush(NULL);
		_exit(exit_code);
	}
	return exit_code;
}
