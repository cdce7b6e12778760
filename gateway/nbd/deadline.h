/* SPDX-License-Identifier: MIT */
/*
 * deadline.h - no request waits longer than its time: a tick comes while any is in flight, and condemns
 * the connection of one that is due. Never an idle connection.
 *
 * The time (patience.h) begins anew when a request that was enqueued before on the same connection is
 * answered: until then its turn had not come. A deep queue on a slow link takes longer than --timeout to be
 * worked off, and nothing is wrong with that. The oldest request has none before it: a server that
 * answers no more, or leaves out one request, is found out by it in time. One that only trickles has
 * PATIENCE_QUEUE_FACTOR times as long.
 *
 * What was enqueued behind a FLUSH keeps its own time all the same: a server that stopped amid one
 * looks just like one that is busy with it, and requests end within their time.
 *
 * A tick that comes late means that this daemon did not run (SIGSTOP, a machine that was suspended or
 * migrated), and could not have taken an answer: all deadlines move by its lateness. Between two answers of
 * a connection they move by one absence alone, the longest, so that a server that is silent is
 * found out even by a daemon that is stopped again and again. And before a connection is condemned, what
 * waits in its socket is read.
 */
#ifndef GATEWAY_NBD_DEADLINE_H
#define GATEWAY_NBD_DEADLINE_H

#include "gateway/nbd/client_state.h"

/* The period of the tick. */
uint32_t deadline_tick_ms(uint32_t timeout_ms);
/* The tick that was due at due_ms has come, and the answers of its turn were taken: looks at each deadline. */
void deadline_look(struct nbd_client *client, int64_t due_ms);

#endif
