/* SPDX-License-Identifier: MIT */
/*
 * dial.h - from a target to a negotiated NBD connection: resolve, connect, (TLS,) handshake.
 * Everything here blocks, up to a deadline; getaddrinfo(3) has none, so whoever may not wait for
 * it runs a dial as a task (dial_task.h), on a thread of its own that can be abandoned.
 *
 *   dial_task      a thread of its own
 *   dial           addresses in turn, asking for less
 *   dial_handshake options, TLS, what a failure means; over dial_conversation, and dial_exports for LIST
 *   dial_progress  one dial that is under way
 *   dial_connect, resolve, dial_text   sockets; addresses; sentences
 *   dial_result, dial_list             what it is asked for, and what it came to
 */
#ifndef GATEWAY_COMMON_DIAL_H
#define GATEWAY_COMMON_DIAL_H

#include "gateway/common/dial_connect.h"
#include "gateway/common/dial_result.h"

/*
 * Dials: each address in turn (each gets its share of the time that is left, for connection and
 * handshake together), TCP_NODELAY and keepalive set. What it ends with depends on the goal:
 *
 *   GO    the connection is in transmission
 *   INFO  export is filled; the transport is closed and NULL. Where a server does not know INFO (or
 *         answers it with a size of 0, as nbd-server does), GO in its place, undone by DISC
 *   LIST  list is filled, as far as the server tells; the transport is closed and NULL
 *   IDLE  connected, greeted, secured: another NBD client may take over where options are asked for;
 *         server_flags is filled
 *
 * Old servers drop the connection upon an option they do not know, leave it unanswered, or lose the
 * thread over its data. The dial is then tried again without that option, down to EXPORT_NAME alone; all
 * of it in the same time, and with TLS wherever it is wanted. A server that says no ends the dial; one
 * that does not answer leaves the next address its chance. Returns 0 or the negative of result->error.
 */
int dial_run(const struct dial_options *options, struct dial_result *result);

/* dial_run() on a watched socket. */
int dial_run_watched(const struct dial_options *options, struct dial_watch *watch,
		     struct dial_result *result);

#endif
