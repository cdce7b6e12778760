/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/wire_request.h"

#include <assert.h>

#define BIT(n) (1u << (n))

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
