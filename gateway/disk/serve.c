/* SPDX-License-Identifier: MIT */
/*
 * serve.c - the main thread of a live disk: signals and the control socket's verbs, and the watch
 * over queues that end by themselves. No I/O passes here.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/control_server.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/serve.h"
#include "gateway/disk/status.h"

#define TERM_AGAIN_MS 5000
/* How long a forced stop lets the server answer before its connections are condemned. */
#define FORCED_STOP_MS 5000
/* So often the deadline may pass with nothing left that waits for the server: then it is the driver that
 * keeps a request, and only the end of this process makes it let go. */
#define STOP_OVERDUE_MAX 6
/* Beyond the longest a flush may take (queue.c), for an unforced stop. */
#define STOP_GRACE_MS 5000
#define IDLE_POLL_MS  1000
/* Queues tell nobody that they have replaced their connections. */
#define HANDOVER_POLL_MS 20

/* Fixed places in the poll set; the control server's entries follow, then the queues'. */
enum { POLL_SIGNAL, POLL_STOPPER, POLL_RESIZE, POLL_SERVER, POLL_FIXED };

static void reply_busy(struct serve *serve, control_client_id client)
{
	char sentence[200];

	snprintf(sentence, sizeof(sentence),
		 "%s is in use: unmount it (or end what holds it), or use --force, which fails its "
		 "users' I/O",
		 serve->disk->device_path);
	control_server_reply_error(serve->disk->control_server, client, EBUSY, EXIT_CODE_BUSY,
				   sentence);
}

static void force_stop(struct serve *serve)
{
	for (uint32_t i = 0; i < serve->disk->queues_count; i++)
		queue_request(&serve->disk->queues[i], QUEUE_REQUEST_CONDEMN);
}

static int64_t gentle_patience_ms(const struct disk *disk)
{
	return 4 * (int64_t)disk->config.timeout_ms + STOP_GRACE_MS;
}

static uint64_t written_bytes(const struct disk *disk)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < disk->queues_count; i++)
		sum += stats_read(&disk->queues[i].stats.write_bytes);
	return sum;
}

/* client: whom to tell; 0 for a signal. */
static void begin_stop(struct serve *serve, bool force, control_client_id client)
{
	struct disk *disk = serve->disk;
	int64_t deadline_ms = dial_now_ms() + (force ? FORCED_STOP_MS : gentle_patience_ms(disk));
	int ret;

	if (disk->state == DISK_STOPPING) {
		if (client && serve->stop_client)
			control_server_reply_error(disk->control_server, client, EALREADY,
						   EXIT_CODE_BUSY, "the disk is stopping already");
		else if (client)
			serve->stop_client = client;
		serve->stop_forced |= force;
		if (force && deadline_ms < serve->stop_deadline_ms)
			serve->stop_deadline_ms = deadline_ms;
		return;
	}
	ret = stopper_start(disk, force);
	if (ret < 0) {
		control_server_reply_error(disk->control_server, client, -ret, EXIT_CODE_SYSTEM,
					   "the daemon's attendant process is gone: end the daemon "
					   "by kill -9, then disconnect again");
		return;
	}
	serve->stop_client = client;
	serve->stop_forced = force;
	serve->stop_overdue = 0;
	serve->stop_deadline_ms = deadline_ms;
	serve->stop_written_bytes = written_bytes(disk);
}

/* What waits for the server when the deadline comes fails. Unforced, that is not done as long as the
 * server takes what the kernel still had to write: each request of that has its own deadline. */
static void check_stop_deadline(struct serve *serve)
{
	struct disk *disk = serve->disk;
	uint64_t now_written_bytes = written_bytes(disk);

	if (!disk->stopper_running || dial_now_ms() < serve->stop_deadline_ms)
		return;
	if (!serve->stop_forced && now_written_bytes != serve->stop_written_bytes) {
		serve->stop_written_bytes = now_written_bytes;
		serve->stop_deadline_ms = dial_now_ms() + gentle_patience_ms(disk);
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
	serve->stop_deadline_ms = dial_now_ms() + FORCED_STOP_MS;
}

static void stop_finished(struct serve *serve)
{
	struct disk *disk = serve->disk;
	control_client_id client = serve->stop_client;
	int ret = stopper_finish(disk);

	if (ret == 0)
		return;
	serve->stop_client = 0;
	if (ret != -EBUSY) {
		log_error("the driver does not stop the device: %s", strerror(-ret));
		control_server_reply_error(disk->control_server, client, -ret, EXIT_CODE_SYSTEM,
					   "the driver does not stop the device");
	} else if (serve->stop_forced) { /* asked for while the gentle stop was under way */
		begin_stop(serve, true, client);
	} else if (client) {
		reply_busy(serve, client);
	} else {
		log_warning("asked to end while the disk is in use: it goes on; unmount it first, "
			    "or send SIGTERM again within %d s to end it by force",
			    TERM_AGAIN_MS / 1000);
	}
}

static void take_signals(struct serve *serve)
{
	struct signalfd_siginfo info;

	while (read(serve->disk->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int64_t now_ms = dial_now_ms();
		bool again = serve->last_term_ms && now_ms - serve->last_term_ms < TERM_AGAIN_MS;

		if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
			continue;
		serve->last_term_ms = now_ms;
		begin_stop(serve, again, 0);
	}
}

static void take_request(void *context, control_client_id client, const char *verb,
			 const json_t *request)
{
	struct serve *serve = context;
	struct control_server *server = serve->disk->control_server;

	if (!strcmp(verb, "status"))
		control_server_reply(
			server, client,
			json_pack("{s:b, s:o}", "ok", 1, "status", status_build(serve->disk)));
	else if (!strcmp(verb, "disconnect"))
		begin_stop(serve, json_is_true(json_object_get(request, "force")), client);
	else if (!strcmp(verb, "resize"))
		resize_begin(serve, client);
	else
		control_server_reply_error(server, client, EOPNOTSUPP, EXIT_CODE_USAGE,
					   "unknown verb: the daemon may be of another version");
}

/* A queue that ended without having been stopped: without it the device cannot go on. */
static void check_queues(struct serve *serve)
{
	struct disk *disk = serve->disk;

	for (uint32_t i = 0; i < disk->queues_count; i++) {
		int failure = atomic_load(&disk->queues[i].failure);

		if (!failure || disk->state == DISK_STOPPING || disk->stopped)
			continue;
		disk_fail(disk, EXIT_CODE_SYSTEM, "queue %u failed: %s", i, strerror(failure));
		log_error("%s: the disk ends", disk->sentence);
		begin_stop(serve, true, 0);
		return;
	}
}

/* The kernel's side stopped the device (somebody else sent STOP_DEV): every queue has left. */
static void check_stopped_by_others(struct serve *serve)
{
	struct disk *disk = serve->disk;

	if (disk->state == DISK_STOPPING || disk->stopped)
		return;
	for (uint32_t i = 0; i < disk->queues_count; i++)
		if (atomic_load(&disk->queues[i].state) != QUEUE_DONE)
			return;
	log_warning("the device was stopped by somebody else");
	disk->stopped = true;
}

static void check_server(struct serve *serve, const struct pollfd *fd)
{
	char sentence[200];

	if (!fd->revents || serve->server_gone)
		return;
	serve->server_gone = true;
	if (activation_has_ended(&serve->disk->activation, sentence, sizeof(sentence)))
		log_error("%s", sentence);
}

static uint32_t fill(struct serve *serve, struct pollfd *fds)
{
	struct disk *disk = serve->disk;
	uint32_t count = POLL_FIXED;

	fds[POLL_SIGNAL] = (struct pollfd){ .fd = disk->signal_fd, .events = POLLIN };
	fds[POLL_STOPPER] = (struct pollfd){ .fd = disk->stopper_running ? disk->attendant.fd : -1,
					     .events = POLLIN };
	fds[POLL_RESIZE] =
		(struct pollfd){ .fd = serve->resize_task ? dial_task_fd(serve->resize_task) : -1,
				 .events = POLLIN };
	fds[POLL_SERVER] = (struct pollfd){ .fd = disk->activation.pid > 0 && !serve->server_gone
							  ? disk->activation.pidfd
							  : -1,
					    .events = POLLIN };
	count += control_server_poll_fill(disk->control_server, fds + count);
	for (uint32_t i = 0; i < disk->queues_count; i++)
		fds[count++] =
			(struct pollfd){ .fd = disk->stopper_running ? -1
								     : disk->queues[i].report_fd,
					 .events = POLLIN };
	return count;
}

static void turn(struct serve *serve)
{
	struct disk *disk = serve->disk;
	struct pollfd fds[POLL_FIXED + CONTROL_POLLFDS_MAX + DISK_CONNECTIONS_MAX];
	bool clients = control_server_expire(disk->control_server); /* first: it closes some */
	uint32_t count = fill(serve, fds);
	int wait_ms = -1;

	/* Without clients, a stop or a resize there is no deadline to keep: sleep for good. */
	if (clients || disk->stopper_running || serve->resize_task)
		wait_ms = IDLE_POLL_MS;
	if (serve->resize_handed_over)
		wait_ms = HANDOVER_POLL_MS;
	if (poll(fds, count, wait_ms) < 0)
		return;
	if (fds[POLL_SIGNAL].revents)
		take_signals(serve);
	if (disk->stopper_running && fds[POLL_STOPPER].revents)
		stop_finished(serve);
	if (serve->resize_task && fds[POLL_RESIZE].revents)
		resize_finish(serve);
	resize_look(serve);
	check_server(serve, &fds[POLL_SERVER]);
	control_server_poll_take(disk->control_server, fds + POLL_FIXED, count - POLL_FIXED);
	check_queues(serve);
	check_stopped_by_others(serve);
	check_stop_deadline(serve);
}

bool serve_open(struct serve *serve, struct disk *disk)
{
	int ret;

	memset(serve, 0, sizeof(*serve));
	serve->disk = disk;
	ret = control_server_open(&disk->control_server, disk->info.dev_id, take_request, serve);
	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "cannot listen on the control socket: %s",
				 strerror(-ret));
	return true;
}

void serve_run(struct serve *serve)
{
	while (!serve->disk->stopped)
		turn(serve);
	resize_abandon(serve);
	control_server_stop_listening(serve->disk->control_server);
}

void serve_close(struct serve *serve)
{
	struct disk *disk = serve->disk;
	char sentence[200];

	if (!disk->control_server)
		return;
	if (disk->flush_errno) {
		snprintf(sentence, sizeof(sentence),
			 "%s is gone, but flushing it failed (%s): what was written last may be "
			 "lost",
			 disk->device_path, strerror(disk->flush_errno));
		control_server_reply_error(disk->control_server, serve->stop_client,
					   disk->flush_errno, EXIT_CODE_DATA, sentence);
	} else if (disk->exit_code != EXIT_CODE_OK) {
		control_server_reply_error(disk->control_server, serve->stop_client, EIO,
					   disk->exit_code, disk->sentence);
	} else {
		control_server_reply(disk->control_server, serve->stop_client,
				     json_pack("{s:b, s:s}", "ok", 1, "flush",
					       disk->geometry.read_only ? "none" : "ok"));
	}
	control_server_close(disk->control_server, 2000);
	disk->control_server = NULL;
}
