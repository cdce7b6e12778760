/* SPDX-License-Identifier: MIT */
/*
 * start.c - from a configuration to a live disk: dial, negotiate, add, serve, start, settle.
 * Straight down; each step either succeeds or leaves a sentence, and disk_remove() undoes what
 * was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/device_limit.h"
#include "gateway/common/dial_task.h"
#include "gateway/common/log.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/link.h"
#include "gateway/disk/memory_room.h"
#include "gateway/disk/process.h"
#include "gateway/disk/ready.h"
#include "gateway/nbd/connection.h"
#include "tls/clock.h"

#define CHAR_NODE_WAIT_MS  5000
#define CHAR_NODE_PAUSE_MS 2
#define ATTEND_POLL_MS	   250
#define ATTEND_PROGRESS_MS 5000
/* After a dial's own deadline: for its thread to say so. */
#define DIAL_GRACE_MS 1000
/* A connection beside the first is optional. It may take twice as long as the first did, within these
 * bounds, and never longer than --connect-timeout. */
#define FURTHER_MS_MIN 2000
#define FURTHER_MS_MAX 5000
/* A server of our own that fails closes its socket a moment before it has ended. */
#define SERVER_END_MS 500
/* One part in so many of the available memory may be locked for a disk's buffers. */
#define BUDGET_SHARE 2

static uint32_t usable_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	return (uint32_t)CPU_COUNT(&cpus);
}

/* --- dialling ----------------------------------------------------------------------------------- */

static bool start_server(struct disk *disk)
{
	char sentence[512];
	int ret;

	if (!disk->config.command[0])
		return true;
	ret = activation_start(&disk->activation, disk->config.command, disk->tag, sentence,
			       sizeof(sentence));
	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_UNREACHABLE, "%s", sentence);
	activation_target(&disk->activation, &disk->config.target);
	return true;
}

bool disk_server_has_ended(struct disk *disk, char *sentence, size_t sentence_bytes)
{
	struct pollfd ended = { .fd = disk->activation.minder_fd, .events = POLLIN };
	char how[300];

	if (disk->activation.pid == 0 || poll(&ended, 1, SERVER_END_MS) <= 0 ||
	    !activation_has_ended(&disk->activation, how, sizeof(how)))
		return false;
	snprintf(sentence, sentence_bytes, "%s%s", how,
		 disk->config.foreground
			 ? ""
			 : ": its own words are in the journal, or in state/daemon.log of "
			   "the runtime directory");
	return true;
}

/* A server of our own that has ended says why in fewer words than the connection to it. */
static bool dial_failed(struct disk *disk, const struct dial_result *result)
{
	char sentence[400];

	if (result->exit_code == EXIT_CODE_UNREACHABLE &&
	    disk_server_has_ended(disk, sentence, sizeof(sentence)))
		return disk_fail(disk, EXIT_CODE_UNREACHABLE, "%s", sentence);
	return disk_fail(disk, result->exit_code, "%s", result->sentence);
}

/* --ktls=on, and what it did not get. */
static void warn_of_userspace(struct disk *disk, const struct tls_description *tls)
{
	if (tls->kernel_send && tls->kernel_receive)
		return;
	ready_warning(
		disk, "--ktls=on: the daemon itself %s: %s",
		tls->kernel_send      ? "decrypts"
		: tls->kernel_receive ? "encrypts"
				      : "encrypts and decrypts",
		strcmp(tls->version, "TLSv1.3")
			? "this kernel (its tls module), or OpenSSL, does not take this cipher"
			: "with TLS 1.3 the kernel's keys could not be renewed");
}

/* The first connection: which address answers, and what the server grants. */
static bool dial_first(struct disk *disk)
{
	struct dial_options options = {
		.target = &disk->config.target,
		.tls = &disk->config.tls,
		.goal = NBD_GOAL_GO,
		.no_structured = disk->config.no_structured,
		.timeout_ms = disk->config.connect_timeout_ms,
	};
	struct dial_result result;
	struct dial_task *task;
	int ret = dial_task_start(&options, &task);

	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "no thread to dial with: %s",
				 strerror(-ret));
	if (!disk_wait(disk, dial_task_fd(task),
		       clock_now_ms() + options.timeout_ms + DIAL_GRACE_MS)) {
		dial_task_abandon(task);
		if (disk->stop_requested)
			return disk_fail(disk, EXIT_CODE_INTERRUPTED, "interrupted while dialling");
		return disk_fail(disk, EXIT_CODE_UNREACHABLE,
				 "nothing came of dialling within %u ms: name lookup hangs?",
				 options.timeout_ms);
	}
	dial_task_take(task, &result);
	if (result.error)
		return dial_failed(disk, &result);
	disk->export = result.export;
	disk->peer = result.peer;
	snprintf(disk->peer_text, sizeof(disk->peer_text), "%s", result.peer_text);
	disk->transports[disk->transports_count++] = result.transport;
	if (result.secured && disk->config.tls.ktls == TLS_KTLS_ON)
		warn_of_userspace(disk, &result.tls);
	return true;
}

static uint32_t further_ms(const struct disk *disk, int64_t first_ms)
{
	int64_t ms = 2 * first_ms;

	if (ms < FURTHER_MS_MIN)
		ms = FURTHER_MS_MIN;
	if (ms > FURTHER_MS_MAX)
		ms = FURTHER_MS_MAX;
	return ms < disk->config.connect_timeout_ms ? (uint32_t)ms
						    : disk->config.connect_timeout_ms;
}

static bool take_further(struct disk *disk, struct dial_result *result)
{
	if (result->error) {
		ready_warning(disk, "one connection less: %s", result->sentence);
		return true;
	}
	if (result->export->size_bytes != disk->export->size_bytes ||
	    !params_same_terms(result->export, disk->export)) {
		dial_result_clear(result);
		return disk_fail(disk, EXIT_CODE_REFUSED,
				 "%s promises that connections may be mixed (CAN_MULTI_CONN), but "
				 "negotiates size, flags or limits differently on another one: use "
				 "--connections 1",
				 disk->peer_text);
	}
	free(result->export);
	disk->transports[disk->transports_count++] = result->transport;
	return true;
}

/* All to the address that answered first: the promise covers one server. The disk works without them,
 * so one that hangs is left out soon. first_ms: what the first connection took. */
static bool dial_further(struct disk *disk, int64_t first_ms)
{
	struct dial_options options = {
		.target = &disk->config.target,
		.tls = &disk->config.tls,
		.goal = NBD_GOAL_GO,
		.timeout_ms = further_ms(disk, first_ms),
		.addresses = &disk->peer,
		.addresses_count = 1,
	};
	struct dial_task *tasks[DISK_CONNECTIONS_MAX];
	int64_t deadline_ms = clock_now_ms() + options.timeout_ms + DIAL_GRACE_MS;
	uint32_t wanted = disk->geometry.connections - 1, started = 0;
	bool good = true;

	dial_like(&options, disk->export);
	while (started < wanted && dial_task_start(&options, &tasks[started]) == 0)
		started++;
	for (uint32_t i = 0; i < started; i++) {
		struct dial_result result;

		if (!good || !disk_wait(disk, dial_task_fd(tasks[i]), deadline_ms)) {
			dial_task_abandon(tasks[i]);
			if (good && disk->stop_requested)
				good = disk_fail(disk, EXIT_CODE_INTERRUPTED,
						 "interrupted while dialling");
			else if (good)
				ready_warning(disk,
					      "one connection less: it was not made within %.1f s",
					      options.timeout_ms / 1000.0);
			continue;
		}
		dial_task_take(tasks[i], &result);
		good = take_further(disk, &result);
	}
	return good;
}

static bool derive_geometry(struct disk *disk)
{
	char sentence[512];

	if (params_derive(&disk->geometry, disk->export, &disk->config, usable_cpus(), sentence,
			  sizeof(sentence)) < 0)
		return disk_fail(disk, EXIT_CODE_REFUSED, "%s", sentence);
	if (disk->geometry.tail_bytes)
		ready_warning(
			disk,
			"the export has %llu bytes; its last %llu are less than a block of %u "
			"and cannot be reached",
			(unsigned long long)disk->export->size_bytes,
			(unsigned long long)disk->geometry.tail_bytes,
			disk->geometry.logical_block_bytes);
	if (disk->config.connections > disk->geometry.connections)
		ready_warning(disk,
			      "one connection instead of %u: the server does not promise that "
			      "several may be mixed (CAN_MULTI_CONN)",
			      disk->config.connections);
	return true;
}

/* --- the device --------------------------------------------------------------------------------- */

static bool add_failed(struct disk *disk, int error)
{
	char sentence[512];

	if (error == EBUSY)
		return disk_fail(disk, EXIT_CODE_BUSY,
				 "/dev/ublkb%d is taken: choose another "
				 "--device, or none",
				 disk->config.device);
	if (device_limit_explain(error, "/sys", sentence, sizeof(sentence)))
		return disk_fail(disk, EXIT_CODE_SYSTEM, "%s", sentence);
	if (error == EPERM || error == EACCES)
		return disk_fail(disk, EXIT_CODE_SYSTEM,
				 "adding a ublk device is not permitted: run as root (in a "
				 "container: with CAP_SYS_ADMIN)");
	return disk_fail(disk, EXIT_CODE_SYSTEM,
			 "the kernel's ublk driver refuses to add a device (%u queues of %u): %s",
			 disk->info.nr_hw_queues, disk->info.queue_depth, strerror(error));
}

/* What was granted decides; asking is not enough: an older driver drops what it does not know. */
static bool choose_payload(struct disk *disk)
{
	bool user_copy = disk->info.flags & UBLK_F_USER_COPY;

	if (disk->config.payload == DISK_PAYLOAD_USER_COPY && !user_copy)
		return disk_fail(disk, EXIT_CODE_SYSTEM,
				 "this kernel's ublk driver has no user copy (6.5 has): use "
				 "--payload mapped");
	disk->shared.mapped = !user_copy;
	return true;
}

/*
 * Stock drivers up to 6.14 learn of a daemon's end from an idle tag of a queue. Without one they wait for a
 * request to time out, and in START_DEV, which reads the partition table with one request at a time, that
 * takes 30 s: there is no place yet to set io_timeout (attendant.c). So a queue of one tag gets a second.
 * UBLK_F_UPDATE_SIZE (6.16) stands for a driver that acts when the char device is closed.
 */
static uint16_t choose_depth(const struct disk *disk)
{
	uint64_t features = 0;

	if (disk->config.queue_depth > 1)
		return (uint16_t)disk->config.queue_depth;
	if (ublk_control_get_features(disk->control, &features) == 0 &&
	    features & UBLK_F_UPDATE_SIZE)
		return 1;
	return 2;
}

static bool add_device(struct disk *disk)
{
	uint32_t queues = disk->transports_count, cpus = usable_cpus();
	char sentence[512];
	int ret = ublk_control_open(&disk->control, sentence, sizeof(sentence));

	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "%s", sentence);
	disk->info = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = (uint16_t)(queues < cpus ? queues : cpus),
		.queue_depth = choose_depth(disk),
		.max_io_buf_bytes = disk->geometry.max_io_bytes,
		.dev_id = (uint32_t)disk->config.device,
		.ublksrv_pid = getpid(),
		.ublksrv_flags = disk->tag,
		.flags = UBLK_F_CMD_IOCTL_ENCODE | UBLK_F_UPDATE_SIZE | UBLK_F_SAFE_STOP_DEV |
			 (disk->config.payload == DISK_PAYLOAD_MAPPED ? 0 : UBLK_F_USER_COPY),
	};
	ret = ublk_control_add(disk->control, &disk->info);
	if (ret < 0)
		return add_failed(disk, -ret);
	disk->state = DISK_ADDED;
	snprintf(disk->device_path, sizeof(disk->device_path), "/dev/ublkb%u", disk->info.dev_id);
	log_set_device(disk->device_path + strlen("/dev/"));
	if (disk->info.nr_hw_queues == 0 || disk->info.nr_hw_queues > disk->transports_count ||
	    disk->info.queue_depth == 0 || disk->info.queue_depth > DISK_QUEUE_DEPTH_MAX)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "the driver granted %u queues of %u",
				 disk->info.nr_hw_queues, disk->info.queue_depth);
	return choose_payload(disk);
}

static bool set_params(struct disk *disk)
{
	struct ublk_params params;
	int ret;

	params_fill(&params, &disk->geometry, disk->export);
	ret = ublk_control_set_params(disk->control, disk->info.dev_id, &params);
	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM,
				 "the driver refuses the disk's parameters (blocks of %u and %u "
				 "bytes, requests of up to %u): %s",
				 disk->geometry.logical_block_bytes,
				 disk->geometry.physical_block_bytes, disk->geometry.max_io_bytes,
				 strerror(-ret));
	return true;
}

static bool char_device_failed(struct disk *disk, const char *path, int error)
{
	if (error == ENOENT)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "%s has not appeared: %s", path,
				 UBLK_DEV_REMEDY);
	return disk_fail(disk, EXIT_CODE_SYSTEM, "cannot open %s: %s%s", path, strerror(error),
			 error == EPERM || error == EACCES
				 ? ": in a container allow it new devices (--privileged, or the "
				   "device rules 'c *:* rwm' and 'b 259:* rwm')"
				 : "");
}

static bool open_char_device(struct disk *disk)
{
	int64_t deadline_ms = clock_now_ms() + CHAR_NODE_WAIT_MS;
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", disk->info.dev_id);
	for (;;) {
		/* Looked at before the node is: it may have come while this daemon did not run. */
		bool late = clock_now_ms() > deadline_ms;

		disk->char_fd = open(path, O_RDWR | O_CLOEXEC);
		if (disk->char_fd >= 0)
			return true;
		if ((errno != ENOENT && errno != ENXIO) || late)
			return char_device_failed(disk, path, errno);
		clock_pause_ms(CHAR_NODE_PAUSE_MS);
	}
}

/* --- queues ------------------------------------------------------------------------------------- */

/* Connections q, q + queues, q + 2 queues ... belong to queue q. */
static int open_queue(struct disk *disk, uint16_t id)
{
	struct nbd_client *client = &disk->clients[id];
	struct transport *own[DISK_CONNECTIONS_MAX];
	uint32_t own_count = 0;
	int ret, opened;

	for (uint32_t i = id; i < disk->transports_count; i += disk->info.nr_hw_queues) {
		own[own_count++] = disk->transports[i];
		disk->transports[i] = NULL;
	}
	ret = nbd_client_open(client, &disk->client_shared, own, own_count);
	opened = queue_open(&disk->queues[id], &disk->shared, id, &client->base);
	disk->queues_count++;
	for (uint32_t i = 0; i < own_count; i++)
		snprintf(client->connections[i].peer_text, sizeof(disk->peer_text), "%s",
			 disk->peer_text);
	return ret < 0 ? ret : opened;
}

/* The limit that stands against it, and what to do about it. */
static void describe_limit(const struct memory_room *room, char *out, size_t out_bytes)
{
	if (room->limit_bytes)
		snprintf(out, out_bytes, "that %s (%llu MiB) leaves: raise that limit, or choose",
			 room->limit_path, (unsigned long long)(room->limit_bytes >> 20));
	else
		snprintf(out, out_bytes, "that are available: choose");
}

/* All of it will be locked: what does not fit would bring the OOM killer, the machine's or a group's. */
static bool check_budget(struct disk *disk)
{
	const struct queue_shared *shared = &disk->shared;
	uint64_t queue_bytes =
		tags_memory_bytes(shared->depth, shared->max_io_bytes, shared->mapped) +
		nbd_client_memory_bytes(&disk->client_shared);
	uint64_t needed_bytes =
		disk->info.nr_hw_queues * queue_bytes +
		disk->transports_count * connection_memory_bytes_max(&disk->client_shared);
	struct memory_room room;
	char limit[700];

	memory_room_look("", &room);
	if (needed_bytes <= room.bytes / BUDGET_SHARE)
		return true;
	describe_limit(&room, limit, sizeof(limit));
	return disk_fail(
		disk, EXIT_CODE_SYSTEM,
		"%u queues of %u requests of up to %u KiB take %llu MiB of locked memory, "
		"more than half of the %llu MiB %s a smaller --queue-depth, --max-io-size "
		"or --connections%s",
		disk->info.nr_hw_queues, disk->info.queue_depth, disk->geometry.max_io_bytes >> 10,
		(unsigned long long)(needed_bytes >> 20), (unsigned long long)(room.bytes >> 20),
		limit, disk->config.payload == DISK_PAYLOAD_MAPPED ? ", or --payload auto" : "");
}

static uint32_t quiet_ms(const struct disk *disk, uint32_t automatic_ms)
{
	return disk->config.quiet_time_ms == DISK_QUIET_AUTO ? automatic_ms
							     : disk->config.quiet_time_ms;
}

/* A queue has something for another. */
static void wake_queue(void *context, uint32_t queue_id)
{
	struct disk *disk = context;

	queue_request(&disk->queues[queue_id], QUEUE_REQUEST_LOOK);
}

static void share(struct disk *disk)
{
	struct queue_shared *shared = &disk->shared;
	struct nbd_client_shared *client = &disk->client_shared;

	trouble_init(&shared->trouble);
	atomic_store(&shared->size_bytes, disk->geometry.size_bytes);
	shared->char_fd = disk->char_fd;
	shared->depth = disk->info.queue_depth;
	shared->max_io_bytes = disk->geometry.max_io_bytes;

	holds_init(&client->holds);
	server_link_init(&client->link, disk->link_fd);
	client->link.counts_unflushed = disk->export->flags & NBD_FLAG_SEND_FLUSH;
	client->link.trusts_server = disk->config.server_cache == DISK_CACHE_STABLE;
	atomic_store(&client->export_size_bytes, disk->export->size_bytes);
	client->export = disk->export;
	client->depth = shared->depth;
	client->max_io_bytes = shared->max_io_bytes;
	client->in_place = shared->mapped;
	client->parts_max = disk->geometry.parts_max;
	client->timeout_ms = disk->config.timeout_ms;
	client->quiet_closed_ms = quiet_ms(disk, DISK_QUIET_CLOSED_MS);
	client->quiet_silent_ms = quiet_ms(disk, disk->config.timeout_ms);
	client->fua_always = disk->geometry.fua_always;
	client->wake = wake_queue;
	client->wake_context = disk;
}

static bool open_queues(struct disk *disk)
{
	share(disk);
	if (!check_budget(disk))
		return false;
	disk->queues = calloc(disk->info.nr_hw_queues, sizeof(*disk->queues));
	disk->clients = calloc(disk->info.nr_hw_queues, sizeof(*disk->clients));
	if (!disk->queues || !disk->clients)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "out of memory");
	for (uint16_t id = 0; id < disk->info.nr_hw_queues; id++) {
		int ret = open_queue(disk, id);

		if (ret < 0)
			return disk_fail(disk, EXIT_CODE_SYSTEM, "cannot set up queue %u: %s", id,
					 strerror(-ret));
		disk->client_shared.clients[id] = &disk->clients[id];
	}
	disk->client_shared.clients_count = disk->queues_count;
	return true;
}

static bool start_queues(struct disk *disk)
{
	for (uint32_t id = 0; id < disk->queues_count; id++) {
		int ret = queue_start(&disk->queues[id]);

		if (ret < 0)
			return disk_fail(disk, EXIT_CODE_SYSTEM, "cannot start queue %u: %s", id,
					 strerror(-ret));
	}
	return true;
}

bool disk_queue_failed(struct disk *disk, uint32_t id, int error)
{
	struct trouble_note note;
	bool known = trouble_since(&disk->shared.trouble, 0, &note);

	return disk_fail(disk, EXIT_CODE_SYSTEM, "queue %u failed: %s: see `ublk-nbd doctor`", id,
			 known ? note.text : strerror(error));
}

static bool queues_are_well(struct disk *disk)
{
	for (uint32_t id = 0; id < disk->queues_count; id++) {
		int failure = atomic_load(&disk->queues[id].failure);

		if (failure)
			return disk_queue_failed(disk, id, failure);
	}
	return true;
}

static void condemn_queues(struct disk *disk)
{
	for (uint32_t id = 0; id < disk->queues_count; id++)
		queue_request(&disk->queues[id], QUEUE_REQUEST_CONDEMN);
}

/* Until the attendant's answer is there. false: a queue failed. */
static bool await_answer(struct disk *disk, const char *what)
{
	int64_t progress_ms = clock_now_ms() + ATTEND_PROGRESS_MS;
	struct pollfd answered = { .fd = disk->attendant.fd, .events = POLLIN };
	bool condemned = false;

	for (;;) {
		if (!condemned &&
		    disk_wait(disk, disk->attendant.fd, clock_now_ms() + ATTEND_POLL_MS))
			return true;
		if (condemned && poll(&answered, 1, ATTEND_POLL_MS) > 0)
			return true;
		if (!queues_are_well(disk))
			return false;
		if (disk->stop_requested && !condemned) {
			condemn_queues(disk);
			condemned = true;
		}
		if (clock_now_ms() >= progress_ms) {
			ready_progress(disk, "waiting for %s", what);
			progress_ms = clock_now_ms() + ATTEND_PROGRESS_MS;
		}
	}
}

bool disk_attend(struct disk *disk, struct attendant_request *request,
		 struct attendant_answer *answer, const char *what)
{
	int ret;

	request->dev_id = disk->info.dev_id;
	memcpy(request->device_path, disk->device_path, sizeof(request->device_path));
	ret = attendant_ask(&disk->attendant, request);
	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "the attendant process is gone: %s",
				 strerror(-ret));
	if (!await_answer(disk, what))
		return false;
	attendant_take(&disk->attendant, answer);
	if (disk->stop_requested)
		return disk_fail(disk, EXIT_CODE_INTERRUPTED, "interrupted while waiting for %s",
				 what);
	return true;
}

/* START_DEV waits for every tag's first command, and (6.12) for the partition table to be read
 * through us. */
static bool start_device(struct disk *disk)
{
	struct attendant_request request = {
		.verb = ATTENDANT_START,
		.daemon_pid = getpid(),
		.ask_in_use = disk->info.flags & UBLK_F_SAFE_STOP_DEV,
	};
	struct attendant_answer answer = { 0 };

	disk->state = DISK_STARTING;
	if (!disk_attend(disk, &request, &answer, "the kernel to read the partition table"))
		return false;
	if (answer.result < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "the driver does not start %s: %s",
				 disk->device_path, strerror(-answer.result));
	return true;
}

/* Before there is any thread or char device; in the mount namespace that is ours by now. */
static bool start_attendant(struct disk *disk)
{
	const int theirs_not[] = { disk->ready_fd, disk->signal_fd,
				   disk->activation.pid > 0 ? disk->activation.minder_fd : -1 };
	int ret = attendant_open(&disk->attendant, theirs_not, 3);

	if (ret < 0)
		return disk_fail(disk, EXIT_CODE_SYSTEM, "cannot start another process: %s",
				 strerror(-ret));
	return true;
}

static bool note_files(struct disk *disk)
{
	int ret = link_start(disk);

	if (ret < 0)
		ready_warning(disk, "cannot write for udev: %s: no link will name this disk",
			      strerror(-ret));
	return true;
}

bool disk_start(struct disk *disk)
{
	int64_t began_ms;

	if (!start_server(disk))
		return false;
	log_release_stderr();
	process_prepare(&disk->config);
	if (!start_attendant(disk))
		return false;
	began_ms = clock_now_ms();
	if (!dial_first(disk) || !derive_geometry(disk) ||
	    !dial_further(disk, clock_now_ms() - began_ms))
		return false;
	if (!add_device(disk) || !set_params(disk) || !open_char_device(disk) || !open_queues(disk))
		return false;
	process_lock(true);
	if (!start_queues(disk) || !note_files(disk) || !start_device(disk))
		return false;
	disk->state = DISK_SETTLING;
	if (!disk_wait_usable(disk))
		return false;
	disk->state = DISK_LIVE;
	return true;
}
