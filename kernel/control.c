// SPDX-License-Identifier: GPL-2.0
/* control.c - one function per control command. All may sleep: they run in the ring's workers. */
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/uaccess.h>

#include "cancel.h"
#include "compat.h"
#include "control.h"
#include "devices.h"
#include "disk.h"
#include "params.h"
#include "permission.h"

#define UBLK_CONTROL_FEATURES                                                                      \
	(UBLK_F_URING_CMD_COMP_IN_TASK | UBLK_F_NEED_GET_DATA | UBLK_F_USER_RECOVERY |             \
	 UBLK_F_USER_RECOVERY_REISSUE | UBLK_F_UNPRIVILEGED_DEV | UBLK_F_CMD_IOCTL_ENCODE |        \
	 UBLK_F_USER_COPY | UBLK_F_USER_RECOVERY_FAIL_IO | UBLK_F_UPDATE_SIZE | UBLK_F_QUIESCE |   \
	 UBLK_F_PER_IO_DAEMON | UBLK_F_SAFE_STOP_DEV | UBLK_F_NO_AUTO_PART_SCAN)

/* Granted whether they were asked for or not: a server may rely on them without a word. */
#define UBLK_CONTROL_FEATURES_ALWAYS                                                               \
	(UBLK_F_URING_CMD_COMP_IN_TASK | UBLK_F_CMD_IOCTL_ENCODE | UBLK_F_PER_IO_DAEMON |          \
	 UBLK_F_SAFE_STOP_DEV)

#define UBLK_CONTROL_QUIESCE_STEP_MS 10

static void __user *ublk_control_buffer(const struct ublksrv_ctrl_cmd *command)
{
	return u64_to_user_ptr(command->addr);
}

/*
 * --- making and ending -------------------------------------------------------------------------
 */

static int ublk_control_add_check_flags(u64 flags)
{
	const u64 recovery = UBLK_F_USER_RECOVERY_REISSUE | UBLK_F_USER_RECOVERY_FAIL_IO;

	if (flags & recovery && !(flags & UBLK_F_USER_RECOVERY))
		return -EINVAL;
	if ((flags & recovery) == recovery)
		return -EINVAL;
	if (flags & UBLK_F_QUIESCE && !(flags & UBLK_F_USER_RECOVERY))
		return -EINVAL;
	if (flags & UBLK_F_UNPRIVILEGED_DEV && flags & (UBLK_F_USER_COPY | UBLK_F_USER_RECOVERY))
		return -EINVAL;
	return 0;
}

static void ublk_control_add_clamp(struct ublksrv_ctrl_dev_info *info)
{
	info->flags = (info->flags & UBLK_CONTROL_FEATURES) | UBLK_CONTROL_FEATURES_ALWAYS;
	if (info->flags & UBLK_F_USER_COPY)
		info->flags &= ~(u64)UBLK_F_NEED_GET_DATA;
	info->nr_hw_queues = min_t(u32, info->nr_hw_queues, nr_cpu_ids);
	/* Larger ones are asked for by a flag that is masked. */
	info->io_desc_size = sizeof(struct ublksrv_io_desc);
	info->max_io_buf_bytes =
		round_down(min_t(u32, info->max_io_buf_bytes, BIT(UBLK_IO_BUF_BITS)), PAGE_SIZE);
	info->state = UBLK_S_DEV_DEAD;
	info->ublksrv_pid = -1;
	info->owner_uid = from_kuid(&init_user_ns, current_uid());
	info->owner_gid = from_kgid(&init_user_ns, current_gid());
}

static int ublk_control_add(struct ublksrv_ctrl_cmd *command)
{
	struct ublksrv_ctrl_dev_info info;
	struct ublk_device *device;
	int result;

	if (command->len < sizeof(info) || !command->addr || command->queue_id != U16_MAX)
		return -EINVAL;
	if (copy_from_user(&info, ublk_control_buffer(command), sizeof(info)))
		return -EFAULT;
	if (info.dev_id != command->dev_id ||
	    (info.dev_id != U32_MAX && info.dev_id >= UBLK_MINORS))
		return -EINVAL;
	if (!info.nr_hw_queues || info.nr_hw_queues > UBLK_MAX_QUEUES || !info.queue_depth ||
	    info.queue_depth > UBLK_MAX_QUEUE_DEPTH)
		return -EINVAL;
	result = ublk_permission_add(info.flags);
	if (!result)
		result = ublk_control_add_check_flags(info.flags & UBLK_CONTROL_FEATURES);
	if (result)
		return result;
	ublk_control_add_clamp(&info);
	device = ublk_devices_add(&info, (int)info.dev_id);
	if (IS_ERR(device))
		return PTR_ERR(device);
	info.dev_id = device->info.dev_id;
	if (copy_to_user(ublk_control_buffer(command), &info, sizeof(info))) {
		ublk_devices_delete(device);
		result = -EFAULT;
	}
	ublk_device_put(device);
	return result;
}

/* The mutex is held. */
static bool ublk_control_has_params(const struct ublk_device *device)
{
	return device->params.types & UBLK_PARAM_TYPE_BASIC;
}

static int ublk_control_start(struct ublk_device *device, const struct ublksrv_ctrl_cmd *command)
{
	int result = 0, pid = (int)command->data[0];

	if (pid <= 0)
		return -EINVAL;
	mutex_lock(&device->mutex);
	if (!ublk_control_has_params(device))
		result = -EINVAL;
	mutex_unlock(&device->mutex);
	if (!result)
		result = ublk_device_wait_ready(device);
	if (result)
		return result;
	mutex_lock(&device->mutex);
	if (device->info.state != UBLK_S_DEV_DEAD || device->disk)
		result = -EEXIST;
	else if (!ublk_device_ready(device))
		result = -EBUSY;
	else if (!ublk_control_has_params(device) || pid_vnr(device->daemon) != pid)
		result = -EINVAL;
	else
		result = ublk_disk_start(device);
	if (!result)
		device->info.ublksrv_pid = pid_nr(device->daemon);
	mutex_unlock(&device->mutex);
	return result;
}

/*
 * TRY_STOP_DEV is about the disk, and leaves a daemon alone that has none; STOP_DEV ends that, too.
 */
static int ublk_control_stop(struct ublk_device *device, bool only_unused)
{
	int result = 0;

	mutex_lock(&device->mutex);
	if (only_unused)
		result = device->disk ? ublk_disk_close_unused(device) : -ENODEV;
	if (result) {
		mutex_unlock(&device->mutex);
		return result;
	}
	ublk_disk_stop(device);
	ublk_device_tell_daemon(device);
	mutex_unlock(&device->mutex);
	ublk_cancel_lost(device);
	return 0;
}

/*
 * --- asking and telling ------------------------------------------------------------------------
 */

static int ublk_control_get_info(struct ublk_device *device, const struct ublksrv_ctrl_cmd *command)
{
	struct ublksrv_ctrl_dev_info info;

	if (command->len < sizeof(info) || !command->addr)
		return -EINVAL;
	mutex_lock(&device->mutex);
	info = device->info;
	/* As the caller's pid namespace has it; 0 when it has not. */
	spin_lock(&device->daemon_lock);
	if (info.ublksrv_pid > 0)
		info.ublksrv_pid = pid_vnr(device->daemon);
	spin_unlock(&device->daemon_lock);
	mutex_unlock(&device->mutex);
	return copy_to_user(ublk_control_buffer(command), &info, sizeof(info)) ? -EFAULT : 0;
}

static int ublk_control_get_affinity(struct ublk_device *device,
				     const struct ublksrv_ctrl_cmd *command)
{
	u64 queue = command->data[0];
	cpumask_var_t mask;
	unsigned int cpu, bytes;
	int result = 0;

	if (command->len * BITS_PER_BYTE < nr_cpu_ids || command->len & (sizeof(long) - 1) ||
	    !command->addr || queue >= device->info.nr_hw_queues)
		return -EINVAL;
	if (!zalloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		if (device->tags.map[HCTX_TYPE_DEFAULT].mq_map[cpu] == queue)
			cpumask_set_cpu(cpu, mask);
	bytes = min_t(unsigned int, command->len, cpumask_size());
	if (copy_to_user(ublk_control_buffer(command), mask, bytes) ||
	    clear_user(ublk_control_buffer(command) + bytes, command->len - bytes))
		result = -EFAULT;
	free_cpumask_var(mask);
	return result;
}

static int ublk_control_get_features(const struct ublksrv_ctrl_cmd *command)
{
	u64 features = UBLK_CONTROL_FEATURES;

	if (command->len != UBLK_FEATURES_LEN || !command->addr)
		return -EINVAL;
	return copy_to_user(ublk_control_buffer(command), &features, sizeof(features)) ? -EFAULT
										       : 0;
}

/* The structure's length as it says itself: with its head, and not more than the buffer. */
static int ublk_control_params_length(const struct ublksrv_ctrl_cmd *command, u32 *bytes)
{
	const u32 head_bytes = offsetofend(struct ublk_params, types);

	if (command->len <= head_bytes || !command->addr)
		return -EINVAL;
	if (copy_from_user(bytes, ublk_control_buffer(command), sizeof(*bytes)))
		return -EFAULT;
	return *bytes < head_bytes || *bytes > command->len ? -EINVAL : 0;
}

static int ublk_control_set_params(struct ublk_device *device,
				   const struct ublksrv_ctrl_cmd *command)
{
	struct ublk_params params = {};
	u32 bytes;
	int result;

	result = ublk_control_params_length(command, &bytes);
	if (result)
		return result;
	bytes = min_t(u32, bytes, sizeof(params));
	if (copy_from_user(&params, ublk_control_buffer(command), bytes))
		return -EFAULT;
	params.len = bytes;
	result = ublk_params_check(&params, device->info.max_io_buf_bytes);
	mutex_lock(&device->mutex);
	if (device->disk || device->info.state != UBLK_S_DEV_DEAD)
		result = -EACCES;
	else if (result)
		device->params.types = 0; /* no disk of what was there before */
	else
		device->params = params;
	mutex_unlock(&device->mutex);
	return result;
}

static void ublk_control_fill_devt(const struct ublk_device *device, struct ublk_param_devt *devt)
{
	const dev_t disk = device->disk ? disk_devt(device->disk) : 0;

	devt->char_major = MAJOR(device->dev.devt);
	devt->char_minor = MINOR(device->dev.devt);
	devt->disk_major = MAJOR(disk);
	devt->disk_minor = MINOR(disk);
}

static int ublk_control_get_params(struct ublk_device *device,
				   const struct ublksrv_ctrl_cmd *command)
{
	struct ublk_params params;
	u32 bytes;
	int result;

	result = ublk_control_params_length(command, &bytes);
	if (result)
		return result;
	mutex_lock(&device->mutex);
	params = device->params;
	ublk_control_fill_devt(device, &params.devt);
	params.types |= UBLK_PARAM_TYPE_DEVT;
	mutex_unlock(&device->mutex);
	bytes = min_t(u32, bytes, sizeof(params));
	params.len = bytes;
	return copy_to_user(ublk_control_buffer(command), &params, bytes) ? -EFAULT : 0;
}

static int ublk_control_update_size(struct ublk_device *device,
				    const struct ublksrv_ctrl_cmd *command)
{
	u64 sectors = command->data[0];
	int result = 0;

	if (sectors > LLONG_MAX >> SECTOR_SHIFT)
		return -EINVAL;
	mutex_lock(&device->mutex);
	if (!device->disk) {
		result = -ENODEV;
	} else {
		device->params.basic.dev_sectors = sectors;
		set_capacity_and_notify(device->disk, sectors);
	}
	mutex_unlock(&device->mutex);
	return result;
}

/*
 * --- recovery ----------------------------------------------------------------------------------
 */

static bool ublk_control_awaits_recovery(const struct ublk_device *device)
{
	return device->info.state == UBLK_S_DEV_QUIESCED ||
	       device->info.state == UBLK_S_DEV_FAIL_IO;
}

static int ublk_control_start_recovery(struct ublk_device *device)
{
	int result = 0;

	if (!ublk_device_recovers(device))
		return -EINVAL;
	mutex_lock(&device->mutex);
	if (test_bit(UBLK_DEVICE_OPEN, &device->flags) || !ublk_control_awaits_recovery(device))
		result = -EBUSY;
	mutex_unlock(&device->mutex);
	return result;
}

static int ublk_control_end_recovery(struct ublk_device *device,
				     const struct ublksrv_ctrl_cmd *command)
{
	int result, pid = (int)command->data[0];
	u16 id;

	if (!ublk_device_recovers(device))
		return -EINVAL;
	result = ublk_device_wait_ready(device);
	if (result)
		return result;
	mutex_lock(&device->mutex);
	if (!ublk_control_awaits_recovery(device))
		result = -EBUSY;
	else if (!ublk_device_ready(device))
		result = -EBUSY;
	else if (pid_vnr(device->daemon) != pid)
		result = -EINVAL;
	if (!result) {
		device->info.ublksrv_pid = pid_nr(device->daemon);
		WRITE_ONCE(device->info.state, UBLK_S_DEV_LIVE);
		ublk_disk_trust(device);
		for (id = 0; id < device->info.nr_hw_queues; id++)
			ublk_queue_set_mode(device->queues[id], UBLK_QUEUE_SERVE);
		blk_mq_kick_requeue_list(device->disk->queue);
	}
	mutex_unlock(&device->mutex);
	return result;
}

static bool ublk_control_queue_idle(struct ublk_queue *queue)
{
	bool idle = true;
	u16 tag;

	spin_lock(&queue->lock);
	for (tag = 0; tag < queue->depth && idle; tag++)
		idle = queue->slots[tag].state == UBLK_SLOT_PARKED ||
		       queue->slots[tag].state == UBLK_SLOT_EMPTY;
	spin_unlock(&queue->lock);
	return idle;
}

static void ublk_control_quiesce_set_mode(struct ublk_device *device, enum ublk_queue_mode from,
					  enum ublk_queue_mode to)
{
	struct ublk_queue *queue;
	u16 id;

	for (id = 0; id < device->info.nr_hw_queues; id++) {
		queue = device->queues[id];
		spin_lock(&queue->lock);
		if (queue->mode == from)
			queue->mode = to;
		spin_unlock(&queue->lock);
	}
}

/*
 * Waits until the daemon has nothing, is lost, or the disk goes. 0 (no limit): until told to end.
 */
static int ublk_control_quiesce_wait(struct ublk_device *device, u64 timeout_ms)
{
	u64 waited_ms = 0;
	u16 id = 0;

	while (id < device->info.nr_hw_queues) {
		if (test_bit(UBLK_DEVICE_LOST, &device->flags) ||
		    test_bit(UBLK_DEVICE_STOPPING, &device->flags))
			return 0;
		if (ublk_control_queue_idle(device->queues[id])) {
			id++;
			continue;
		}
		if (timeout_ms && waited_ms >= timeout_ms)
			return -EBUSY;
		if (msleep_interruptible(UBLK_CONTROL_QUIESCE_STEP_MS))
			return -EINTR;
		waited_ms += UBLK_CONTROL_QUIESCE_STEP_MS;
	}
	return 0;
}

/* The mutex is held. Only one may wait: another's time running out would let requests in again. */
static int ublk_control_quiesce_begin(struct ublk_device *device)
{
	if (device->info.state != UBLK_S_DEV_LIVE)
		return ublk_control_awaits_recovery(device) ? 0 : -ENODEV;
	if (test_and_set_bit(UBLK_DEVICE_QUIESCING, &device->flags))
		return -EBUSY;
	ublk_control_quiesce_set_mode(device, UBLK_QUEUE_SERVE, UBLK_QUEUE_HOLD);
	return -EINPROGRESS;
}

/* The mutex is held again. True: the daemon is idle and is to be told to go. */
static bool ublk_control_quiesce_end(struct ublk_device *device, u32 round, int waited)
{
	clear_bit(UBLK_DEVICE_QUIESCING, &device->flags);
	if (device->info.state != UBLK_S_DEV_LIVE || ublk_device_this_round(device) != round)
		return false;
	if (!waited) {
		ublk_device_tell_daemon(device);
		return true;
	}
	ublk_control_quiesce_set_mode(device, UBLK_QUEUE_HOLD, UBLK_QUEUE_SERVE);
	blk_mq_kick_requeue_list(device->disk->queue);
	return false;
}

/*
 * New requests wait, the daemon finishes what it has, then its commands end. A hung daemon may keep
 * this waiting; STOP_DEV and DEL_DEV must not wait behind it, so the wait is without the mutex.
 */
static int ublk_control_quiesce(struct ublk_device *device, const struct ublksrv_ctrl_cmd *command)
{
	bool tell_daemon;
	u32 round;
	int result;

	if (!ublk_device_has(device, UBLK_F_QUIESCE))
		return -EOPNOTSUPP;
	mutex_lock(&device->mutex);
	round = ublk_device_this_round(device);
	result = ublk_control_quiesce_begin(device);
	mutex_unlock(&device->mutex);
	if (result != -EINPROGRESS)
		return result;
	result = ublk_control_quiesce_wait(device, command->data[0]);
	mutex_lock(&device->mutex);
	tell_daemon = ublk_control_quiesce_end(device, round, result);
	mutex_unlock(&device->mutex);
	if (tell_daemon)
		ublk_cancel_lost(device);
	return result;
}

/*
 * --- dispatch ----------------------------------------------------------------------------------
 */

static int ublk_control_run_on_device(struct ublk_device *device, u32 opcode,
				      struct ublksrv_ctrl_cmd *command)
{
	switch (opcode) {
	case UBLK_U_CMD_GET_DEV_INFO:
	case UBLK_U_CMD_GET_DEV_INFO2:
		return ublk_control_get_info(device, command);
	case UBLK_U_CMD_GET_QUEUE_AFFINITY:
		return ublk_control_get_affinity(device, command);
	case UBLK_U_CMD_START_DEV:
		return ublk_control_start(device, command);
	case UBLK_U_CMD_STOP_DEV:
		return ublk_control_stop(device, false);
	case UBLK_U_CMD_TRY_STOP_DEV:
		return ublk_control_stop(device, true);
	case UBLK_U_CMD_SET_PARAMS:
		return ublk_control_set_params(device, command);
	case UBLK_U_CMD_GET_PARAMS:
		return ublk_control_get_params(device, command);
	case UBLK_U_CMD_UPDATE_SIZE:
		return ublk_control_update_size(device, command);
	case UBLK_U_CMD_START_USER_RECOVERY:
		return ublk_control_start_recovery(device);
	case UBLK_U_CMD_END_USER_RECOVERY:
		return ublk_control_end_recovery(device, command);
	case UBLK_U_CMD_QUIESCE_DEV:
		return ublk_control_quiesce(device, command);
	case UBLK_U_CMD_DEL_DEV:
	case UBLK_U_CMD_DEL_DEV_ASYNC:
		ublk_devices_delete(device);
		return 0;
	}
	return -EOPNOTSUPP;
}

static int ublk_control_run(u32 opcode, struct ublksrv_ctrl_cmd *command)
{
	struct ublk_device *device;
	unsigned long serial;
	int result;

	if (opcode == UBLK_U_CMD_ADD_DEV)
		return ublk_control_add(command);
	if (opcode == UBLK_U_CMD_GET_FEATURES)
		return ublk_control_get_features(command);
	device = ublk_devices_get(command->dev_id);
	if (!device)
		return -ENODEV;
	result = ublk_permission_check(device, opcode, command);
	if (!result)
		result = ublk_control_run_on_device(device, opcode, command);
	serial = device->serial;
	ublk_device_put(device);
	if (!result && opcode == UBLK_U_CMD_DEL_DEV)
		result = ublk_devices_wait_gone(command->dev_id, serial);
	return result;
}

/* Servers of 6.1's time send the bare number; those commands are 0x01 to 0x12. */
static u32 ublk_control_full_opcode(u32 code)
{
	static const u32 legacy[] = {
		UBLK_U_CMD_GET_QUEUE_AFFINITY,
		UBLK_U_CMD_GET_DEV_INFO,
		UBLK_U_CMD_ADD_DEV,
		UBLK_U_CMD_DEL_DEV,
		UBLK_U_CMD_START_DEV,
		UBLK_U_CMD_STOP_DEV,
		UBLK_U_CMD_SET_PARAMS,
		UBLK_U_CMD_GET_PARAMS,
		UBLK_U_CMD_START_USER_RECOVERY,
		UBLK_U_CMD_END_USER_RECOVERY,
		UBLK_U_CMD_GET_DEV_INFO2,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(legacy); i++)
		if (code == _IOC_NR(legacy[i]))
			return legacy[i];
	return code;
}

static int ublk_control_issue(struct io_uring_cmd *io_command, unsigned int issue_flags)
{
	struct ublksrv_ctrl_cmd command;

	BUILD_BUG_ON(sizeof(command) > sizeof(io_command->pdu));
	if (!(issue_flags & IO_URING_F_SQE128))
		return -EINVAL;
	/* Everything here may sleep: to a worker. */
	if (issue_flags & IO_URING_F_NONBLOCK) {
		compat_command_keep_payload(io_command, sizeof(command));
		return -EAGAIN;
	}
	memcpy(&command, compat_command_kept_payload(io_command), sizeof(command));
	return ublk_control_run(ublk_control_full_opcode(READ_ONCE(io_command->cmd_op)), &command);
}

static const struct file_operations ublk_control_operations = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.uring_cmd = ublk_control_issue,
	.llseek = noop_llseek,
};

static struct miscdevice ublk_control_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ublk-control",
	.fops = &ublk_control_operations,
};

int ublk_control_init(void)
{
	return misc_register(&ublk_control_misc);
}

void ublk_control_exit(void)
{
	misc_deregister(&ublk_control_misc);
}
