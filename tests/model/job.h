/* SPDX-License-Identifier: MIT */
/*
 * job.h - one request as a connection of the server has it, from its header to the last piece of its answer.
 * What a request must not be is found out here: the client is to send nothing that the export excludes.
 */
#ifndef TESTS_MODEL_JOB_H
#define TESTS_MODEL_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire.h"
#include "tests/model/plan.h"

#define JOB_HEADER_BYTES_MAX 32
#define JOB_PIECES_MAX	     16

/* Of a READ's answer: from the request's offset. */
struct job_piece {
	uint32_t start, end;
};

struct job {
	uint64_t cookie;
	uint64_t offset_bytes;
	uint32_t length_bytes;
	uint16_t command;
	uint16_t flags;
	uint8_t *data;		/* a WRITE's payload, or what a READ returns; else NULL */
	uint32_t arrived_bytes; /* of a WRITE's payload */
	uint32_t error;		/* the wire value of the answer */
	bool silent;		/* it is never answered */
	int64_t oldest_ms; /* of a silent one: since then all that came before it is answered; 0: not yet */
	bool answered; /* by an early error: its payload is still to be read */
	bool carried_out;
	int64_t carry_out_ms, answer_ms; /* not before */

	/* a READ's answer in chunks */
	struct job_piece pieces[JOB_PIECES_MAX];
	uint32_t pieces_count, pieces_sent;
	bool error_sent;
};

/* How long a header is. */
uint32_t job_header_bytes(const struct plan *plan);
/* The request of a header, checked. */
struct job *job_make(const struct plan *plan, const uint8_t *header);
void job_free(struct job *job);

/* Whether it changes the disk. */
bool job_changes(const struct job *job);
/* Whether its payload is still arriving. */
static inline bool job_is_arriving(const struct job *job)
{
	return job->command == NBD_CMD_WRITE && job->arrived_bytes < job->length_bytes;
}

#endif
