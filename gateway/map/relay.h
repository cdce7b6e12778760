/* SPDX-License-Identifier: MIT */
/*
 * relay.h - lets another NBD client (libnbd) speak over a connection that we dialled: it gets one
 * end of a socketpair, a thread carries the bytes between the other end and the server. So there
 * is one way to dial, one TLS stack, and one deadline: when it comes, both ends are cut, and the
 * client's call, whichever it is, fails.
 *
 * A server greets once, before TLS, so a client that comes after that is greeted by us, with the server's
 * flags, and its answer is swallowed. Without TLS the same holds, so that there is one way.
 */
#ifndef GATEWAY_MAP_RELAY_H
#define GATEWAY_MAP_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/dial_result.h"

struct relay;

/*
 * Starts to relay what a dial with the goal IDLE opened. 0: opened->transport is the relay's (and
 * NULL); else -errno, and nothing is changed.
 */
int relay_start(struct relay **out, struct dial_result *opened, int64_t deadline_ms);

/* The client's end: the caller owns it from now on. Once. */
int relay_take_fd(struct relay *relay);

/* Moves the deadline, while it is still to come. */
void relay_extend(struct relay *relay, int64_t deadline_ms);

/* Whether the deadline has cut it: what to say of a call that failed. */
bool relay_is_late(struct relay *relay);

/* Cuts both ends, waits for the thread (which then has nothing to wait for), frees. */
void relay_stop(struct relay *relay);

#endif
