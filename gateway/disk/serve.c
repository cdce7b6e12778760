/* SPDX-License-Identifier: MIT */
/*
 * serve.c - the main thread of a live disk: signals and the control socket's verbs, and the watch
 * over queues that end by themselves. No I/O passes here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/common/swap.h"
#include "gateway/disk/control_server.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/ready.h"
#include "gateway/disk/reconnect_status.h"
#include "gateway/disk/serve.h"
#include "gateway/disk/settings.h"
#include "gateway/disk/status.h"
#include "tls/clock.h"

#define IDLE_POLL_MS 1000
/* Queues tell nobody that they have replaced their connections. */
#define HANDOVER_POLL_MS 20
/* A turn that ends so much later than its wait means that this thread did not run. */
#define LATE_MS 1000

/* Fixed places in the poll set; the control server's entries follow, then the queues'. */
enum {
	POLL_SIGNAL,
	POLL_ATTENDANT,
	POLL_RESIZE,
	POLL_SERVER,
	POLL_READY,
	POLL_SWAPS,
	POLL_LINK,
	POLL_DIAL,
	POLL_FIXED
};

static void take_signals(struct serve *serve)
{
	struct signalfd_siginfo info;

	while (read(serve->disk->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			stopping_signal(serve);
}

static json_t *build_status(struct serve *serve)
{
	json_t *status = status_build(serve->disk);

	if (status)
		reconnect_status_add(&serve->reconnect, status);
	return status;
}

static void take_reconnect(struct serve *serve, control_client_id client, bool accept_loss)
{
	reconnect_now(&serve->reconnect, accept_loss);
	control_server_reply(serve->disk->control_server, client, json_pack("{s:b}", "ok", 1));
}

static void take_request(void *context, control_client_id client, const char *verb,
			 const json_t *request)
{
	struct serve *serve = context;
	struct control_server *server = serve->disk->control_server;

	if (!strcmp(verb, "status"))
		control_server_reply(
			server, client,
			json_pack("{s:b, s:o}", "ok", 1, "status", build_status(serve)));
	else if (!strcmp(verb, "disconnect"))
		stopping_begin(serve, json_is_true(json_object_get(request, "force")), client);
	else if (!strcmp(verb, "resize"))
		resize_begin(serve, client);
	else if (!strcmp(verb, "set"))
		settings_take(serve->disk, &serve->reconnect, client, request);
	else if (!strcmp(verb, "reconnect"))
		take_reconnect(serve, client,
			       json_is_true(json_object_get(request, "accept_loss")));
	else
		control_server_reply_error(server, client, EOPNOTSUPP, EXIT_CODE_USAGE,
					   "unknown verb: the daemon may be of another version");
}

static void check_attendant(struct serve *serve)
{
	if (serve->disk->stopper_running)
		stopping_answered(serve);
	else
		stopping_attendant_ended(serve);
}

/* A queue that ended without having been stopped: without it the device cannot go on. */
static void check_queues(struct serve *serve)
{
	struct disk *disk = serve->disk;

	for (uint32_t i = 0; i < disk->queues_count; i++) {
		int failure = atomic_load(&disk->queues[i].failure);

		if (!failure || serve->failure_seen || disk->state == DISK_STOPPING ||
		    disk->stopped)
			continue;
		serve->failure_seen = true;
		disk_queue_failed(disk, i, failure);
		log_error("%s: the disk ends", disk->sentence);
		stopping_begin(serve, true, 0);
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

/*
 * The disk became swap, or is none any more. While it is swap its queues run with real-time priority: the
 * kernel lets such a thread have a part of the memory that it holds back, and sending takes memory. In
 * reclaim everybody else waits for what these threads send.
 */
static void check_swap(struct disk *disk)
{
	bool is = swap_is_on("", disk->device_path + strlen("/dev/"));
	int error = 0;

	if (is == disk->is_swap)
		return;
	disk->is_swap = is;
	for (uint32_t i = 0; i < disk->queues_count; i++) {
		int ret = queue_hurry(&disk->queues[i], is);

		error = ret < 0 ? -ret : error;
	}
	if (!is)
		log_info("the disk is not swap any more");
	else if (error)
		log_warning("the disk is swap now, but its queues get no real-time priority: %s: "
			    "short of memory, the machine may stand still; see SWAP in ublk-nbd(1)",
			    strerror(error));
	else
		log_warning("the disk is swap now: short of memory, the machine may stand still; "
			    "see SWAP in ublk-nbd(1)");
}

/* What a queue has to say stands in its failure and state; it only has to be heard once. */
static void take_reports(struct disk *disk, const struct pollfd *fds)
{
	uint64_t count;

	for (uint32_t i = 0; i < disk->queues_count; i++)
		if (fds[i].revents && read(disk->queues[i].report_fd, &count, sizeof(count)) < 0)
			log_debug("queue %u: its report: %s", i, strerror(errno));
}

static uint32_t fill(struct serve *serve, struct pollfd *fds)
{
	struct disk *disk = serve->disk;
	uint32_t count = POLL_FIXED;

	fds[POLL_SIGNAL] = (struct pollfd){ .fd = disk->signal_fd, .events = POLLIN };
	fds[POLL_ATTENDANT] = (struct pollfd){ .fd = disk->attendant.fd, .events = POLLIN };
	fds[POLL_RESIZE] =
		(struct pollfd){ .fd = serve->resize_task ? dial_task_fd(serve->resize_task) : -1,
				 .events = POLLIN };
	fds[POLL_SERVER] = (struct pollfd){ .fd = disk->activation.pid > 0 && !serve->server_gone
							  ? disk->activation.minder_fd
							  : -1,
					    .events = POLLIN };
	fds[POLL_READY] = (struct pollfd){ .fd = disk->ready_fd, .events = POLLIN };
	fds[POLL_SWAPS] = (struct pollfd){ .fd = serve->swaps_fd, .events = POLLPRI };
	fds[POLL_LINK] = (struct pollfd){ .fd = disk->link_fd, .events = POLLIN };
	fds[POLL_DIAL] = (struct pollfd){ .fd = reconnect_fd(&serve->reconnect), .events = POLLIN };
	count += control_server_poll_fill(disk->control_server, fds + count);
	for (uint32_t i = 0; i < disk->queues_count; i++)
		fds[count++] = (struct pollfd){ .fd = disk->queues[i].report_fd, .events = POLLIN };
	return count;
}

/* Reads the clock; a turn that was to end within wait_ms (-1: at any time) and did not moves deadlines. */
static void note_time(struct serve *serve, int wait_ms)
{
	int64_t before_ms = serve->now_ms;

	serve->now_ms = clock_now_ms();
	if (wait_ms < 0 || serve->now_ms - before_ms - wait_ms < LATE_MS)
		return;
	stopping_forgive(serve, serve->now_ms - before_ms - wait_ms);
	control_server_forgive(serve->disk->control_server, serve->now_ms - before_ms - wait_ms);
}

/* Whether lost connections may be dialled again. */
static bool may_reconnect(const struct serve *serve)
{
	return !serve->resize_task && !serve->resize_handed_over && !serve->disk->stopped &&
	       !(serve->disk->stopper_running && serve->stop_hurried);
}

/* How long this thread may sleep. Without clients, a stop or a resize there is no deadline to keep. */
static int sleep_ms(const struct serve *serve, bool clients)
{
	const struct disk *disk = serve->disk;
	int wait_ms = may_reconnect(serve) ? reconnect_wait_ms(&serve->reconnect) : -1;

	if (control_server_has_lines(disk->control_server))
		return 0;
	if (serve->resize_handed_over)
		return HANDOVER_POLL_MS;
	if (wait_ms < 0 &&
	    (clients || disk->stopper_running || disk->stopped || serve->resize_task))
		wait_ms = IDLE_POLL_MS;
	return wait_ms;
}

static void turn(struct serve *serve)
{
	struct disk *disk = serve->disk;
	struct pollfd fds[POLL_FIXED + CONTROL_POLLFDS_MAX + DISK_CONNECTIONS_MAX];
	bool clients = control_server_expire(disk->control_server,
					     serve->now_ms); /* first: it closes some */
	uint32_t count = fill(serve, fds);
	int wait_ms = sleep_ms(serve, clients);

	if (poll(fds, count, wait_ms) < 0)
		return;
	note_time(serve, wait_ms);
	if (fds[POLL_SIGNAL].revents)
		take_signals(serve);
	if (fds[POLL_ATTENDANT].revents && fds[POLL_ATTENDANT].fd == disk->attendant.fd)
		check_attendant(serve);
	if (serve->resize_task && fds[POLL_RESIZE].revents)
		resize_finish(serve);
	if (fds[POLL_READY].revents && !ready_was_taken(disk))
		stopping_untaken(serve);
	resize_look(serve);
	reconnect_look(&serve->reconnect, serve->now_ms, may_reconnect(serve));
	check_server(serve, &fds[POLL_SERVER]);
	if (fds[POLL_SWAPS].revents)
		check_swap(disk);
	control_server_poll_take(disk->control_server, fds + POLL_FIXED, count - POLL_FIXED);
	take_reports(disk, fds + count - disk->queues_count);
	check_queues(serve);
	check_stopped_by_others(serve);
	stopping_look(serve);
}

bool serve_open(struct serve *serve, struct disk *disk)
{
	int ret;

	memset(serve, 0, sizeof(*serve));
	serve->disk = disk;
	serve->now_ms = clock_now_ms();
	serve->swaps_fd = open(SWAPS_PATH, O_RDONLY | O_CLOEXEC);
	ret = control_server_open(&disk->control_server, disk->info.dev_id, take_request, serve);
	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "cannot listen on the control socket: %s",
				 strerror(-ret));
	reconnect_open(&serve->reconnect, disk);
	return true;
}

void serve_run(struct serve *serve)
{
	if (serve->disk->stop_requested) /* the last waits before were cut short */
		stopping_untaken(serve);
	while (!stopping_is_over(serve))
		turn(serve);
	resize_abandon(serve);
	reconnect_close(&serve->reconnect);
	if (serve->swaps_fd >= 0)
		close(serve->swaps_fd);
	serve->swaps_fd = -1;
	control_server_stop_listening(serve->disk->control_server);
}

void serve_close(struct serve *serve)
{
	struct disk *disk = serve->disk;

	if (!disk->control_server)
		return;
	stopping_over(serve);
	control_server_close(disk->control_server, 2000);
	disk->control_server = NULL;
}
