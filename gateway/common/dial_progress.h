/* SPDX-License-Identifier: MIT */
/*
 * dial_progress.h - a dial that is under way: what it is at, and how it says so.
 */
#ifndef GATEWAY_COMMON_DIAL_PROGRESS_H
#define GATEWAY_COMMON_DIAL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/dial_connect.h"
#include "gateway/common/dial_result.h"
#include "proto/handshake.h"

/* One dial. Everything is written by the thread that runs it. */
struct dial {
	const struct dial_options *options;
	struct dial_result *result;
	struct dial_watch *watch; /* NULL: nobody can cut it */
	struct nbd_handshake *handshake;
	/* What this server is not asked for: by the options, or since it did not bear it. */
	bool no_extended, no_structured, export_name_only;
	bool asks_less;			/* something did not work, and is not asked for any more */
	enum nbd_handshake_goal goal;	/* becomes GO when INFO is unknown to the server */
	enum nbd_handshake_state asked; /* what the server was, or is, to answer */
	int64_t option_ms;		/* CLOCK_MONOTONIC: until when */
	int64_t deadline_ms;		/* of everything */
	int64_t share_ms;   /* CLOCK_MONOTONIC: when the present address has had its share */
	char failures[400]; /* "10.0.0.1:10809 (connection refused), ...": of several addresses */
};

/* Says to whoever listens what was done, or what failed. */
void dial_report(struct dial *dial, enum dial_stage stage, int error, const char *sentence);
/* Keeps what failed for the result, which has its sentence, and reports it. Returns -error. */
int dial_fail(struct dial *dial, enum dial_stage stage, int error, enum exit_code code);

#endif
