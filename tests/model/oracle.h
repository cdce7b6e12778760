/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what each block of the disk may hold, by what was asked and answered alone. It knows neither the
 * client nor the server; its clock counts the beginnings and ends of requests.
 *
 * Of each write it keeps when it began, when it ended (acknowledged or failed), and when it took effect at the
 * latest: at its acknowledgement, or at the end of the first read that returned it. A write takes effect
 * once. So a block can no longer hold a write
 *
 *   - once a newer one took effect: one that began after this one had ended. That this one failed, unanswered,
 *     is no excuse: the client must not let a newer write through where an older one may still come
 *     to pass (gateway/nbd/holds.h);
 *   - once a read that began after it took effect returned another one: reads never go backwards.
 *
 * Of two writes that overlap in time either may win. A failed one may take effect at any time, or never, until
 * it is overwritten as above.
 *
 * The same is kept for what a loss of power leaves: there a write took effect when it was acknowledged and is
 * durable (FUA), or when a FLUSH that began after its acknowledgement was acknowledged.
 *
 * One thread.
 */
#ifndef TESTS_MODEL_ORACLE_H
#define TESTS_MODEL_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

struct oracle;

/* A request under way. The caller fills in what stands before write. */
struct oracle_request {
	uint32_t block, blocks;
	bool zeroes;	/* of a write: a TRIM or WRITE_ZEROES */
	bool durable;	/* of a write: once it is acknowledged */
	uint32_t write; /* its number, which its stamps carry: of a write */
	uint64_t began;
};

struct oracle *oracle_open(uint32_t blocks, uint16_t tags);
void oracle_close(struct oracle *oracle);

/* A write begins: its number is set. What writes is told of before it is submitted, and what ends before
 * anything else is. */
void oracle_begin_write(struct oracle *oracle, struct oracle_request *request);
void oracle_end_write(struct oracle *oracle, const struct oracle_request *request,
		      bool acknowledged);
/* tag: no other read has it meanwhile. */
void oracle_begin_read(struct oracle *oracle, struct oracle_request *request, uint16_t tag);
/* bytes: what it returned; NULL: it failed. Ends the program where that is not what the blocks may hold. */
void oracle_end_read(struct oracle *oracle, const struct oracle_request *request, uint16_t tag,
		     const uint8_t *bytes);
void oracle_begin_flush(struct oracle *oracle, struct oracle_request *request);
/* It was acknowledged. */
void oracle_end_flush(struct oracle *oracle, const struct oracle_request *request);

/* Ends the program where that is not what the whole disk may hold: now, or after a loss of power now. */
void oracle_check(struct oracle *oracle, const uint8_t *bytes);
void oracle_check_durable(struct oracle *oracle, const uint8_t *bytes);

#endif
