/* SPDX-License-Identifier: MIT */
/*
 * dial_text.h - what is told of a dial that failed: what we were doing, with whom, what to do about it.
 */
#ifndef GATEWAY_COMMON_DIAL_TEXT_H
#define GATEWAY_COMMON_DIAL_TEXT_H

#include <stddef.h>

#include "gateway/common/exit_code.h"
#include "gateway/common/resolve.h"
#include "proto/handshake.h"

/* The sentence for a connection that failed, and its exit code. */
enum exit_code dial_text_connect(char *out, size_t out_bytes, const struct dial_address *address,
				 int error);
/* A handshake that the peer ended, or that timed out: what it was doing is named by state. */
void dial_text_handshake(char *out, size_t out_bytes, const char *peer, int error,
			 enum nbd_handshake_state state);
/* A few words for one of several failures: "connection refused". */
const char *dial_text_short(int error);

#endif
