/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/tally.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/guest/ublk/control.h"

static const struct {
	const char *name;
	uint32_t opcode;
} commands[TALLY_COMMANDS] = {
	[TALLY_ADD] = { "ADD_DEV", UBLK_U_CMD_ADD_DEV },
	[TALLY_SET_PARAMS] = { "SET_PARAMS", UBLK_U_CMD_SET_PARAMS },
	[TALLY_START] = { "START_DEV", UBLK_U_CMD_START_DEV },
	[TALLY_STOP] = { "STOP_DEV", UBLK_U_CMD_STOP_DEV },
	[TALLY_TRY_STOP] = { "TRY_STOP_DEV", UBLK_U_CMD_TRY_STOP_DEV },
	[TALLY_DEL] = { "DEL_DEV", UBLK_U_CMD_DEL_DEV },
	[TALLY_DEL_ASYNC] = { "DEL_DEV_ASYNC", UBLK_U_CMD_DEL_DEV_ASYNC },
	[TALLY_START_RECOVERY] = { "START_USER_RECOVERY", UBLK_U_CMD_START_USER_RECOVERY },
	[TALLY_END_RECOVERY] = { "END_USER_RECOVERY", UBLK_U_CMD_END_USER_RECOVERY },
	[TALLY_QUIESCE] = { "QUIESCE_DEV", UBLK_U_CMD_QUIESCE_DEV },
	[TALLY_UPDATE_SIZE] = { "UPDATE_SIZE", UBLK_U_CMD_UPDATE_SIZE },
	[TALLY_AFFINITY] = { "GET_QUEUE_AFFINITY", UBLK_U_CMD_GET_QUEUE_AFFINITY },
	[TALLY_GET_INFO] = { "GET_DEV_INFO", UBLK_U_CMD_GET_DEV_INFO },
	[TALLY_GET_INFO2] = { "GET_DEV_INFO2", UBLK_U_CMD_GET_DEV_INFO2 },
	[TALLY_GET_PARAMS] = { "GET_PARAMS", UBLK_U_CMD_GET_PARAMS },
	[TALLY_GET_FEATURES] = { "GET_FEATURES", UBLK_U_CMD_GET_FEATURES },
	[TALLY_FETCH] = { "FETCH_REQ", UBLK_U_IO_FETCH_REQ },
	[TALLY_COMMIT] = { "COMMIT_AND_FETCH_REQ", UBLK_U_IO_COMMIT_AND_FETCH_REQ },
	[TALLY_GET_DATA] = { "NEED_GET_DATA", UBLK_U_IO_NEED_GET_DATA },
	[TALLY_UNKNOWN] = { "unknown opcodes", 0 },
};

const char *tally_name(enum tally_command command)
{
	return commands[command].name;
}

uint32_t tally_opcode(enum tally_command command)
{
	return commands[command].opcode;
}

uint64_t tally_sent(const struct tally *tally)
{
	uint64_t sum = 0;

	for (int i = 0; i < TALLY_COMMANDS; i++)
		sum += atomic_load_explicit(&tally->sent[i], memory_order_relaxed);
	return sum;
}

void tally_answer(struct tally *tally, uint32_t command, int result)
{
	if (command >= TALLY_COMMANDS)
		return;
	if (result >= 0)
		atomic_fetch_add_explicit(&tally->succeeded[command], 1, memory_order_relaxed);
	else if (-result < TALLY_ERRNOS)
		atomic_fetch_add_explicit(&tally->errors[-result], 1, memory_order_relaxed);
}

void tally_print(const struct tally *tally)
{
	for (int i = 0; i < TALLY_COMMANDS; i++)
		printf("# %-22s sent %10lu, succeeded %9lu\n", commands[i].name,
		       atomic_load(&tally->sent[i]), atomic_load(&tally->succeeded[i]));
	printf("# errors:");
	for (int i = 1; i < TALLY_ERRNOS; i++)
		if (atomic_load(&tally->errors[i]))
			printf(" %s %lu", strerrorname_np(i), atomic_load(&tally->errors[i]));
	printf("\n# devices seen:");
	for (uint16_t i = 0; i < TALLY_STATES; i++)
		printf(" %s %lu", control_state_name(i), atomic_load(&tally->states[i]));
	printf("\n# requests handed to daemons %lu; I/O done %lu, failed %lu; data moved by pread "
	       "and pwrite %lu; maps %lu\n",
	       atomic_load(&tally->requests), atomic_load(&tally->io_done),
	       atomic_load(&tally->io_failed), atomic_load(&tally->copies),
	       atomic_load(&tally->maps));
	printf("# processes %lu, killed %lu, rescues %lu\n", atomic_load(&tally->processes),
	       atomic_load(&tally->kills), atomic_load(&tally->rescues));
}

const char *tally_missing(const struct tally *tally)
{
	/* A FETCH or COMMIT succeeds when it brings a request, GET_DATA when it brings its data. */
	for (int i = 0; i < TALLY_UNKNOWN; i++)
		if (!atomic_load(&tally->succeeded[i]))
			return commands[i].name;
	for (uint16_t i = 0; i < TALLY_STATES; i++)
		if (!atomic_load(&tally->states[i]))
			return control_state_name(i);
	if (!atomic_load(&tally->io_done) || !atomic_load(&tally->io_failed))
		return "I/O that is done, and some that fails";
	if (!atomic_load(&tally->copies))
		return "data moved by pread and pwrite";
	if (!atomic_load(&tally->maps))
		return "a map of the descriptors";
	return atomic_load(&tally->kills) ? NULL : "a kill";
}

const char *tally_missing_basic(const struct tally *tally)
{
	if (!atomic_load(&tally->succeeded[TALLY_START]))
		return tally_name(TALLY_START);
	if (!atomic_load(&tally->requests))
		return "a request for a daemon";
	if (!atomic_load(&tally->io_failed))
		return "I/O that fails";
	return atomic_load(&tally->kills) ? NULL : "a kill";
}
