/* SPDX-License-Identifier: MIT */
/*
 * actor_daemon.c - a server with bad manners. Its *lanes* are threads that fetch and answer, each with a
 * ring; its *strays* are threads and children that shoot commands at the same device.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/guest/ublk/actor.h"
#include "tests/guest/ublk/control.h"
#include "tests/guest/ublk/mischief.h"
#include "tests/guest/ublk/probe.h"

#define LANES_MAX	8u
#define QUEUES_MAX	16u
#define RING_ENTRIES	512u
#define LANE_WAIT_MS	5
#define CONTROL_WAIT_MS 2000
#define CONTROL_VOLLEY	8
#define JOIN_TRIES	6
#define PAUSE_US	20000
#define SECTOR_BYTES	512u
#define DESC_STRIDE	((off_t)(UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc)))

struct daemon {
	struct actor *actor;
	struct control control;
	struct ublksrv_ctrl_dev_info info;
	struct ublksrv_ctrl_dev_info found; /* of a device in the way */
	struct ublk_params params;
	bool recovering;
	uint32_t volley;  /* random commands in each turn of a lane */
	uint32_t manners; /* percent of requests that are answered as they should be */
	const struct ublksrv_io_desc *descs[QUEUES_MAX]; /* NULL: not mapped */
	pthread_t lanes[LANES_MAX];
	uint32_t lane_count;
};

struct lane {
	struct daemon *daemon;
	struct dice dice;
	struct io_uring ring;
	struct mischief mischief;
	uint16_t queue;
	uint32_t first, step; /* its tags */
	bool fixed;	      /* the device is the ring's fixed file 0 */
	bool leaving;
};

static bool has(const struct daemon *daemon, uint64_t feature)
{
	return daemon->info.flags & feature;
}

/* --- a lane -------------------------------------------------------------------------------------- */

static void command(struct lane *lane, enum tally_command command, uint16_t tag, int result)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&lane->ring);
	const struct volley_aim *aim = &lane->daemon->actor->aim;
	struct ublksrv_io_cmd payload = { .q_id = lane->queue, .tag = tag, .result = result };

	if (!sqe)
		return;
	if (!has(lane->daemon, UBLK_F_USER_COPY))
		payload.addr = (uintptr_t)arena_good(&aim->arena, &lane->dice);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = lane->fixed ? 0 : aim->char_fd;
	sqe->flags = (lane->fixed ? IOSQE_FIXED_FILE : 0) |
		     (dice_percent(&lane->dice, 3) ? IOSQE_ASYNC : 0);
	sqe->cmd_op = tally_opcode(command);
	if (!has(lane->daemon, UBLK_F_CMD_IOCTL_ENCODE) && dice_percent(&lane->dice, 50))
		sqe->cmd_op = _IOC_NR(sqe->cmd_op);
	sqe->user_data = volley_user_data(command, lane->queue, tag);
	memcpy(sqe->cmd, &payload, sizeof(payload));
	atomic_fetch_add_explicit(&aim->tally->sent[command], 1, memory_order_relaxed);
}

/* A request is there: mostly it is answered. */
static void answer(struct lane *lane, uint16_t queue, uint16_t tag)
{
	const struct ublksrv_io_desc *descs = lane->daemon->descs[queue % QUEUES_MAX];
	int result = descs ? (int)(descs[tag].nr_sectors * SECTOR_BYTES) : 1 << 20;

	if (has(lane->daemon, UBLK_F_USER_COPY) && dice_percent(&lane->dice, 50))
		mischief_copy(&lane->daemon->actor->aim, queue, tag, &lane->dice);
	if (dice_percent(&lane->dice, lane->daemon->manners))
		command(lane, TALLY_COMMIT, tag, result);
	else if (dice_percent(&lane->dice, 60))
		command(lane, TALLY_COMMIT, tag,
			(int)dice_next(&lane->dice) >> dice_below(&lane->dice, 32));
	else if (dice_percent(&lane->dice, 50))
		command(lane, TALLY_COMMIT, tag, -EIO);
}

static void handle(struct lane *lane, uint64_t user_data, int result)
{
	uint16_t queue = (uint16_t)(user_data >> 16), tag = (uint16_t)user_data;
	uint32_t what = volley_command(user_data);

	tally_answer(lane->daemon->actor->aim.tally, what, result);
	if (what != TALLY_FETCH && what != TALLY_COMMIT && what != TALLY_GET_DATA)
		return;
	if (result == UBLK_IO_RES_NEED_GET_DATA) {
		command(lane, TALLY_GET_DATA, tag, 0);
	} else if (result == UBLK_IO_RES_OK) {
		atomic_fetch_add_explicit(&lane->daemon->actor->aim.tally->requests, 1,
					  memory_order_relaxed);
		answer(lane, queue, tag);
	}
}

static void turn(struct lane *lane)
{
	struct io_uring_cqe *cqe;
	uint32_t limit = 2 * RING_ENTRIES;

	volley_io(&lane->ring, &lane->daemon->actor->aim, &lane->dice,
		  dice_below(&lane->dice, lane->daemon->volley + 1));
	actor_submit(&lane->ring, LANE_WAIT_MS);
	while (limit-- && !io_uring_peek_cqe(&lane->ring, &cqe)) {
		uint64_t user_data = cqe->user_data;
		int result = cqe->res;

		io_uring_cqe_seen(&lane->ring, cqe);
		handle(lane, user_data, result);
	}
}

/* The number stays taken: another file under it would get what is meant for the device. */
static void close_char(int char_fd)
{
	int nothing = eventfd(0, EFD_CLOEXEC);

	if (nothing < 0)
		return;
	dup3(nothing, char_fd, O_CLOEXEC);
	close(nothing);
}

/* The lane's thread has a new ring, and nothing of what it had; or ends alone. */
static void change(struct lane *lane)
{
	switch (dice_below(&lane->dice, 3)) {
	case 0:
		lane->leaving = true;
		break;
	case 1:
		io_uring_queue_exit(&lane->ring);
		lane->leaving = io_uring_queue_init(RING_ENTRIES, &lane->ring,
						    volley_ring_flags(&lane->dice)) < 0;
		lane->fixed = false;
		break;
	default:
		close_char(lane->daemon->actor->aim.char_fd);
	}
}

static void fetch_all(struct lane *lane)
{
	for (uint32_t tag = lane->first; tag < lane->daemon->info.queue_depth; tag += lane->step) {
		command(lane, TALLY_FETCH, (uint16_t)tag, 0);
		if (!io_uring_sq_space_left(&lane->ring))
			io_uring_submit(&lane->ring);
	}
	io_uring_submit(&lane->ring);
}

static void *lane_run(void *argument)
{
	struct lane lane = *(struct lane *)argument;
	struct actor *actor = lane.daemon->actor;

	if (io_uring_queue_init(RING_ENTRIES, &lane.ring, volley_ring_flags(&lane.dice)) < 0)
		return NULL;
	lane.fixed = dice_percent(&lane.dice, 30) &&
		     !io_uring_register_files(&lane.ring, &actor->aim.char_fd, 1);
	fetch_all(&lane);
	while (!lane.leaving && probe_now_ms() < actor->end_ms) {
		turn(&lane);
		if (dice_percent(&lane.dice, 3))
			mischief_do(&lane.mischief, &actor->aim, &lane.dice);
		if (!dice_below(&lane.dice, 2000))
			change(&lane);
	}
	/* The ring stays until the process ends: the thread's death must be found without it. */
	return NULL;
}

/* --- the process --------------------------------------------------------------------------------- */

static int tell(struct daemon *daemon, enum tally_command command, struct control_call call)
{
	struct tally *tally = daemon->actor->aim.tally;
	int result;

	call.op = tally_opcode(command);
	call.dev_id = daemon->info.dev_id;
	atomic_fetch_add(&tally->sent[command], 1);
	result = control_send(&daemon->control, &call);
	tally_answer(tally, command, result);
	return result;
}

/* A device that is in the way goes if nobody serves it; another's now and then. */
static void clear_way(struct daemon *daemon, struct dice *dice)
{
	struct control_call call = { .buffer = &daemon->found, .length = sizeof(daemon->found) };

	if (tell(daemon, TALLY_GET_INFO, call) >= 0 &&
	    (daemon->found.state == UBLK_S_DEV_DEAD || dice_percent(dice, 10)))
		tell(daemon, TALLY_DEL_ASYNC, (struct control_call){ 0 });
}

/* While no device was seen in FAIL_IO, which lasts only until somebody deletes or recovers it, most are made such
 * that they can come to it. */
static void seek_fail_io(struct ublksrv_ctrl_dev_info *info, const struct tally *tally,
			 struct dice *dice)
{
	if (atomic_load(&tally->states[UBLK_S_DEV_FAIL_IO]) > 0 || dice_percent(dice, 25))
		return;
	info->flags &= ~(uint64_t)(UBLK_F_USER_RECOVERY_REISSUE | UBLK_F_UNPRIVILEGED_DEV);
	info->flags |= UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO;
}

static bool add(struct daemon *daemon, struct dice *dice)
{
	struct control_call info = { .buffer = &daemon->info, .length = sizeof(daemon->info) };
	struct control_call params = { .buffer = &daemon->params,
				       .length = sizeof(daemon->params) };
	int result;

	daemon->recovering = false;
	volley_info(&daemon->info, dice);
	seek_fail_io(&daemon->info, daemon->actor->aim.tally, dice);
	volley_params(&daemon->params, dice);
	result = tell(daemon, TALLY_ADD, info);
	if (result == -EEXIST)
		clear_way(daemon, dice);
	return result >= 0 && tell(daemon, TALLY_SET_PARAMS, params) >= 0;
}

/* The first device that wants a successor. */
static bool take_over(struct daemon *daemon, struct dice *dice)
{
	struct control_call call = { .buffer = &daemon->info, .length = sizeof(daemon->info) };
	uint32_t first = dice_below(dice, VOLLEY_IDS);

	daemon->recovering = true;
	for (uint32_t i = 0; i < VOLLEY_IDS; i++) {
		daemon->info.dev_id = (first + i) % VOLLEY_IDS;
		if (tell(daemon, TALLY_GET_INFO, call) >= 0 &&
		    tell(daemon, TALLY_START_RECOVERY, (struct control_call){ 0 }) >= 0)
			return true;
	}
	return false;
}

/* Gets a device: a new one, one whose daemon is gone, or in the end one that was in the way. */
static bool join(struct daemon *daemon, struct dice *dice)
{
	char path[CONTROL_PATH_BYTES];
	struct volley_aim *aim = &daemon->actor->aim;

	for (uint32_t i = 0; i < JOIN_TRIES; i++) {
		if (dice_percent(dice, 50) && take_over(daemon, dice))
			break;
		if (add(daemon, dice))
			break;
		usleep(PAUSE_US);
	}
	snprintf(path, sizeof(path), "/dev/ublkc%u", daemon->info.dev_id);
	aim->char_fd = open(path, O_RDWR | O_CLOEXEC);
	aim->id = daemon->info.dev_id;
	aim->queues = daemon->info.nr_hw_queues;
	aim->depth = daemon->info.queue_depth;
	return aim->char_fd >= 0 && aim->queues && aim->depth;
}

static void map_descriptors(struct daemon *daemon)
{
	size_t bytes = (daemon->info.queue_depth * sizeof(struct ublksrv_io_desc) + 4095) & ~4095UL;

	for (uint16_t q = 0; q < daemon->info.nr_hw_queues && q < QUEUES_MAX; q++) {
		void *place = mmap(NULL, bytes, PROT_READ, MAP_SHARED, daemon->actor->aim.char_fd,
				   q * DESC_STRIDE);

		if (place == MAP_FAILED)
			continue;
		daemon->descs[q] = place;
		atomic_fetch_add(&daemon->actor->aim.tally->maps, 1);
	}
}

static void start_lanes(struct daemon *daemon)
{
	static struct lane lanes[LANES_MAX];
	struct dice *dice = &daemon->actor->dice;
	uint32_t each = has(daemon, UBLK_F_PER_IO_DAEMON) && dice_percent(dice, 70) ? 2 : 1;

	for (uint16_t q = 0; q < daemon->info.nr_hw_queues; q++) {
		for (uint32_t i = 0; i < each && daemon->lane_count < LANES_MAX; i++) {
			struct lane *lane = &lanes[daemon->lane_count];

			*lane = (struct lane){
				.daemon = daemon,
				.dice = { dice_next(dice) },
				.queue = q,
				.first = i,
				.step = each,
			};
			if (!pthread_create(&daemon->lanes[daemon->lane_count], NULL, lane_run,
					    lane))
				daemon->lane_count++;
		}
	}
}

static void *stray_run(void *argument)
{
	const struct daemon *daemon = argument;

	actor_stray(daemon->actor, (uintptr_t)pthread_self() ^ daemon->actor->aim.id);
	return NULL;
}

/* Children have the device, too, and another memory; threads have the memory and are not its daemon. */
static void start_strays(struct daemon *daemon)
{
	struct dice *dice = &daemon->actor->dice;
	pthread_t thread;

	if (dice_percent(dice, 15)) {
		uint64_t seed = dice_next(dice);

		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, dice_percent(dice, 50) ? SIGKILL : 0);
			actor_stray(daemon->actor, seed);
			_exit(0);
		}
	}
	if (dice_percent(dice, 20))
		pthread_create(&thread, NULL, stray_run, daemon);
}

static void leave(struct dice *dice)
{
	static char *const arguments[] = { "true", NULL };

	switch (dice_below(dice, 4)) {
	case 0:
		kill(getpid(), SIGKILL);
		break;
	case 1: /* threads, memory and close-on-exec files go, the process stays */
		execv("/usr/bin/true", arguments);
		break;
	case 2:
		pthread_exit(NULL);
	}
}

void actor_daemon(struct actor *actor)
{
	static struct daemon daemon;
	static const enum tally_command own[] = {
		TALLY_QUIESCE,	   TALLY_QUIESCE, TALLY_TRY_STOP,
		TALLY_UPDATE_SIZE, TALLY_STOP,	  TALLY_AFFINITY
	};
	static const uint32_t volleys[] = { 0, 0, 0, 4, 64, 250 };
	struct dice *dice = &actor->dice;
	struct control_call start = { .data = (uint64_t)getpid() };
	struct io_uring ring;

	daemon.actor = actor;
	daemon.volley = volleys[dice_below(dice, 6)];
	daemon.manners = dice_percent(dice, 50) ? 100 : 80;
	daemon.control.timeout_ms = CONTROL_WAIT_MS;
	if (control_open(&daemon.control) < 0 || !join(&daemon, dice))
		return;
	map_descriptors(&daemon);
	start_strays(&daemon);
	start_lanes(&daemon);
	tell(&daemon, daemon.recovering ? TALLY_END_RECOVERY : TALLY_START, start);
	if (io_uring_queue_init(RING_ENTRIES, &ring, IORING_SETUP_SQE128) < 0)
		return;
	while (probe_now_ms() < actor->end_ms) {
		if (dice_percent(dice, 20))
			volley_control(&ring, &actor->aim, dice, CONTROL_VOLLEY);
		if (dice_percent(dice, 4))
			volley_own(&ring, &actor->aim, dice, own[dice_below(dice, 6)]);
		actor_submit(&ring, PAUSE_US / 1000);
		actor_drain(&ring, actor->aim.tally);
		usleep(PAUSE_US);
	}
	leave(dice);
}
