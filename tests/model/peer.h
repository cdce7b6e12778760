/* SPDX-License-Identifier: MIT */
/*
 * peer.h - one connection of the server: takes requests, carries them out and answers them, in any order, in
 * time or late, or fails to, as the plan's odds have it. What is still to be carried out when it
 * ends is an orphan: the server may do it at any later time.
 */
#ifndef TESTS_MODEL_PEER_H
#define TESTS_MODEL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/model/answer.h"
#include "tests/model/chance.h"
#include "tests/model/job.h"
#include "tests/model/plan.h"
#include "tests/model/store.h"

/* What all connections of a server share. */
struct peer_shared {
	const struct plan *plan;
	struct store store;
	struct dice dice;
	int64_t now_ms; /* the client's clock */
	struct orphan *orphans;
	uint32_t orphans_count, orphans_room;
};

struct orphan {
	struct job *job;
	uint32_t connection;
	int64_t carry_out_ms;
};

struct peer {
	struct peer_shared *shared;
	uint32_t number;
	int fd;		   /* -1: it has ended */
	bool used;	   /* something was received */
	bool faulty;	   /* it gave the client a reason to condemn it */
	bool disconnected; /* DISC came */
	bool deaf;
	int64_t close_ms;    /* to be closed then; 0: no */
	bool breaks;	     /* the next answer is a breach */
	int64_t breach_ms;   /* one has left; 0: no */
	int64_t shutdown_ms; /* ESHUTDOWN was answered first; 0: never */
	uint64_t answered_cookie;

	uint8_t header[JOB_HEADER_BYTES_MAX];
	uint32_t header_bytes;
	struct job *arriving; /* the WRITE whose payload is being received; one of jobs */
	struct job **jobs;    /* in the order of their arrival */
	uint32_t jobs_count, jobs_room;
	struct answer_buffer out;
	size_t out_sent;
};

/* Takes fd over. */
void peer_open(struct peer *peer, struct peer_shared *shared, uint32_t number, int fd);
/* Ends it, if it has not ended, and frees what it has. */
void peer_close(struct peer *peer);
/* All that can be done now. Whether anything was. */
bool peer_move(struct peer *peer);
/* What the client sent before it ended: at the end, when no further answer is of use. */
void peer_receive_rest(struct peer *peer);
/* Whether it has something to send. */
static inline bool peer_has_output(const struct peer *peer)
{
	return peer->out_sent < peer->out.count;
}

/* Carries out the orphans whose time has come; all: each of them. Whether there was one. */
bool peer_carry_out_orphans(struct peer_shared *shared, bool all);

#endif
