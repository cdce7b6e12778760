/* SPDX-License-Identifier: MIT */
/*
 * session.h - libnbd on a connection that we dialled (relay.h), for the verb that asks a server what
 * connect never asks: block status. Everything ends at one deadline.
 */
#ifndef GATEWAY_MAP_SESSION_H
#define GATEWAY_MAP_SESSION_H

#include <libnbd.h>

#include "gateway/cli/look.h"
#include "gateway/map/relay.h"

struct session {
	struct look *look;
	struct nbd_handle *nbd;
	struct relay *relay;
	uint32_t timeout_ms; /* of all of it, for messages */
	int64_t deadline_ms; /* CLOCK_MONOTONIC */
	bool simple; /* the server knows no more than simple replies, which is no complaint */
};

/* A handle in option mode, for the export that look names, not connected yet: what else it is to
 * be set up with is the caller's. EXIT_CODE_OK, or another having complained; to be closed in
 * either case. */
enum exit_code session_open(struct session *session, struct look *look, uint32_t timeout_ms);

/* Dials, and lets libnbd open the export, whose size it knows then (within look's connect timeout and the session's). EXIT_CODE_OK,
 * or another having complained as every verb does, unless simple is set. */
enum exit_code session_connect(struct session *session);

/*
 * Complains about a libnbd call that has just failed: "doing: what libnbd says", or that the time
 * was up, or that the started server has ended. Returns what to exit with: refused for a server
 * that said no.
 */
enum exit_code session_fail(struct session *session, const char *doing);

/* Leaves the server properly if it still listens, and frees everything. */
void session_close(struct session *session);

#endif
