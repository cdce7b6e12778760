/* SPDX-License-Identifier: MIT */
/* A run has a mood: calm, or some of what can go wrong, often or rarely. */
#include "tests/model/plan.h"

#include <stdio.h>
#include <string.h>

#include "proto/wire.h"
#include "tests/model/chance.h"
#include "tests/model/stamp.h"

static const char *const control_names[CONTROLS] = {
	[CONTROL_NONE] = "none",
	[CONTROL_LATE_WRITE] = "late-write",
	[CONTROL_LOST_FLUSH] = "lost-flush",
	[CONTROL_LOST_FUA] = "lost-fua",
	[CONTROL_LOST_WRITE] = "lost-write",
	[CONTROL_OLD_READ] = "old-read",
	[CONTROL_EARLY_ANSWER] = "early-answer",
	[CONTROL_DOUBLE_DONE] = "double-done",
	[CONTROL_LATE_TOUCH] = "late-touch",
	[CONTROL_NO_TICK] = "no-tick",
	[CONTROL_NO_QUIET] = "no-quiet",
	[CONTROL_LOST_MARK] = "lost-mark",
};

const char *control_name(enum control control)
{
	return control_names[control];
}

/* A deadline of the client's is ten ticks, whatever the real time (driver.h). */
#define TIMEOUT_MS 2000
/* Beyond LATE_TICKS_MAX of peer.c, and what a server that is busy takes to see that a connection has ended. */
#define QUIET_MS (240 * TIMEOUT_MS / 10)

static void choose_export(struct plan *plan, struct dice *dice)
{
	static const uint16_t optional[] = { NBD_FLAG_SEND_FLUSH, NBD_FLAG_SEND_FUA,
					     NBD_FLAG_SEND_TRIM, NBD_FLAG_SEND_WRITE_ZEROES };
	struct nbd_export *export = &plan->export;
	uint32_t unit = plan->align_blocks * BLOCK_BYTES;

	export->framing = (enum nbd_framing)dice_below(dice, 3);
	export->flags = NBD_FLAG_HAS_FLAGS;
	for (uint32_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
		if (!chance_one_in(dice, 4))
			export->flags |= optional[i];
	if (plan->connections > 1 || chance_one_in(dice, 3))
		export->flags |= NBD_FLAG_CAN_MULTI_CONN;
	export->size_bytes = (uint64_t)plan->blocks * BLOCK_BYTES;
	export->block_sizes_given = true;
	export->block_minimum_bytes = unit == BLOCK_BYTES && chance_one_in(dice, 2) ? 1 : unit;
	export->block_preferred_bytes = 4096;
	export->payload_max_bytes = plan->max_io_bytes;
	if (chance_one_in(dice, 3)) /* requests are split */
		export->payload_max_bytes = unit * chance_between(dice, 1, 16);
	plan->fua_always =
		export->flags & NBD_FLAG_SEND_FUA && !(export->flags & NBD_FLAG_SEND_FLUSH);
	plan->write_through = !(export->flags & (NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_FLUSH));
}

static void choose_client(struct plan *plan, struct dice *dice)
{
	uint32_t part_bytes;

	plan->align_blocks = chance_one_in(dice, 4) ? 8 : 1;
	plan->connections = chance_between(dice, 1, PLAN_CONNECTIONS_MAX);
	plan->depth = (uint16_t)chance_between(dice, 1, 32);
	plan->max_io_bytes = 4096u << dice_below(dice, 7);
	plan->blocks = 8 * chance_between(dice, 4, 128);
	plan->timeout_ms = TIMEOUT_MS;
	plan->in_place = chance_one_in(dice, 2);
	choose_export(plan, dice);
	part_bytes = plan->export.payload_max_bytes;
	plan->parts_max = (uint16_t)((plan->max_io_bytes + part_bytes - 1) / part_bytes);
}

static void choose_sockets(struct plan *plan, struct dice *dice)
{
	plan->socket = chance_one_in(dice, 2) ? PLAN_TCP : PLAN_UNIX;
	plan->masked = chance_one_in(dice, 4);
	if (chance_one_in(dice, 3))
		plan->socket_buffer_bytes = 4096u << dice_below(dice, 4);
}

/* Each fault is left out of most runs, so that one that ends all soon does not hide the others. */
static uint32_t sometimes(struct dice *dice, uint32_t one_run_in, uint32_t least, uint32_t most)
{
	return chance_one_in(dice, one_run_in) ? chance_between(dice, least, most) : 0;
}

static void choose_odds(struct plan *plan, struct dice *dice)
{
	struct odds *odds = &plan->odds;

	odds->delay = sometimes(dice, 2, 2, 20);
	plan->delay_ticks_max = chance_between(dice, 1, plan->calm ? 3 : 6);
	plan->trickles = chance_one_in(dice, 4);
	/* In order, each delay keeps all that follow waiting: longer than a client waits, in the end. */
	plan->reorders = (plan->calm && odds->delay) || !chance_one_in(dice, 4);
	if (plan->calm)
		return;
	plan->busy_time = chance_between(dice, 1, 4);
	odds->error = sometimes(dice, 2, 5, 100);
	odds->early_error = sometimes(dice, 3, 5, 50);
	odds->shutdown = sometimes(dice, 6, 50, 300);
	odds->silence = sometimes(dice, 4, 50, 500);
	odds->deaf = sometimes(dice, 8, 100, 500);
	odds->close = sometimes(dice, 4, 50, 500);
	odds->breach = sometimes(dice, 8, 100, 500);
	odds->payload_fault = sometimes(dice, 8, 50, 300);
	odds->absence = sometimes(dice, 8, 5, 50);
}

/* Requests wait for lost connections. A write that the server never reads has no latest time, and a clock that jumps
 * is ahead of the server: neither is left to chance then. */
static void choose_waits(struct plan *plan, struct dice *dice)
{
	plan->waits = !plan->calm && chance_one_in(dice, 2);
	plan->quiet_ms = plan->control == CONTROL_NO_QUIET ? 0 : QUIET_MS;
	if (!plan->waits)
		return;
	plan->odds.deaf = 0;
	plan->odds.absence = 0;
}

static void choose_asks(struct plan *plan, struct dice *dice)
{
	plan->replace_every = sometimes(dice, 3, 20, plan->requests / 2);
	if (plan->calm)
		return;
	plan->condemn_amid_replacement = chance_one_in(dice, 3);
	plan->condemn_at = sometimes(dice, 10, 1, plan->requests);
	plan->give_up_at = sometimes(dice, 10, 1, plan->requests);
}

/* What the damage needs to happen at all. */
static void serve_control(struct plan *plan)
{
	struct odds *odds = &plan->odds;

	if (plan->control == CONTROL_NONE)
		return;
	plan->condemn_amid_replacement = false;
	plan->condemn_at = 0;
	plan->give_up_at = 0;
	switch (plan->control) {
	case CONTROL_LATE_WRITE:
		plan->calm = false;
		plan->waits = false;
		odds->close = 60;
		odds->silence = 0;
		odds->delay = 3;
		break;
	case CONTROL_NO_TICK:
		plan->calm = false;
		odds->silence = 30;
		break;
	case CONTROL_NO_QUIET:
		plan->calm = false;
		plan->waits = true;
		odds->close = 60;
		odds->silence = 0;
		odds->deaf = 0;
		odds->absence = 0;
		odds->delay = 3;
		break;
	case CONTROL_LOST_MARK:
		plan->calm = false;
		plan->waits = true;
		odds->close = 30;
		odds->deaf = 0;
		odds->absence = 0;
		break;
	default:
		break;
	}
}

void plan_make(struct plan *plan, uint64_t seed, enum control control)
{
	struct dice dice;

	memset(plan, 0, sizeof(*plan));
	chance_seed(&dice, seed, CHANCE_PLAN);
	plan->seed = seed;
	plan->control = control;
	plan->calm = chance_one_in(&dice, 8);
	choose_client(plan, &dice);
	plan->requests = chance_between(&dice, 100, 100 + 30 * plan->depth);
	plan->hot_blocks = chance_between(&dice, 1, plan->blocks / plan->align_blocks);
	choose_sockets(plan, &dice);
	choose_odds(plan, &dice);
	choose_waits(plan, &dice);
	choose_asks(plan, &dice);
	serve_control(plan);
}

void plan_print(const struct plan *plan)
{
	static const char *const framings[] = { "simple", "structured", "extended" };
	const struct odds *odds = &plan->odds;

	printf("run seed %llu: %s%s%u connection(s), %s, %s, %s%s, buffers of %u, depth %u, %u "
	       "requests of up to %u "
	       "KiB to %u KiB, flags 0x%x; one in: delay %u, error %u, early %u, shutdown %u, "
	       "silence %u, deaf %u, close %u, breach %u, payload %u, absence %u; replace every "
	       "%u, condemn at %u, give up at %u\n",
	       (unsigned long long)plan->seed, plan->calm ? "calm, " : "",
	       plan->waits ? "waits, " : "", plan->connections, framings[plan->export.framing],
	       plan->in_place ? "mapped" : "user-copy", plan->socket == PLAN_TCP ? "tcp" : "unix",
	       plan->masked ? ", masked" : "", plan->socket_buffer_bytes, plan->depth,
	       plan->requests, plan->max_io_bytes >> 10, plan->blocks / 2, plan->export.flags,
	       odds->delay, odds->error, odds->early_error, odds->shutdown, odds->silence,
	       odds->deaf, odds->close, odds->breach, odds->payload_fault, odds->absence,
	       plan->replace_every, plan->condemn_at, plan->give_up_at);
}
