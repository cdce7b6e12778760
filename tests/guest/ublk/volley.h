/* SPDX-License-Identifier: MIT */
/*
 * volley.h - random commands into a ring: any opcode in either encoding, with any device, queue, tag,
 * address, length and flags. Most fields of a command are near to what is right, or nothing but the
 * first check would be tested.
 */
#ifndef TESTS_GUEST_UBLK_VOLLEY_H
#define TESTS_GUEST_UBLK_VOLLEY_H

#include <liburing.h>
#include <stdint.h>

#include "tests/guest/ublk/arena.h"
#include "tests/guest/ublk/dice.h"
#include "tests/guest/ublk/tally.h"

/* Device ids are below this, but for strays. */
#define VOLLEY_IDS 6u

/* What a process has to shoot at. A file that is not open is -1. */
struct volley_aim {
	struct arena arena;
	struct tally *tally;
	int control_fd, char_fd;
	uint32_t id;	 /* of the device that char_fd is */
	uint16_t queues; /* of that device; 0: not known */
	uint16_t depth;
};

/* What a completion is about. */
static inline uint64_t volley_user_data(enum tally_command command, uint16_t queue, uint16_t tag)
{
	return (uint64_t)command << 56 | (uint64_t)queue << 16 | tag;
}

static inline uint32_t volley_command(uint64_t user_data)
{
	return (uint32_t)(user_data >> 56);
}

/*
 * A flag for io_uring_queue_init(): one of the kinds that a server may use. The ring then belongs to
 * the thread.
 */
unsigned int volley_ring_flags(struct dice *dice);

/* Puts up to `count` commands into the ring, unsubmitted. Those for /dev/ublk-control want SQE128. */
void volley_io(struct io_uring *ring, const struct volley_aim *aim, struct dice *dice,
	       uint32_t count);
void volley_control(struct io_uring *ring, const struct volley_aim *aim, struct dice *dice,
		    uint32_t count);

/* One control command without a mistake about the aim's own device; none that carries a structure. */
void volley_own(struct io_uring *ring, const struct volley_aim *aim, struct dice *dice,
		enum tally_command command);

/* Fills in what ADD_DEV and SET_PARAMS want, in a way that mostly works. */
struct ublksrv_ctrl_dev_info;
struct ublk_params;
void volley_info(struct ublksrv_ctrl_dev_info *info, struct dice *dice);
void volley_params(struct ublk_params *params, struct dice *dice);

#endif
