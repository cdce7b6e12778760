/* SPDX-License-Identifier: MIT */
/* abi_life.c - START_DEV, STOP_DEV, TRY_STOP_DEV, UPDATE_SIZE, at each moment of a device's life. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/guest/ublk/abi.h"

#define SOON_MS 300

static struct probe probe;

static int command(uint32_t op, uint64_t data)
{
	return abi_command(op, probe.info.dev_id, data);
}

/* What the daemon's first tag is told soon: ETIME, nothing. */
static int told(void)
{
	return probe_wait(&probe, NULL, SOON_MS);
}

static int set_plain(void)
{
	struct ublk_params params = probe_params_plain();

	params.len = sizeof(params);
	return abi_call(UBLK_U_CMD_SET_PARAMS, probe.info.dev_id, &params, sizeof(params));
}

static void starting(void)
{
	uint64_t self = (uint64_t)getpid();

	abi_add(&probe, 0);
	abi_answer("START_DEV, pid 0, nothing fetched", command(UBLK_U_CMD_START_DEV, 0));
	abi_answer("START_DEV, nothing fetched, no parameters",
		   command(UBLK_U_CMD_START_DEV, self));
	probe_expect("SET_PARAMS", 0, set_plain());
	abi_answer("START_DEV, nothing fetched", command(UBLK_U_CMD_START_DEV, 1));
	abi_delete(&probe);
	abi_add(&probe, 0);
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	abi_answer("START_DEV, no parameters", command(UBLK_U_CMD_START_DEV, self));
	probe_expect("SET_PARAMS", 0, set_plain());
	abi_answer("START_DEV, pid 0", command(UBLK_U_CMD_START_DEV, 0));
	abi_answer("START_DEV, pid -1", command(UBLK_U_CMD_START_DEV, UINT64_MAX));
	abi_answer("START_DEV, another's pid", command(UBLK_U_CMD_START_DEV, 1));
	abi_answer("START_DEV, the daemon's pid", command(UBLK_U_CMD_START_DEV, self));
	abi_answer("START_DEV, again", command(UBLK_U_CMD_START_DEV, self));
	abi_answer("GET_DEV_INFO, pid is the daemon's once started",
		   abi_info(probe.info.dev_id).ublksrv_pid == getpid());
	abi_answer("GET_DEV_INFO, state once started", abi_info(probe.info.dev_id).state);
	abi_answer("STOP_DEV", command(UBLK_U_CMD_STOP_DEV, 0));
	abi_answer("STOP_DEV, what the daemon is told", told());
	abi_answer("STOP_DEV, again", command(UBLK_U_CMD_STOP_DEV, 0));
	abi_answer("GET_DEV_INFO, state once stopped", abi_info(probe.info.dev_id).state);
	abi_words("GET_DEV_INFO, pid once stopped", "%d", abi_info(probe.info.dev_id).ublksrv_pid);
	abi_answer("START_DEV, once stopped", command(UBLK_U_CMD_START_DEV, self));
	probe_close(&probe);
	abi_words("GET_DEV_INFO, pid once closed", "%d", abi_info(probe.info.dev_id).ublksrv_pid);
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	abi_answer("START_DEV, of a stopped device that is fetched anew",
		   command(UBLK_U_CMD_START_DEV, self));
	probe_expect("STOP_DEV", 0, command(UBLK_U_CMD_STOP_DEV, 0));
	probe_delete(&probe);
}

/* STOP_DEV and TRY_STOP_DEV of a device that has no disk. */
static void without_disk(uint32_t op, const char *name)
{
	char what[80];

	abi_add(&probe, 0);
	snprintf(what, sizeof(what), "%s, nothing fetched", name);
	abi_answer(what, command(op, 0));
	probe_expect("SET_PARAMS", 0, set_plain());
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	snprintf(what, sizeof(what), "%s, all fetched", name);
	abi_answer(what, command(op, 0));
	snprintf(what, sizeof(what), "%s, what the daemon is told when all is fetched", name);
	abi_answer(what, told());
	probe_delete(&probe);
}

static int open_disk(void)
{
	char path[CONTROL_PATH_BYTES];
	int disk;

	snprintf(path, sizeof(path), "/dev/ublkb%u", probe.info.dev_id);
	disk = open(path, O_RDONLY | O_CLOEXEC);
	if (disk < 0)
		probe_die("%s cannot be opened", path);
	return disk;
}

static void try_stop(void)
{
	int disk;

	probe_run(&probe, 0, ABI_DEPTH);
	disk = open_disk();
	abi_answer("TRY_STOP_DEV, a disk in use", command(UBLK_U_CMD_TRY_STOP_DEV, 0));
	close(disk);
	abi_answer("TRY_STOP_DEV, a disk that nobody has open",
		   command(UBLK_U_CMD_TRY_STOP_DEV, 0));
	abi_answer("TRY_STOP_DEV, what the daemon is told", told());
	abi_answer("TRY_STOP_DEV, again", command(UBLK_U_CMD_TRY_STOP_DEV, 0));
	control_close(&probe.control);
	probe_delete(&probe);
	probe_run(&probe, UBLK_F_USER_RECOVERY, ABI_DEPTH);
	probe_close(&probe);
	probe_await_state(probe.info.dev_id, UBLK_S_DEV_QUIESCED);
	abi_answer("TRY_STOP_DEV, a quiesced device", command(UBLK_U_CMD_TRY_STOP_DEV, 0));
	abi_answer("TRY_STOP_DEV, state of what was quiesced", probe_state(probe.info.dev_id));
	control_close(&probe.control);
	abi_delete(&probe);
}

/* The size that GET_PARAMS tells. */
static int64_t sectors(void)
{
	struct ublk_params params = { .len = sizeof(params) };

	probe_expect("GET_PARAMS", 0,
		     abi_call(UBLK_U_CMD_GET_PARAMS, probe.info.dev_id, &params, sizeof(params)));
	return (int64_t)params.basic.dev_sectors;
}

static void update_size(void)
{
	abi_add(&probe, UBLK_F_UPDATE_SIZE);
	probe_expect("SET_PARAMS", 0, set_plain());
	abi_answer("UPDATE_SIZE, no disk", command(UBLK_U_CMD_UPDATE_SIZE, 16));
	abi_delete(&probe);
	probe_run(&probe, UBLK_F_USER_RECOVERY, ABI_DEPTH);
	abi_answer("UPDATE_SIZE, the flag was not asked for",
		   command(UBLK_U_CMD_UPDATE_SIZE, 1024));
	abi_answer("UPDATE_SIZE, the sectors then", sectors());
	abi_answer("UPDATE_SIZE, 0 sectors", command(UBLK_U_CMD_UPDATE_SIZE, 0));
	abi_answer("UPDATE_SIZE, 7 sectors", command(UBLK_U_CMD_UPDATE_SIZE, 7));
	abi_answer("UPDATE_SIZE, 2^54 sectors", command(UBLK_U_CMD_UPDATE_SIZE, 1ULL << 54));
	abi_answer("UPDATE_SIZE, 2^64 - 1 sectors", command(UBLK_U_CMD_UPDATE_SIZE, UINT64_MAX));
	abi_answer("UPDATE_SIZE, back", command(UBLK_U_CMD_UPDATE_SIZE, 1024));
	probe_close(&probe);
	probe_await_state(probe.info.dev_id, UBLK_S_DEV_QUIESCED);
	abi_answer("UPDATE_SIZE, a quiesced device", command(UBLK_U_CMD_UPDATE_SIZE, 2048));
	probe_expect("STOP_DEV", 0, command(UBLK_U_CMD_STOP_DEV, 0));
	abi_answer("UPDATE_SIZE, a stopped device", command(UBLK_U_CMD_UPDATE_SIZE, 2048));
	control_close(&probe.control);
	abi_delete(&probe);
}

void abi_life(void)
{
	starting();
	without_disk(UBLK_U_CMD_STOP_DEV, "STOP_DEV");
	without_disk(UBLK_U_CMD_TRY_STOP_DEV, "TRY_STOP_DEV");
	try_stop();
	update_size();
}
