/* SPDX-License-Identifier: MIT */
/*
 * dial_handshake.h - the conversation of one attempt: options and answers over a connected transport, TLS in
 * between, and what its failure means, in a sentence and an exit code.
 */
#ifndef GATEWAY_COMMON_DIAL_HANDSHAKE_H
#define GATEWAY_COMMON_DIAL_HANDSHAKE_H

#include "gateway/common/dial_progress.h"

/* All of the conversation with the server, for the dial's goal, before share_ms. 0, or -errno through
 * dial_fail(); *transport becomes the secured one where there is TLS. */
int dial_handshake(struct dial *dial, struct transport **transport);

#endif
