/* SPDX-License-Identifier: MIT */
/*
 * tally.h - what all processes of ublk_hostile have done so far, in memory they share. Each command's
 * user_data says what it is, so that its completion can be counted too.
 */
#ifndef TESTS_GUEST_UBLK_TALLY_H
#define TESTS_GUEST_UBLK_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Rows of the table in tally.c. */
enum tally_command {
	TALLY_ADD,
	TALLY_SET_PARAMS,
	TALLY_START,
	TALLY_STOP,
	TALLY_TRY_STOP,
	TALLY_DEL,
	TALLY_DEL_ASYNC,
	TALLY_START_RECOVERY,
	TALLY_END_RECOVERY,
	TALLY_QUIESCE,
	TALLY_UPDATE_SIZE,
	TALLY_AFFINITY,
	TALLY_GET_INFO,
	TALLY_GET_INFO2,
	TALLY_GET_PARAMS,
	TALLY_GET_FEATURES,
	TALLY_FETCH, /* the first that goes to a char device */
	TALLY_COMMIT,
	TALLY_GET_DATA,
	TALLY_UNKNOWN,
	TALLY_COMMANDS
};

#define TALLY_ERRNOS 134
#define TALLY_STATES 4

struct tally {
	atomic_ulong sent[TALLY_COMMANDS];
	atomic_ulong succeeded[TALLY_COMMANDS];
	atomic_ulong errors[TALLY_ERRNOS];
	atomic_ulong states[TALLY_STATES]; /* how often a device was seen in each */
	atomic_ulong requests;		   /* handed to a daemon */
	atomic_ulong io_done, io_failed;   /* on the disks */
	atomic_ulong copies;		   /* pread and pwrite on char devices that moved bytes */
	atomic_ulong maps;
	atomic_ulong processes, kills, rescues;
};

/* The name, and the opcode in its ioctl encoding. TALLY_UNKNOWN has no opcode. */
const char *tally_name(enum tally_command command);
uint32_t tally_opcode(enum tally_command command);

static inline bool tally_is_io(enum tally_command command)
{
	return command >= TALLY_FETCH;
}

/* All commands sent. */
uint64_t tally_sent(const struct tally *tally);

/* One completion. */
void tally_answer(struct tally *tally, uint32_t command, int result);

/* On standard output, as "# " lines. */
void tally_print(const struct tally *tally);

/* The first thing that a run long enough must have seen and that this one has not; NULL: all. */
const char *tally_missing(const struct tally *tally);

/* The same for any run, however short or slow. */
const char *tally_missing_basic(const struct tally *tally);

#endif
