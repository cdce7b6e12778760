/* SPDX-License-Identifier: MIT */
/*
 * actor.h - the processes of ublk_hostile. Each lives a few seconds, in a process group of its own,
 * until it ends in a way it has chosen or is killed in the middle of whatever it does.
 *
 *   DAEMON    makes a device, or takes over one that lost its daemon, and serves it: well, badly or not
 *             at all, with several threads, some of which are no daemon's, and with children that have
 *             the device open too
 *   STRANGER  sends control commands about everybody's devices, sometimes as an ordinary user
 *   READER    reads, writes and discards on whatever disk there is
 */
#ifndef TESTS_GUEST_UBLK_ACTOR_H
#define TESTS_GUEST_UBLK_ACTOR_H

#include <stdint.h>

#include "tests/guest/ublk/volley.h"

enum actor_role { ACTOR_DAEMON, ACTOR_STRANGER, ACTOR_READER, ACTOR_ROLES };

/* What an actor is given; it adds its own files and memory. */
struct actor {
	enum actor_role role;
	struct volley_aim aim;
	struct dice dice;
	uint64_t end_ms; /* it has to stop by itself; may lie behind the moment it is killed */
};

/* In a process of its own. */
_Noreturn void actor_run(struct actor *actor);

void actor_daemon(struct actor *actor);
void actor_reader(struct actor *actor);

/* Random I/O commands from a task that is nobody's daemon, until the end. */
void actor_stray(const struct actor *actor, uint64_t seed);

/* Counts and takes all completions that are there. */
void actor_drain(struct io_uring *ring, struct tally *tally);

/* Submits, and waits at most this long for a completion. */
void actor_submit(struct io_uring *ring, uint32_t wait_ms);

#endif
