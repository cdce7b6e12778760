/* SPDX-License-Identifier: MIT */
/* abi_adding.c - ADD_DEV: what is refused, what is granted, what comes back in each field. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/abi.h"

#define F(name)	     UBLK_F_##name
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *name;
	uint64_t flags; /* beside IOCTL_ENCODE */
} flag_rows[] = {
	{ "NEED_GET_DATA", F(NEED_GET_DATA) },
	{ "USER_COPY", F(USER_COPY) },
	{ "USER_COPY and NEED_GET_DATA", F(USER_COPY) | F(NEED_GET_DATA) },
	{ "RECOVERY", F(USER_RECOVERY) },
	{ "RECOVERY and REISSUE", F(USER_RECOVERY) | F(USER_RECOVERY_REISSUE) },
	{ "RECOVERY and FAIL_IO", F(USER_RECOVERY) | F(USER_RECOVERY_FAIL_IO) },
	{ "REISSUE alone", F(USER_RECOVERY_REISSUE) },
	{ "FAIL_IO alone", F(USER_RECOVERY_FAIL_IO) },
	{ "REISSUE and FAIL_IO",
	  F(USER_RECOVERY) | F(USER_RECOVERY_REISSUE) | F(USER_RECOVERY_FAIL_IO) },
	{ "QUIESCE alone", F(QUIESCE) },
	{ "QUIESCE and RECOVERY", F(QUIESCE) | F(USER_RECOVERY) },
	{ "UPDATE_SIZE", F(UPDATE_SIZE) },
	{ "NO_AUTO_PART_SCAN", F(NO_AUTO_PART_SCAN) },
	{ "SUPPORT_ZERO_COPY", F(SUPPORT_ZERO_COPY) },
	{ "ZONED", F(ZONED) },
	{ "ZONED and USER_COPY", F(ZONED) | F(USER_COPY) },
	{ "AUTO_BUF_REG", F(AUTO_BUF_REG) },
	{ "BATCH_IO", F(BATCH_IO) },
	{ "INTEGRITY", F(INTEGRITY) },
	{ "INTEGRITY and USER_COPY", F(INTEGRITY) | F(USER_COPY) },
	{ "SHMEM_ZC", F(SHMEM_ZC) },
	{ "an unknown flag", 1ULL << 40 },
	{ "the last flag", 1ULL << 63 },
};

static struct ublksrv_ctrl_dev_info plain(uint64_t flags)
{
	struct ublksrv_ctrl_dev_info info = probe_info_plain();

	info.flags |= flags;
	return info;
}

/* Adds and deletes again; what came back is in *info. */
static int add(struct ublksrv_ctrl_dev_info *info)
{
	int result = abi_call(UBLK_U_CMD_ADD_DEV, info->dev_id, info, sizeof(*info));

	if (!result)
		probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, info->dev_id, 0));
	return result;
}

static void add_plain(const char *what, struct ublksrv_ctrl_dev_info info)
{
	abi_answer(what, add(&info));
}

static void flags(void)
{
	char what[80];

	for (size_t i = 0; i < COUNT(flag_rows); i++) {
		struct ublksrv_ctrl_dev_info info = plain(flag_rows[i].flags);
		int result = add(&info);

		snprintf(what, sizeof(what), "ADD_DEV, %s", flag_rows[i].name);
		if (result)
			abi_answer(what, result);
		else
			abi_words(what, "%s", abi_features(info.flags));
	}
}

static void numbers(void)
{
	struct ublksrv_ctrl_dev_info info;
	static const uint32_t depths[] = { 0, 1, 4096, 4097 };
	static const uint32_t sizes[] = {
		0,	   512, 4095, 4096, 4097, PROBE_BUFFER_BYTES, 32u << 20, (32u << 20) + 4096,
		UINT32_MAX
	};
	char what[80];

	for (size_t i = 0; i < COUNT(depths); i++) {
		snprintf(what, sizeof(what), "ADD_DEV, depth %u", depths[i]);
		info = plain(0);
		info.queue_depth = (uint16_t)depths[i];
		add_plain(what, info);
	}
	info = plain(0);
	info.nr_hw_queues = 0;
	add_plain("ADD_DEV, no queue", info);
	info.nr_hw_queues = 4096;
	add_plain("ADD_DEV, 4096 queues", info);
	info.nr_hw_queues = 4097;
	add_plain("ADD_DEV, 4097 queues", info);
	info.nr_hw_queues = UINT16_MAX;
	add_plain("ADD_DEV, 65535 queues", info);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		int result;

		snprintf(what, sizeof(what), "ADD_DEV, max_io_buf_bytes %u", sizes[i]);
		info = plain(0);
		info.max_io_buf_bytes = sizes[i];
		result = add(&info);
		abi_answer(what, result ? result : (int64_t)info.max_io_buf_bytes);
	}
}

/* What the user says of fields that are the driver's. */
static void fields(void)
{
	struct ublksrv_ctrl_dev_info info = plain(0);

	info.state = UBLK_S_DEV_LIVE;
	info.io_desc_size = 64;
	info.ublksrv_pid = 1;
	info.pad1 = 5;
	info.ublksrv_flags = 6;
	info.owner_uid = info.owner_gid = ABI_STRANGER;
	info.reserved1 = 7;
	info.reserved2 = 8;
	probe_expect("ADD_DEV", 0, add(&info));
	abi_answer("ADD_DEV, state comes back as", info.state);
	abi_answer("ADD_DEV, io_desc_size 64 without its flag comes back as", info.io_desc_size);
	abi_words("ADD_DEV, ublksrv_pid comes back as", "%d", info.ublksrv_pid);
	abi_answer("ADD_DEV, pad1 5 comes back as", info.pad1);
	abi_answer("ADD_DEV, ublksrv_flags 6 comes back as", (int64_t)info.ublksrv_flags);
	abi_answer("ADD_DEV, owner_uid comes back as", info.owner_uid);
	abi_answer("ADD_DEV, owner_gid comes back as", info.owner_gid);
	abi_answer("ADD_DEV, reserved1 7 comes back as", (int64_t)info.reserved1);
	abi_answer("ADD_DEV, reserved2 8 comes back as", (int64_t)info.reserved2);
	info = plain(F(IO_DESC_SIZE));
	info.io_desc_size = 64;
	abi_words("ADD_DEV, io_desc_size 64 with its flag", "%d, then %s and %u", add(&info),
		  abi_features(info.flags), info.io_desc_size);
	info = plain(F(IO_DESC_SIZE));
	info.io_desc_size = 1;
	add_plain("ADD_DEV, io_desc_size 1 with its flag", info);
	info = plain(0);
	info.flags = 0;
	probe_expect("ADD_DEV", 0, add(&info));
	abi_words("ADD_DEV, no flag", "%s", abi_features(info.flags));
}

static int add_command(const struct ublksrv_ctrl_cmd *command)
{
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS };
	int result = control_open(&control);

	if (result < 0)
		probe_die("/dev/ublk-control: %s", strerror(-result));
	result = control_submit(&control, UBLK_U_CMD_ADD_DEV, command);
	control_close(&control);
	return result;
}

/* The command around it. */
static void envelope(void)
{
	struct ublksrv_ctrl_dev_info info = plain(0);
	const struct ublksrv_ctrl_cmd sound = { .dev_id = UINT32_MAX,
						.queue_id = UINT16_MAX,
						.addr = (uintptr_t)&info,
						.len = sizeof(info) };
	struct ublksrv_ctrl_cmd command = sound;

	command.queue_id = 0;
	abi_answer("ADD_DEV, queue_id 0", add_command(&command));
	command = sound;
	command.len = sizeof(info) - 8;
	abi_answer("ADD_DEV, len 8 too short", add_command(&command));
	command = sound;
	command.addr = 0;
	abi_answer("ADD_DEV, no address", add_command(&command));
	command = sound;
	command.dev_id = 5;
	abi_answer("ADD_DEV, another id around it", add_command(&command));
	info.dev_id = command.dev_id = 1u << 20;
	abi_answer("ADD_DEV, id 2^20", add_command(&command));
}

static void identity(void)
{
	struct probe probe = { 0 };
	struct ublksrv_ctrl_dev_info info = plain(0);

	abi_add(&probe, 0);
	info.dev_id = probe.info.dev_id;
	add_plain("ADD_DEV, an id that is taken", info);
	abi_delete(&probe);
}

static void add_unprivileged(const char *what, uint64_t flags)
{
	struct ublksrv_ctrl_dev_info info = plain(flags);

	abi_answer(what, abi_call(UBLK_U_CMD_ADD_DEV, UINT32_MAX, &info, sizeof(info)));
}

/* Root has to name the node of a device that may be a plain user's, to some drivers. */
static void delete_all(void)
{
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS, .with_path = true };

	if (control_open(&control) < 0)
		probe_die("/dev/ublk-control cannot be opened");
	for (uint32_t id = 0; id < 8; id++)
		control_device_command(&control, UBLK_U_CMD_DEL_DEV, id, 0);
	control_close(&control);
}

static void stranger(void)
{
	pid_t child = fork();

	if (!child) {
		abi_become_stranger();
		add_unprivileged("ADD_DEV, a plain user's without UNPRIVILEGED", 0);
		add_unprivileged("ADD_DEV, a plain user's with USER_COPY",
				 F(UNPRIVILEGED_DEV) | F(USER_COPY));
		add_unprivileged("ADD_DEV, a plain user's with SUPPORT_ZERO_COPY",
				 F(UNPRIVILEGED_DEV) | F(SUPPORT_ZERO_COPY));
		add_unprivileged("ADD_DEV, a plain user's with RECOVERY",
				 F(UNPRIVILEGED_DEV) | F(USER_RECOVERY));
		add_unprivileged("ADD_DEV, a plain user's with UPDATE_SIZE",
				 F(UNPRIVILEGED_DEV) | F(UPDATE_SIZE));
		_exit(0);
	}
	if (waitpid(child, NULL, 0) != child)
		probe_die("no child");
	delete_all();
	add_unprivileged("ADD_DEV, root's with UNPRIVILEGED", F(UNPRIVILEGED_DEV));
	add_unprivileged("ADD_DEV, root's with UNPRIVILEGED and USER_COPY",
			 F(UNPRIVILEGED_DEV) | F(USER_COPY));
	add_unprivileged("ADD_DEV, root's with UNPRIVILEGED and RECOVERY",
			 F(UNPRIVILEGED_DEV) | F(USER_RECOVERY));
	delete_all();
}

void abi_adding(void)
{
	flags();
	numbers();
	fields();
	envelope();
	identity();
	stranger();
}
