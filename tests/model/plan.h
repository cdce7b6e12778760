/* SPDX-License-Identifier: MIT */
/*
 * plan.h - what one run is made of: all of it comes from its seed. Constant once the run began.
 */
#ifndef TESTS_MODEL_PLAN_H
#define TESTS_MODEL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/handshake.h"

#define PLAN_CONNECTIONS_MAX 4

/* Damage that is done on purpose, by the model's own parts and never by the client: a run in which the
 * oracle does not find it shows that the oracle is blind. */
enum control {
	CONTROL_NONE,
	CONTROL_LATE_WRITE,   /* writes to stale ranges are let through */
	CONTROL_LOST_FLUSH,   /* the server acknowledges FLUSH and does nothing */
	CONTROL_LOST_FUA,     /* the server takes no notice of FUA */
	CONTROL_LOST_WRITE,   /* the server acknowledges a write and leaves it out */
	CONTROL_OLD_READ,     /* the server returns what was there before */
	CONTROL_EARLY_ANSWER, /* the server acknowledges a write before it carries it out */
	CONTROL_DOUBLE_DONE,  /* a request is done twice */
	CONTROL_LATE_TOUCH,   /* the memory of a request that is done is written to */
	CONTROL_NO_TICK,      /* no deadline is looked at */
	CONTROL_NO_QUIET,     /* newer writes do not wait for the quiet time of a loss */
	CONTROL_LOST_MARK,    /* what a FLUSH covers is more than was acknowledged before it */
	CONTROLS
};

const char *control_name(enum control control);

enum plan_socket { PLAN_UNIX, PLAN_TCP };

/* Odds of one in so many: 0 is never. Of the server's, most are drawn once for each request. */
struct odds {
	uint32_t delay;		/* a step of a request waits for a while */
	uint32_t error;		/* an error as the answer */
	uint32_t early_error;	/* of a WRITE, before its payload is read */
	uint32_t shutdown;	/* ESHUTDOWN as the answer */
	uint32_t silence;	/* no answer */
	uint32_t deaf;		/* nothing more is read or answered on the connection */
	uint32_t close;		/* the connection is closed */
	uint32_t breach;	/* what the protocol does not allow */
	uint32_t payload_fault; /* the driver does not give or take bytes */
	uint32_t absence;	/* a tick comes late */
};

struct plan {
	uint64_t seed;
	enum control control;
	bool calm; /* a server without fault: every request must succeed */

	/* the client's */
	struct nbd_export export;
	uint32_t connections;
	uint16_t depth;
	uint16_t parts_max;
	uint32_t max_io_bytes;
	uint32_t timeout_ms;
	bool waits; /* lost connections come back, and requests wait for them */
	uint32_t
		quiet_ms; /* where it waits: longer than the server takes for what it was left with */
	bool in_place;
	bool fua_always;
	bool write_through; /* the server promises nothing, and has no cache */

	/* the sockets' */
	enum plan_socket socket;
	bool masked; /* the socket's bytes are not NBD's, as with TLS in this process */
	uint32_t socket_buffer_bytes; /* 0: the kernel's own choice */

	/* the driver's */
	uint32_t blocks; /* of the disk */
	uint32_t align_blocks;
	uint32_t requests;
	uint32_t hot_blocks; /* most requests are to these */

	struct odds odds;
	uint32_t delay_ticks_max;
	uint32_t busy_time; /* one in so many ticks counts while the server is busy; 0: none */
	bool trickles;	    /* the server sends in small pieces */
	bool reorders;

	/* What another thread asks for: when so many requests were submitted; 0: never. */
	uint32_t replace_every;
	bool condemn_amid_replacement;
	uint32_t condemn_at;
	uint32_t give_up_at;
};

void plan_make(struct plan *plan, uint64_t seed, enum control control);
/* One line: what a reader of a failure wants to know of it. */
void plan_print(const struct plan *plan);

#endif
