/* SPDX-License-Identifier: MIT */
#include "gateway/disk/slot.h"

#include <assert.h>

#define BIT(n) (1u << (n))

void slot_move(struct slot *slot, enum slot_state to)
{
	static const uint8_t legal[] = {
		[SLOT_PARKED] = BIT(SLOT_ACTIVE) | BIT(SLOT_ENDED),
		[SLOT_ACTIVE] = BIT(SLOT_PARKED),
		[SLOT_ENDED] = 0,
	};

	assert(legal[slot->state] & BIT(to));
	slot->state = to;
}

void wire_request_move_tx(struct wire_request *request, enum tx_state to)
{
	static const uint8_t legal[] = {
		[TX_IDLE] = BIT(TX_QUEUED),
		[TX_QUEUED] = BIT(TX_SENDING) | BIT(TX_IDLE),
		[TX_SENDING] = BIT(TX_SENT) | BIT(TX_QUEUED) | BIT(TX_IDLE),
		[TX_SENT] = BIT(TX_IDLE) | BIT(TX_QUEUED),
	};

	assert(legal[request->tx] & BIT(to));
	request->tx = to;
}
