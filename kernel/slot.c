// SPDX-License-Identifier: GPL-2.0
/* slot.c - the table of legal moves; slot.h draws it. */
#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/kernel.h>

#include "slot.h"

#define TO(state) BIT(UBLK_SLOT_##state)

static const u8 legal_moves[UBLK_SLOT_STATES] = {
	[UBLK_SLOT_EMPTY] = TO(PARKED),
	[UBLK_SLOT_PARKED] = TO(SENDING) | TO(EMPTY),
	[UBLK_SLOT_SENDING] =
		TO(OWNED) | TO(ASKED) | TO(PARKED) | TO(ORPHANED) | TO(DOOMED) | TO(EMPTY),
	[UBLK_SLOT_ASKED] = TO(OWNED) | TO(PARKED) | TO(DOOMED) | TO(EMPTY),
	[UBLK_SLOT_OWNED] = TO(PARKED) | TO(DOOMED) | TO(EMPTY),
	[UBLK_SLOT_ORPHANED] = TO(EMPTY),
	[UBLK_SLOT_DOOMED] = TO(EMPTY),
};

void ublk_slot_move(struct ublk_slot *slot, enum ublk_slot_state to)
{
	if (unlikely(!(legal_moves[slot->state] & BIT(to))))
		WARN_ONCE(1, "ublk: a slot moved from state %u to %u\n", slot->state, to);
	WRITE_ONCE(slot->state, to);
}
