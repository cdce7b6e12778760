/* SPDX-License-Identifier: MIT */
/* abi_asking.c - commands that only ask, and commands about what does not exist. */
#include <stdio.h>
#include <string.h>

#include "tests/guest/ublk/abi.h"

#define NO_DEVICE 77

static struct probe probe;

static void no_device(void)
{
	static const struct {
		const char *name;
		uint32_t op;
	} rows[] = {
		{ "START_DEV", UBLK_U_CMD_START_DEV },
		{ "STOP_DEV", UBLK_U_CMD_STOP_DEV },
		{ "TRY_STOP_DEV", UBLK_U_CMD_TRY_STOP_DEV },
		{ "DEL_DEV", UBLK_U_CMD_DEL_DEV },
		{ "DEL_DEV_ASYNC", UBLK_U_CMD_DEL_DEV_ASYNC },
		{ "GET_DEV_INFO", UBLK_U_CMD_GET_DEV_INFO },
		{ "SET_PARAMS", UBLK_U_CMD_SET_PARAMS },
		{ "GET_PARAMS", UBLK_U_CMD_GET_PARAMS },
		{ "GET_QUEUE_AFFINITY", UBLK_U_CMD_GET_QUEUE_AFFINITY },
		{ "UPDATE_SIZE", UBLK_U_CMD_UPDATE_SIZE },
		{ "QUIESCE_DEV", UBLK_U_CMD_QUIESCE_DEV },
		{ "START_USER_RECOVERY", UBLK_U_CMD_START_USER_RECOVERY },
		{ "END_USER_RECOVERY", UBLK_U_CMD_END_USER_RECOVERY },
		{ "an unknown command", _IOWR('u', 0x3f, struct ublksrv_ctrl_cmd) },
	};
	char what[60];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(what, sizeof(what), "%s, no such device", rows[i].name);
		abi_answer(what, abi_command(rows[i].op, NO_DEVICE, 1));
	}
	abi_answer("STOP_DEV, device 2^32 - 1", abi_command(UBLK_U_CMD_STOP_DEV, UINT32_MAX, 0));
	abi_answer("STOP_DEV, device 2^31", abi_command(UBLK_U_CMD_STOP_DEV, 1u << 31, 0));
}

static void unknown_commands(void)
{
	uint32_t id = probe.info.dev_id;

	abi_answer("an unknown command",
		   abi_command(_IOWR('u', 0x3f, struct ublksrv_ctrl_cmd), id, 0));
	abi_answer("STOP_DEV, its number with another encoding",
		   abi_command(_IOR('u', 0x07, struct ublksrv_ctrl_cmd), id, 0));
	abi_answer("REG_BUF", abi_command(_IOWR('u', 0x18, struct ublksrv_ctrl_cmd), id, 0));
	abi_answer("UNREG_BUF", abi_command(_IOWR('u', 0x19, struct ublksrv_ctrl_cmd), id, 0));
	abi_answer("the bare number 0x03", abi_command(0x03, id, 0));
	abi_answer("the bare number 0x07, STOP_DEV's", abi_command(0x07, id, 0));
	abi_answer("the bare number 0x13, GET_FEATURES'", abi_command(0x13, id, 0));
	abi_answer("the bare number 0x15, UPDATE_SIZE's", abi_command(0x15, id, 0));
}

static void info(void)
{
	struct ublksrv_ctrl_dev_info told;
	char longer[sizeof(told) + 8];
	uint32_t id = probe.info.dev_id;

	abi_answer("GET_DEV_INFO, len 8 too short",
		   abi_call(UBLK_U_CMD_GET_DEV_INFO, id, &told, sizeof(told) - 8));
	abi_answer("GET_DEV_INFO, len 8 too long",
		   abi_call(UBLK_U_CMD_GET_DEV_INFO, id, longer, sizeof(longer)));
	abi_answer("GET_DEV_INFO, no buffer",
		   abi_call(UBLK_U_CMD_GET_DEV_INFO, id, NULL, sizeof(told)));
	told = abi_info(id);
	abi_answer("GET_DEV_INFO, state before the start", told.state);
	abi_words("GET_DEV_INFO, pid before the start", "%d", told.ublksrv_pid);
}

/* GET_DEV_INFO2 by root, without the path that a plain user has to give. */
static void info2(void)
{
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS };
	struct ublksrv_ctrl_dev_info told;
	struct ublksrv_ctrl_cmd command = { .dev_id = probe.info.dev_id,
					    .queue_id = UINT16_MAX,
					    .addr = (uintptr_t)&told,
					    .len = sizeof(told) };

	if (control_open(&control) < 0)
		probe_die("/dev/ublk-control cannot be opened");
	abi_answer("GET_DEV_INFO2, root's, without a path",
		   control_submit(&control, UBLK_U_CMD_GET_DEV_INFO2, &command));
	abi_answer("GET_DEV_INFO2, root's, with the path",
		   control_send(&control, &(struct control_call){ .op = UBLK_U_CMD_GET_DEV_INFO2,
								  .dev_id = probe.info.dev_id,
								  .buffer = &told,
								  .length = sizeof(told) }));
	control_close(&control);
}

static void affinity(void)
{
	static const uint16_t lengths[] = { 0, 4, 8, 12, 16, 1024 };
	char mask[1024] = { 0 }, what[60];
	struct control control = { .timeout_ms = PROBE_TIMEOUT_MS };
	struct control_call call = { .op = UBLK_U_CMD_GET_QUEUE_AFFINITY,
				     .dev_id = probe.info.dev_id,
				     .buffer = mask };

	if (control_open(&control) < 0)
		probe_die("/dev/ublk-control cannot be opened");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		call.length = lengths[i];
		snprintf(what, sizeof(what), "GET_QUEUE_AFFINITY, len %u", lengths[i]);
		abi_answer(what, control_send(&control, &call));
	}
	call.length = 8;
	call.data = 1;
	abi_answer("GET_QUEUE_AFFINITY, a queue that is not there", control_send(&control, &call));
	control_close(&control);
}

static void features(void)
{
	uint64_t told[2] = { 0 };

	abi_answer("GET_FEATURES, len 4", abi_call(UBLK_U_CMD_GET_FEATURES, UINT32_MAX, told, 4));
	abi_answer("GET_FEATURES, len 16", abi_call(UBLK_U_CMD_GET_FEATURES, UINT32_MAX, told, 16));
	abi_answer("GET_FEATURES, no buffer",
		   abi_call(UBLK_U_CMD_GET_FEATURES, UINT32_MAX, NULL, 8));
	abi_words("GET_FEATURES", "%s", abi_features(probe_listed()));
}

void abi_asking(void)
{
	no_device();
	features();
	abi_add(&probe, 0);
	info();
	info2();
	affinity();
	unknown_commands();
	abi_delete(&probe);
}
