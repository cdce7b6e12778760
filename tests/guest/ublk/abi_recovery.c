/* SPDX-License-Identifier: MIT */
/* abi_recovery.c - QUIESCE_DEV, START_USER_RECOVERY and END_USER_RECOVERY, in each state of a device. */
#include <stdio.h>
#include <unistd.h>

#include "tests/guest/ublk/abi.h"

#define SOON_MS	   300
#define QUIESCE_MS 500

static struct probe probe;

static int command(uint32_t op, uint64_t data)
{
	return abi_command(op, probe.info.dev_id, data);
}

/* END_USER_RECOVERY that has to wait gets a pid with which its end does nothing. */
static void all(const char *when, int pid)
{
	char what[100];

	snprintf(what, sizeof(what), "QUIESCE_DEV, %s", when);
	abi_answer(what, command(UBLK_U_CMD_QUIESCE_DEV, QUIESCE_MS));
	snprintf(what, sizeof(what), "START_USER_RECOVERY, %s", when);
	abi_answer(what, command(UBLK_U_CMD_START_USER_RECOVERY, 0));
	snprintf(what, sizeof(what), "END_USER_RECOVERY, %s", when);
	abi_answer(what, command(UBLK_U_CMD_END_USER_RECOVERY, (uint64_t)pid));
}

static void without_feature(void)
{
	abi_add(&probe, 0);
	all("no disk, no RECOVERY", 1);
	abi_delete(&probe);
	probe_run(&probe, 0, ABI_DEPTH);
	all("a live device without RECOVERY", getpid());
	probe_end(&probe);
}

static void dead(void)
{
	abi_add(&probe, UBLK_F_USER_RECOVERY | UBLK_F_QUIESCE);
	all("no disk", 1);
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	all("no disk, all fetched", getpid());
	probe_delete(&probe);
}

static void live(void)
{
	probe_run(&probe, UBLK_F_USER_RECOVERY, ABI_DEPTH);
	abi_answer("QUIESCE_DEV, a live device without QUIESCE",
		   command(UBLK_U_CMD_QUIESCE_DEV, QUIESCE_MS));
	abi_answer("START_USER_RECOVERY, a live device",
		   command(UBLK_U_CMD_START_USER_RECOVERY, 0));
	abi_answer("END_USER_RECOVERY, a live device",
		   command(UBLK_U_CMD_END_USER_RECOVERY, (uint64_t)getpid()));
	probe_end(&probe);
}

static void successor(uint64_t policy, uint16_t state, const char *name)
{
	char what[100];
	int pid;

	probe_run(&probe, UBLK_F_USER_RECOVERY | UBLK_F_QUIESCE | policy, ABI_DEPTH);
	snprintf(what, sizeof(what), "QUIESCE_DEV, live and idle, %s", name);
	abi_answer(what, command(UBLK_U_CMD_QUIESCE_DEV, QUIESCE_MS));
	snprintf(what, sizeof(what), "QUIESCE_DEV, what the daemon is told, %s", name);
	abi_answer(what, probe_wait(&probe, NULL, SOON_MS));
	snprintf(what, sizeof(what), "START_USER_RECOVERY, quiesced and still open, %s", name);
	abi_answer(what, command(UBLK_U_CMD_START_USER_RECOVERY, 0));
	probe_close(&probe);
	probe_await_state(probe.info.dev_id, state);
	snprintf(what, sizeof(what), "GET_DEV_INFO, pid of a device that lost its daemon, %s",
		 name);
	pid = abi_info(probe.info.dev_id).ublksrv_pid;
	abi_words(what, "%s", pid == getpid() ? "the old daemon's" : pid == -1 ? "-1" : "another");
	snprintf(what, sizeof(what), "lost its daemon, %s", name);
	all(what, 1);
	snprintf(what, sizeof(what), "START_USER_RECOVERY, twice, %s", name);
	abi_answer(what, command(UBLK_U_CMD_START_USER_RECOVERY, 0));
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	snprintf(what, sizeof(what), "END_USER_RECOVERY, pid 0, %s", name);
	abi_answer(what, command(UBLK_U_CMD_END_USER_RECOVERY, 0));
	snprintf(what, sizeof(what), "END_USER_RECOVERY, another's pid, %s", name);
	abi_answer(what, command(UBLK_U_CMD_END_USER_RECOVERY, 1));
	snprintf(what, sizeof(what), "START_USER_RECOVERY, opened and fetched, %s", name);
	abi_answer(what, command(UBLK_U_CMD_START_USER_RECOVERY, 0));
	snprintf(what, sizeof(what), "END_USER_RECOVERY, the daemon's pid, %s", name);
	abi_answer(what, command(UBLK_U_CMD_END_USER_RECOVERY, (uint64_t)getpid()));
	snprintf(what, sizeof(what), "GET_DEV_INFO, state after recovery, %s", name);
	abi_answer(what, probe_state(probe.info.dev_id));
	probe_end(&probe);
}

/* A successor that opens and fetches without START_USER_RECOVERY. */
static void unannounced(void)
{
	probe_run(&probe, UBLK_F_USER_RECOVERY, ABI_DEPTH);
	probe_close(&probe);
	probe_await_state(probe.info.dev_id, UBLK_S_DEV_QUIESCED);
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	abi_answer("a FETCH without START_USER_RECOVERY", probe_wait(&probe, NULL, SOON_MS));
	abi_answer("START_DEV, of a device that lost its daemon",
		   command(UBLK_U_CMD_START_DEV, (uint64_t)getpid()));
	abi_answer("END_USER_RECOVERY, without START_USER_RECOVERY",
		   command(UBLK_U_CMD_END_USER_RECOVERY, (uint64_t)getpid()));
	probe_close(&probe);
	control_close(&probe.control);
	abi_delete(&probe);
}

void abi_recovery(void)
{
	without_feature();
	dead();
	live();
	successor(0, UBLK_S_DEV_QUIESCED, "RECOVERY");
	successor(UBLK_F_USER_RECOVERY_REISSUE, UBLK_S_DEV_QUIESCED, "REISSUE");
	successor(UBLK_F_USER_RECOVERY_FAIL_IO, UBLK_S_DEV_FAIL_IO, "FAIL_IO");
	unannounced();
}
