/* SPDX-License-Identifier: MIT */
#include "gateway/common/ublk_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/common/uring_compat.h"
#include "tls/clock.h"

/* Commands that only look something up are answered at once; this is for a wedged kernel. */
#define QUICK_TIMEOUT_MS 10000
#define RING_ENTRIES	 8
#define DELETE_POLL_MS	 10

struct ublk_control {
	int fd;
	struct io_uring ring;
	uint64_t sequence; /* user_data of the newest command: older ones' results are stale */
	/* Command buffers live here: a command that timed out may still be using its own. */
	struct ublksrv_ctrl_dev_info info;
	struct ublk_params params;
	uint64_t features;
	bool stuck; /* a command timed out: its buffer may still be written to */
};

static int open_failed(int error, char *sentence, size_t sentence_bytes)
{
	const char *remedy = "see `ublk-nbd doctor`";

	if (error == ENOENT || error == ENXIO || error == ENODEV)
		remedy = "is the ublk_drv module loaded (modprobe ublk_drv)?";
	else if (error == EACCES || error == EPERM)
		remedy = "run as root; in a container, give it the device and CAP_SYS_ADMIN";
	snprintf(sentence, sentence_bytes, "cannot open %s: %s: %s", UBLK_CONTROL_PATH,
		 strerror(error), remedy);
	return -error;
}

int ublk_control_open(struct ublk_control **out, char *error, size_t error_bytes)
{
	struct ublk_control *control = calloc(1, sizeof(*control));
	int ret;

	if (!control) {
		snprintf(error, error_bytes, "out of memory");
		return -ENOMEM;
	}
	control->fd = open(UBLK_CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (control->fd < 0) {
		ret = open_failed(errno, error, error_bytes);
		goto free_control;
	}
	ret = io_uring_queue_init(RING_ENTRIES, &control->ring, IORING_SETUP_SQE128);
	if (ret < 0) {
		snprintf(error, error_bytes,
			 "cannot make an io_uring: %s: check the sysctl kernel.io_uring_disabled "
			 "and, in a container, its seccomp profile",
			 strerror(-ret));
		goto close_fd;
	}
	*out = control;
	return 0;

close_fd:
	close(control->fd);
free_control:
	free(control);
	return ret;
}

void ublk_control_close(struct ublk_control *control)
{
	if (!control)
		return;
	io_uring_queue_exit(&control->ring);
	close(control->fd);
	/* The ring's exit is asynchronous in the kernel: a command that is stuck may write its
	 * answer yet, so its buffer is left. At most one small leak for each wedged device. */
	if (!control->stuck)
		free(control);
}

static int submit(struct ublk_control *control, uint32_t op, const struct ublksrv_ctrl_cmd *cmd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&control->ring);
	int ret;

	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = control->fd;
	sqe->cmd_op = op;
	sqe->user_data = ++control->sequence;
	memcpy(sqe->cmd, cmd, sizeof(*cmd));
	ret = io_uring_submit(&control->ring);
	return ret < 0 ? ret : 0;
}

/* The newest command's result, waiting up to timeout_ms (0: not at all, -EAGAIN). */
static int result(struct ublk_control *control, uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_now_ms() + timeout_ms;

	for (;;) {
		struct io_uring_cqe *cqe = NULL;
		int64_t left_ms = deadline_ms - clock_now_ms();
		struct __kernel_timespec ts;
		uint64_t sequence;
		int ret, res;

		if (left_ms < 0)
			left_ms = 0;
		ts.tv_sec = left_ms / 1000;
		ts.tv_nsec = (left_ms % 1000) * 1000000;
		if (timeout_ms)
			ret = io_uring_wait_cqe_timeout(&control->ring, &cqe, &ts);
		else
			ret = io_uring_peek_cqe(&control->ring, &cqe);
		if (ret == -EINTR)
			continue;
		if (ret == -EAGAIN && !timeout_ms)
			return -EAGAIN;
		if (ret < 0) {
			control->stuck = true;
			return ret == -ETIME || ret == -EAGAIN ? -ETIMEDOUT : ret;
		}
		sequence = cqe->user_data;
		res = cqe->res;
		io_uring_cqe_seen(&control->ring, cqe);
		if (sequence == control->sequence)
			return res;
	}
}

static int command(struct ublk_control *control, uint32_t op, const struct ublksrv_ctrl_cmd *cmd,
		   uint32_t timeout_ms)
{
	int ret = submit(control, op, cmd);

	return ret < 0 ? ret : result(control, timeout_ms);
}

static struct ublksrv_ctrl_cmd command_for(uint32_t dev_id, const void *buffer, size_t bytes)
{
	return (struct ublksrv_ctrl_cmd){
		.dev_id = dev_id,
		.queue_id = (uint16_t)-1,
		.addr = (uintptr_t)buffer,
		.len = (uint16_t)bytes,
	};
}

int ublk_control_get_features(struct ublk_control *control, uint64_t *features)
{
	struct ublksrv_ctrl_cmd cmd =
		command_for((uint32_t)-1, &control->features, UBLK_FEATURES_LEN);
	int ret = command(control, UBLK_U_CMD_GET_FEATURES, &cmd, QUICK_TIMEOUT_MS);

	if (ret == 0)
		*features = control->features;
	return ret == -EINVAL ? -EOPNOTSUPP : ret;
}

int ublk_control_add(struct ublk_control *control, struct ublksrv_ctrl_dev_info *info)
{
	struct ublksrv_ctrl_cmd cmd =
		command_for(info->dev_id, &control->info, sizeof(control->info));
	int ret;

	control->info = *info;
	ret = command(control, UBLK_U_CMD_ADD_DEV, &cmd, QUICK_TIMEOUT_MS);
	if (ret == 0)
		*info = control->info;
	return ret == -EEXIST ? -EBUSY : ret;
}

int ublk_control_set_params(struct ublk_control *control, uint32_t dev_id,
			    struct ublk_params *params)
{
	struct ublksrv_ctrl_cmd cmd =
		command_for(dev_id, &control->params, sizeof(control->params));

	control->params = *params;
	control->params.len = sizeof(control->params);
	return command(control, UBLK_U_CMD_SET_PARAMS, &cmd, QUICK_TIMEOUT_MS);
}

int ublk_control_get_params(struct ublk_control *control, uint32_t dev_id,
			    struct ublk_params *params)
{
	struct ublksrv_ctrl_cmd cmd =
		command_for(dev_id, &control->params, sizeof(control->params));
	int ret;

	memset(&control->params, 0, sizeof(control->params));
	control->params.len = sizeof(control->params);
	ret = command(control, UBLK_U_CMD_GET_PARAMS, &cmd, QUICK_TIMEOUT_MS);
	if (ret == 0)
		*params = control->params;
	return ret;
}

int ublk_control_get_info(struct ublk_control *control, uint32_t dev_id,
			  struct ublksrv_ctrl_dev_info *info)
{
	struct ublksrv_ctrl_cmd cmd = command_for(dev_id, &control->info, sizeof(control->info));
	int ret;

	memset(&control->info, 0, sizeof(control->info));
	ret = command(control, UBLK_U_CMD_GET_DEV_INFO, &cmd, QUICK_TIMEOUT_MS);
	if (ret == 0)
		*info = control->info;
	/* The driver answers "no such device" with -EINVAL as well. */
	return ret == -EINVAL ? -ENODEV : ret;
}

int ublk_control_update_size(struct ublk_control *control, uint32_t dev_id, uint64_t sectors)
{
	struct ublksrv_ctrl_cmd cmd = command_for(dev_id, NULL, 0);

	cmd.data[0] = sectors;
	return command(control, UBLK_U_CMD_UPDATE_SIZE, &cmd, QUICK_TIMEOUT_MS);
}

int ublk_control_start(struct ublk_control *control, uint32_t dev_id, pid_t daemon_pid,
		       uint32_t timeout_ms)
{
	struct ublksrv_ctrl_cmd cmd = command_for(dev_id, NULL, 0);

	cmd.data[0] = (uint64_t)daemon_pid;
	return command(control, UBLK_U_CMD_START_DEV, &cmd, timeout_ms);
}

int ublk_control_stop(struct ublk_control *control, uint32_t dev_id, uint32_t timeout_ms)
{
	struct ublksrv_ctrl_cmd cmd = command_for(dev_id, NULL, 0);

	return command(control, UBLK_U_CMD_STOP_DEV, &cmd, timeout_ms);
}

int ublk_control_try_stop(struct ublk_control *control, uint32_t dev_id, uint32_t timeout_ms)
{
	struct ublksrv_ctrl_cmd cmd = command_for(dev_id, NULL, 0);

	return command(control, UBLK_U_CMD_TRY_STOP_DEV, &cmd, timeout_ms);
}

/* Whether the device's number is free, or another server's already. Polls: nothing tells. */
static int await_deletion(struct ublk_control *control, const struct ublksrv_ctrl_dev_info *old,
			  int64_t deadline_ms)
{
	struct ublksrv_ctrl_dev_info info;
	int ret;

	while ((ret = ublk_control_get_info(control, old->dev_id, &info)) == 0) {
		if (info.ublksrv_flags != old->ublksrv_flags)
			return 0;
		if (clock_now_ms() >= deadline_ms)
			return 1;
		clock_pause_ms(DELETE_POLL_MS);
	}
	return ret == -ENODEV ? 0 : ret;
}

int ublk_control_delete(struct ublk_control *control, uint32_t dev_id, uint32_t timeout_ms)
{
	struct ublksrv_ctrl_cmd cmd = command_for(dev_id, NULL, 0);
	int64_t deadline_ms = clock_now_ms() + timeout_ms;
	struct ublksrv_ctrl_dev_info old;
	int ret = ublk_control_get_info(control, dev_id, &old);

	if (ret < 0)
		return ret;
	ret = command(control, UBLK_U_CMD_DEL_DEV_ASYNC, &cmd, timeout_ms);
	if (ret == -EINVAL || ret == -EOPNOTSUPP || ret == -ENOTTY)
		return command(control, UBLK_U_CMD_DEL_DEV, &cmd, timeout_ms);
	if (ret < 0)
		return ret;
	return await_deletion(control, &old, deadline_ms);
}
