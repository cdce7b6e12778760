// SPDX-License-Identifier: GPL-2.0
/* slot.c - what is said of a move that slot.h does not draw. */
#include <linux/bug.h>
#include <linux/kernel.h>

#include "slot.h"

void __cold ublk_slot_warn(const struct ublk_slot *slot, enum ublk_slot_state to)
{
	WARN_ONCE(1, "ublk: a slot moved from state %u to %u\n", slot->state, to);
}
