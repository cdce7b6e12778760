/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RING_ENTRIES  4
#define PAYLOAD_BYTES 1024

static const char *const features[] = {
	[0] = "zero-copy",     [1] = "comp-in-task",	 [2] = "need-get-data",
	[3] = "recovery",      [4] = "reissue",		 [5] = "unprivileged",
	[6] = "ioctl-encode",  [7] = "user-copy",	 [8] = "zoned",
	[9] = "fail-io",       [10] = "update-size",	 [11] = "auto-buf-reg",
	[12] = "quiesce",      [13] = "per-io-daemon",	 [14] = "buf-reg-off-daemon",
	[15] = "batch-io",     [16] = "integrity",	 [17] = "safe-stop",
	[18] = "no-part-scan", [19] = "shmem-zero-copy", [20] = "io-desc-size",
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

uint64_t control_feature_of(const char *name)
{
	for (uint32_t bit = 0; bit < FEATURES; bit++)
		if (!strcmp(features[bit], name))
			return 1ULL << bit;
	return 0;
}

const char *control_feature_name(uint32_t bit)
{
	return bit < FEATURES ? features[bit] : NULL;
}

const char *control_state_name(uint16_t state)
{
	static const char *const names[] = { "dead", "live", "quiesced", "fail-io" };

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

int control_open(struct control *control)
{
	int ret;

	control->fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (control->fd < 0)
		return -errno;
	ret = io_uring_queue_init(RING_ENTRIES, &control->ring, IORING_SETUP_SQE128);
	if (ret < 0)
		close(control->fd);
	if (!control->timeout_ms)
		control->timeout_ms = CONTROL_TIMEOUT_MS;
	return ret;
}

void control_close(struct control *control)
{
	io_uring_queue_exit(&control->ring);
	close(control->fd);
}

/* The answer to the newest command; the CQE of one whose deadline passed may come before it. */
static int await(struct control *control)
{
	struct __kernel_timespec limit = {
		.tv_sec = control->timeout_ms / 1000,
		.tv_nsec = (control->timeout_ms % 1000) * 1000000LL,
	};
	struct io_uring_cqe *cqe;

	for (;;) {
		int ret = io_uring_wait_cqe_timeout(&control->ring, &cqe, &limit);
		uint64_t sequence;

		if (ret == -EINTR)
			continue;
		if (ret < 0)
			return ret;
		ret = cqe->res;
		sequence = cqe->user_data;
		io_uring_cqe_seen(&control->ring, cqe);
		if (sequence == control->sequence)
			return ret;
	}
}

int control_submit(struct control *control, uint32_t op, const struct ublksrv_ctrl_cmd *command)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&control->ring);
	int ret;

	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = control->fd;
	sqe->cmd_op = control->legacy ? _IOC_NR(op) : op;
	sqe->user_data = ++control->sequence;
	memcpy(sqe->cmd, command, sizeof(*command));
	ret = io_uring_submit(&control->ring);
	return ret < 0 ? ret : await(control);
}

/* Commands about no device carry no path. */
static bool takes_path(const struct control *control, uint32_t op)
{
	return op == UBLK_U_CMD_GET_DEV_INFO2 ||
	       (control->with_path && op != UBLK_U_CMD_ADD_DEV && op != UBLK_U_CMD_GET_FEATURES);
}

int control_send(struct control *control, const struct control_call *call)
{
	char payload[CONTROL_PATH_BYTES + PAYLOAD_BYTES];
	struct ublksrv_ctrl_cmd command = {
		.dev_id = call->dev_id,
		.queue_id = (uint16_t)-1,
		.addr = (uintptr_t)call->buffer,
		.len = call->length,
		.data = { call->data },
	};
	int ret;

	if (!takes_path(control, call->op))
		return control_submit(control, call->op, &command);
	if (call->length > PAYLOAD_BYTES)
		return -E2BIG;
	memset(payload, 0, sizeof(payload));
	snprintf(payload, CONTROL_PATH_BYTES, "/dev/ublkc%u", call->dev_id);
	if (call->length)
		memcpy(payload + CONTROL_PATH_BYTES, call->buffer, call->length);
	command.addr = (uintptr_t)payload;
	command.len = (uint16_t)(CONTROL_PATH_BYTES + call->length);
	command.dev_path_len = CONTROL_PATH_BYTES;
	ret = control_submit(control, call->op, &command);
	if (ret >= 0 && call->length)
		memcpy(call->buffer, payload + CONTROL_PATH_BYTES, call->length);
	return ret;
}

int control_features_get(struct control *control, uint64_t *features_out)
{
	struct control_call call = {
		.op = UBLK_U_CMD_GET_FEATURES,
		.dev_id = UINT32_MAX,
		.buffer = features_out,
		.length = UBLK_FEATURES_LEN,
	};

	return control_send(control, &call);
}

int control_device_add(struct control *control, struct ublksrv_ctrl_dev_info *info)
{
	struct control_call call = {
		.op = UBLK_U_CMD_ADD_DEV,
		.dev_id = info->dev_id,
		.buffer = info,
		.length = sizeof(*info),
	};

	return control_send(control, &call);
}

int control_device_info(struct control *control, uint32_t id, struct ublksrv_ctrl_dev_info *info)
{
	struct control_call call = {
		.op = control->with_path ? UBLK_U_CMD_GET_DEV_INFO2 : UBLK_U_CMD_GET_DEV_INFO,
		.dev_id = id,
		.buffer = info,
		.length = sizeof(*info),
	};

	memset(info, 0, sizeof(*info));
	return control_send(control, &call);
}

int control_device_command(struct control *control, uint32_t op, uint32_t id, uint64_t data)
{
	struct control_call call = { .op = op, .dev_id = id, .data = data };

	return control_send(control, &call);
}

int control_params_set(struct control *control, uint32_t id, struct ublk_params *params)
{
	struct control_call call = {
		.op = UBLK_U_CMD_SET_PARAMS,
		.dev_id = id,
		.buffer = params,
		.length = sizeof(*params),
	};

	params->len = sizeof(*params);
	return control_send(control, &call);
}

int control_params_get(struct control *control, uint32_t id, struct ublk_params *params)
{
	struct control_call call = {
		.op = UBLK_U_CMD_GET_PARAMS,
		.dev_id = id,
		.buffer = params,
		.length = sizeof(*params),
	};

	memset(params, 0, sizeof(*params));
	params->len = sizeof(*params);
	return control_send(control, &call);
}
