/* SPDX-License-Identifier: MIT */
/*
 * dial_conversation.h - carries the handshake's bytes over a transport, each option in its time.
 */
#ifndef GATEWAY_COMMON_DIAL_CONVERSATION_H
#define GATEWAY_COMMON_DIAL_CONVERSATION_H

#include "gateway/common/dial_progress.h"

/* Moves bytes until the machine needs something else. 0, or -errno when the connection failed. */
int dial_converse(struct dial *dial, struct transport *transport);
/* Sends what is left to be said (ABORT), which nobody waits for. */
void dial_converse_last(struct dial *dial, struct transport *transport);

#endif
