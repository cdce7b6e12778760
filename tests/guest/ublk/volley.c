/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/volley.h"

#include <string.h>

#include "kernel/ublk_cmd.h"

#define AFFINITY_BYTES 128
#define LEN(array)     (sizeof(array) / sizeof((array)[0]))

/* How often each control command comes, in so many; those that end a device seldom, or there were none. */
#define WEIGHTS 1000u

static const uint16_t control_weights[TALLY_UNKNOWN] = {
	[TALLY_ADD] = 10,	    [TALLY_SET_PARAMS] = 90,	 [TALLY_START] = 60,
	[TALLY_STOP] = 1,	    [TALLY_TRY_STOP] = 2,	 [TALLY_DEL] = 1,
	[TALLY_DEL_ASYNC] = 1,	    [TALLY_START_RECOVERY] = 70, [TALLY_END_RECOVERY] = 60,
	[TALLY_QUIESCE] = 3,	    [TALLY_UPDATE_SIZE] = 100,	 [TALLY_AFFINITY] = 110,
	[TALLY_GET_INFO] = 110,	    [TALLY_GET_INFO2] = 90,	 [TALLY_GET_PARAMS] = 110,
	[TALLY_GET_FEATURES] = 100, [TALLY_FETCH] = 10,		 [TALLY_COMMIT] = 10,
	[TALLY_GET_DATA] = 10,
};

static enum tally_command pick_control(struct dice *dice)
{
	uint32_t at = dice_below(dice, WEIGHTS);

	for (int i = 0; i < TALLY_UNKNOWN; i++) {
		if (at < control_weights[i])
			return (enum tally_command)i;
		at -= control_weights[i];
	}
	return TALLY_UNKNOWN;
}

static enum tally_command pick_io(struct dice *dice)
{
	switch (dice_below(dice, 10)) {
	case 0:
	case 1:
	case 2:
		return TALLY_FETCH;
	case 3:
		return TALLY_GET_DATA;
	case 4:
		return dice_percent(dice, 50) ? TALLY_UNKNOWN : pick_control(dice);
	}
	return TALLY_COMMIT;
}

/* As an ioctl code, as the bare number, or something that is neither. */
static uint32_t pick_opcode(enum tally_command command, struct dice *dice)
{
	uint32_t opcode = tally_opcode(command);

	if (command == TALLY_UNKNOWN)
		return dice_percent(dice, 50) ? dice_below(dice, 0x100) : (uint32_t)dice_next(dice);
	return dice_percent(dice, 25) ? _IOC_NR(opcode) : opcode;
}

/* Mostly below the limit, else just there or anywhere. */
static uint16_t pick_index(uint16_t limit, struct dice *dice)
{
	switch (limit ? dice_below(dice, 16) : 0) {
	case 0:
		return (uint16_t)dice_next(dice);
	case 1:
		return limit;
	}
	return (uint16_t)dice_below(dice, limit);
}

static int32_t pick_result(struct dice *dice)
{
	static const int32_t results[] = { 0, 1, 511, 512, 4096, 65536, -1, -5, -11, -28, -95 };

	switch (dice_below(dice, 4)) {
	case 0:
		return results[dice_below(dice, LEN(results))];
	case 1:
		return (int32_t)dice_next(dice);
	}
	return 1 << 20;
}

/* No DRAIN: behind a command that is parked nothing would ever move again. */
static uint8_t pick_flags(struct dice *dice)
{
	switch (dice_below(dice, 64)) {
	case 0:
	case 1:
		return IOSQE_ASYNC;
	case 2:
		return IOSQE_IO_LINK;
	case 3:
		return IOSQE_IO_HARDLINK;
	case 4:
		return IOSQE_CQE_SKIP_SUCCESS;
	case 5:
		return dice_percent(dice, 50) ? IOSQE_FIXED_FILE : IOSQE_BUFFER_SELECT;
	}
	return 0;
}

static void count(const struct volley_aim *aim, enum tally_command command)
{
	atomic_fetch_add_explicit(&aim->tally->sent[command], 1, memory_order_relaxed);
}

unsigned int volley_ring_flags(struct dice *dice)
{
	static const unsigned int flags[] = {
		0,
		IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};

	if (dice_percent(dice, 2))
		return IORING_SETUP_SQPOLL;
	return flags[dice_below(dice, LEN(flags))];
}

static void shoot_io(struct io_uring_sqe *sqe, const struct volley_aim *aim, struct dice *dice)
{
	enum tally_command command = pick_io(dice);
	struct ublksrv_io_cmd payload = {
		.q_id = pick_index(aim->queues, dice),
		.tag = pick_index(aim->depth, dice),
		.result = pick_result(dice),
		.addr = arena_any(&aim->arena, dice),
	};

	if (dice_percent(dice, 30))
		payload.addr = 0; /* what USER_COPY wants */
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = dice_percent(dice, 98) ? aim->char_fd : aim->control_fd;
	sqe->cmd_op = pick_opcode(command, dice);
	sqe->flags = pick_flags(dice);
	sqe->user_data = volley_user_data(command, payload.q_id, payload.tag);
	memcpy(sqe->cmd, &payload, sizeof(payload));
	count(aim, command);
}

void volley_io(struct io_uring *ring, const struct volley_aim *aim, struct dice *dice,
	       uint32_t count)
{
	struct io_uring_sqe *sqe;

	while (count-- && (sqe = io_uring_get_sqe(ring)))
		shoot_io(sqe, aim, dice);
}

void volley_info(struct ublksrv_ctrl_dev_info *info, struct dice *dice)
{
	static const uint16_t depths[] = { 1, 2, 7, 16, 32, 128, 1024, 4096 };
	uint64_t recovery = 0;

	/* What does not go together is refused, so it is left to chance only now and then. */
	if (dice_percent(dice, 60)) {
		recovery = UBLK_F_USER_RECOVERY;
		if (dice_percent(dice, 66))
			recovery |= dice_percent(dice, 35) ? UBLK_F_USER_RECOVERY_REISSUE
							   : UBLK_F_USER_RECOVERY_FAIL_IO;
		if (dice_percent(dice, 50))
			recovery |= UBLK_F_QUIESCE;
	} else if (dice_percent(dice, 30)) {
		recovery = UBLK_F_UNPRIVILEGED_DEV;
	}
	memset(info, 0, sizeof(*info));
	info->nr_hw_queues = (uint16_t)(1 + dice_below(dice, 4));
	info->queue_depth = depths[dice_below(dice, dice_percent(dice, 90) ? 5 : LEN(depths))];
	info->max_io_buf_bytes = 16384u << dice_below(dice, 6);
	info->dev_id = dice_below(dice, VOLLEY_IDS);
	info->ublksrv_flags = dice_next(dice);
	info->flags = recovery |
		      (dice_next(dice) &
		       (UBLK_F_URING_CMD_COMP_IN_TASK | UBLK_F_NEED_GET_DATA | UBLK_F_UPDATE_SIZE |
			UBLK_F_PER_IO_DAEMON | UBLK_F_SAFE_STOP_DEV | UBLK_F_NO_AUTO_PART_SCAN));
	if (dice_percent(dice, 75))
		info->flags |= UBLK_F_CMD_IOCTL_ENCODE;
	if (dice_percent(dice, 30) && recovery != UBLK_F_UNPRIVILEGED_DEV)
		info->flags = (info->flags | UBLK_F_USER_COPY) & ~UBLK_F_NEED_GET_DATA;
	if (dice_percent(dice, 5))
		info->flags ^= 1ULL << dice_below(dice, 64);
}

/* What most devices do not have. */
static void add_memory_params(struct ublk_params *params, struct dice *dice)
{
	if (dice_percent(dice, 5)) {
		params->types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		params->dma.alignment = (1u << dice_below(dice, 14)) - 1;
	}
	if (dice_percent(dice, 5)) {
		params->types |= UBLK_PARAM_TYPE_SEGMENT;
		params->seg.max_segments = (uint16_t)dice_below(dice, 130);
		params->seg.max_segment_size = 2048u << dice_below(dice, 6);
		params->seg.seg_boundary_mask = (2048u << dice_below(dice, 6)) - 1;
	}
}

void volley_params(struct ublk_params *params, struct dice *dice)
{
	memset(params, 0, sizeof(*params));
	params->len = sizeof(*params);
	params->types = UBLK_PARAM_TYPE_BASIC;
	params->basic.attrs = dice_below(dice, 16) & ~(dice_percent(dice, 80) ? 1u : 0u);
	params->basic.logical_bs_shift = dice_percent(dice, 70) ? 9 : 12;
	params->basic.physical_bs_shift = (uint8_t)(12 + dice_below(dice, 2));
	params->basic.io_min_shift = params->basic.physical_bs_shift;
	params->basic.io_opt_shift = params->basic.physical_bs_shift;
	params->basic.max_sectors = 8u << dice_below(dice, 3);
	params->basic.dev_sectors = 2048u << dice_below(dice, 6);
	if (dice_percent(dice, 50)) {
		params->types |= UBLK_PARAM_TYPE_DISCARD;
		params->discard.discard_granularity =
			dice_percent(dice, 95) ? 4096 : 256u << dice_below(dice, 24);
		params->discard.max_discard_sectors = dice_below(dice, 1u << 16);
		params->discard.max_write_zeroes_sectors = dice_below(dice, 1u << 16);
		params->discard.max_discard_segments = 1;
	}
	add_memory_params(params, dice);
	if (dice_percent(dice, 10))
		((uint8_t *)params)[dice_below(dice, sizeof(*params))] ^=
			(uint8_t)(1 + dice_below(dice, 255));
}

static uint32_t pick_id(const struct volley_aim *aim, struct dice *dice)
{
	switch (dice_below(dice, 16)) {
	case 0:
		return UINT32_MAX;
	case 1:
		return (uint32_t)dice_next(dice) >> dice_below(dice, 32);
	case 2:
	case 3:
	case 4:
	case 5:
		return aim->id;
	}
	return dice_below(dice, VOLLEY_IDS);
}

/* What stands in the buffer, where the command reads it. Others may write there at the same time. */
static void fill_buffer(enum tally_command command, struct ublksrv_ctrl_cmd *payload,
			struct dice *dice)
{
	void *buffer = (void *)(uintptr_t)payload->addr; /* NOLINT(performance-no-int-to-ptr) */
	struct ublksrv_ctrl_dev_info info;
	struct ublk_params params;

	if (command == TALLY_ADD) {
		volley_info(&info, dice);
		info.dev_id = dice_percent(dice, 90) ? payload->dev_id : dice_below(dice, 8);
		memcpy(buffer, &info, sizeof(info));
		payload->len = sizeof(info);
	} else if (command == TALLY_SET_PARAMS || command == TALLY_GET_PARAMS) {
		volley_params(&params, dice);
		memcpy(buffer, &params, sizeof(params));
		payload->len = sizeof(params);
	} else if (command == TALLY_GET_FEATURES) {
		payload->len = UBLK_FEATURES_LEN;
	} else if (command == TALLY_AFFINITY) {
		payload->len = AFFINITY_BYTES;
	}
}

/* The path of the device, or of another, in front of the buffer's bytes. */
static void add_path(struct ublksrv_ctrl_cmd *payload, struct dice *dice)
{
	static const char *const paths[] = { "/dev/ublkc0",	  "/dev/ublkc1", "/dev/ublkc2",
					     "/dev/ublk-control", "/dev/null",	 "/no/such" };
	const char *path = paths[dice_below(dice, LEN(paths))];
	char *buffer = (char *)(uintptr_t)payload->addr; /* NOLINT(performance-no-int-to-ptr) */

	payload->dev_path_len = 32;
	payload->len = (uint16_t)(payload->len + payload->dev_path_len);
	memset(buffer, 0, payload->dev_path_len);
	strcpy(buffer, path);
	if (dice_percent(dice, 80))
		buffer[10] = (char)('0' + payload->dev_id % 10);
}

/* The word that the command carries: a pid, a size, a time, a queue. */
static uint64_t pick_data(enum tally_command command, const struct volley_aim *aim,
			  struct dice *dice)
{
	if (dice_percent(dice, 10))
		return dice_next(dice);
	switch (command) {
	case TALLY_START:
	case TALLY_END_RECOVERY:
		return (uint64_t)getpid();
	case TALLY_UPDATE_SIZE:
		return dice_below(dice, 1u << 16);
	case TALLY_QUIESCE:
		return dice_below(dice, 300);
	case TALLY_AFFINITY:
		return pick_index(aim->queues, dice);
	default:
		return dice_below(dice, 4);
	}
}

static void shoot_control(struct io_uring_sqe *sqe, const struct volley_aim *aim, struct dice *dice,
			  enum tally_command command)
{
	struct ublksrv_ctrl_cmd payload = {
		.dev_id = pick_id(aim, dice),
		.queue_id = dice_percent(dice, 95) ? UINT16_MAX : (uint16_t)dice_next(dice),
		.len = sizeof(struct ublksrv_ctrl_dev_info),
		.addr = (uintptr_t)arena_good(&aim->arena, dice),
		.data = { pick_data(command, aim, dice) },
	};

	fill_buffer(command, &payload, dice);
	if (command == TALLY_GET_INFO2 || dice_percent(dice, 15))
		add_path(&payload, dice);
	if (dice_percent(dice, 5))
		payload.dev_path_len = (uint16_t)dice_next(dice);
	if (dice_percent(dice, 5))
		payload.addr = arena_any(&aim->arena, dice);
	if (dice_percent(dice, 5))
		payload.len = (uint16_t)dice_next(dice);
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = dice_percent(dice, 98) ? aim->control_fd : aim->char_fd;
	sqe->cmd_op = pick_opcode(command, dice);
	sqe->flags = pick_flags(dice);
	sqe->user_data = volley_user_data(command, 0, 0);
	memcpy(sqe->cmd, &payload, sizeof(payload));
	count(aim, command);
}

void volley_control(struct io_uring *ring, const struct volley_aim *aim, struct dice *dice,
		    uint32_t count)
{
	struct io_uring_sqe *sqe;

	while (count-- && (sqe = io_uring_get_sqe(ring)))
		shoot_control(sqe, aim, dice, pick_control(dice));
}

void volley_own(struct io_uring *ring, const struct volley_aim *aim, struct dice *dice,
		enum tally_command command)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct ublksrv_ctrl_cmd payload = { .dev_id = aim->id,
					    .queue_id = UINT16_MAX,
					    .len = AFFINITY_BYTES,
					    .addr = (uintptr_t)arena_good(&aim->arena, dice),
					    .data = { pick_data(command, aim, dice) } };

	if (!sqe)
		return;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = aim->control_fd;
	sqe->cmd_op = tally_opcode(command);
	sqe->user_data = volley_user_data(command, 0, 0);
	memcpy(sqe->cmd, &payload, sizeof(payload));
	count(aim, command);
}
