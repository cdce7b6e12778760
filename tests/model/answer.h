/* SPDX-License-Identifier: MIT */
/*
 * answer.h - the server's answers, in each framing, and what is none.
 */
#ifndef TESTS_MODEL_ANSWER_H
#define TESTS_MODEL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/model/chance.h"
#include "tests/model/job.h"

/* Bytes that wait to be sent. */
struct answer_buffer {
	uint8_t *bytes;
	size_t count, room;
};

/* Divides a READ's answer into chunks, in any order; of the other answers there is one piece. */
void answer_divide(struct job *job, enum nbd_framing framing, struct dice *dice);
/* Appends the next piece. True when it was the last one. */
bool answer_append(struct answer_buffer *out, struct job *job, enum nbd_framing framing,
		   struct dice *dice);
/* Appends something that no client may take for an answer. cookie: of a request that was answered before. */
void answer_append_breach(struct answer_buffer *out, enum nbd_framing framing, uint64_t cookie,
			  struct dice *dice);

#endif
