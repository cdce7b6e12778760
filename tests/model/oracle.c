/* SPDX-License-Identifier: MIT */
/* Each block has the list of the writes that it may hold, or may have held when an open read began. */
#include "tests/model/oracle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/model/failure.h"
#include "tests/model/stamp.h"

#define NEVER	   UINT64_MAX
#define TEXT_BYTES 200

/* A write, as one block sees it. Times are NEVER until they come. */
struct candidate {
	uint32_t write;
	bool zeroes;
	bool acknowledged;
	bool lost; /* a loss of power can no longer leave it */
	uint64_t began;
	uint64_t ended;
	uint64_t effective; /* it had taken effect by then */
	uint64_t gone;	    /* a read that begins later cannot return it */
};

struct block {
	struct candidate *candidates;
	uint32_t count, room;
};

struct oracle {
	uint64_t now;
	uint32_t writes;
	uint32_t blocks_count;
	struct block *blocks;
	uint16_t tags;
	uint64_t *reads; /* by tag: when the open read began, or NEVER */
};

/* --- the list of a block -------------------------------------------------------------------------- */

static void add(struct block *block, const struct candidate *candidate)
{
	if (block->count == block->room) {
		block->room = block->room ? 2 * block->room : 4;
		block->candidates =
			realloc(block->candidates, block->room * sizeof(*block->candidates));
		if (!block->candidates)
			abort();
	}
	block->candidates[block->count++] = *candidate;
}

/* Drops what no open read, and no loss of power, can bring to light any more. */
static void prune(struct block *block, uint64_t oldest_read)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < block->count; i++)
		if (block->candidates[i].gone >= oldest_read || !block->candidates[i].lost)
			block->candidates[kept++] = block->candidates[i];
	block->count = kept;
}

static uint64_t oldest_read(const struct oracle *oracle)
{
	uint64_t oldest = oracle->now;

	for (uint16_t tag = 0; tag < oracle->tags; tag++)
		if (oracle->reads[tag] < oldest)
			oldest = oracle->reads[tag];
	return oldest;
}

static void end(uint64_t *time, uint64_t now)
{
	if (*time > now)
		*time = now;
}

/* A write that began then has taken effect by now. */
static void supersede(struct block *block, uint64_t began, uint64_t now)
{
	for (uint32_t i = 0; i < block->count; i++)
		if (block->candidates[i].ended < began)
			end(&block->candidates[i].gone, now);
}

/* One that began then is durable. */
static void supersede_durable(struct block *block, uint64_t began)
{
	for (uint32_t i = 0; i < block->count; i++)
		if (block->candidates[i].ended < began)
			block->candidates[i].lost = true;
}

/* --- what was found in it ------------------------------------------------------------------------- */

static bool matches(const struct candidate *candidate, uint32_t stamp)
{
	return stamp == STAMP_ZEROES ? candidate->zeroes : candidate->write == stamp;
}

static const char *time_text(uint64_t time, char *out, size_t out_bytes)
{
	if (time == NEVER)
		return "never";
	snprintf(out, out_bytes, "%" PRIu64, time);
	return out;
}

static void describe(const struct candidate *candidate, char *out)
{
	char ended[24], effective[24], gone[24];

	snprintf(out, TEXT_BYTES, "write %u%s: began %" PRIu64 ", %s %s, effective %s, gone %s%s",
		 candidate->write, candidate->zeroes ? " (zeroes)" : "", candidate->began,
		 candidate->acknowledged ? "acknowledged" : "failed",
		 time_text(candidate->ended, ended, sizeof(ended)),
		 time_text(candidate->effective, effective, sizeof(effective)),
		 time_text(candidate->gone, gone, sizeof(gone)),
		 candidate->lost ? ", replaced in the durable store" : "");
}

__attribute__((noreturn)) static void report(const struct oracle *oracle, uint32_t number,
					     uint32_t stamp, const char *seen)
{
	const struct block *block = &oracle->blocks[number];
	char text[TEXT_BYTES];

	for (uint32_t i = 0; i < block->count; i++) {
		describe(&block->candidates[i], text);
		failure_note("block %u may hold, or held: %s", number, text);
	}
	if (stamp == STAMP_INVALID)
		failure_report("block %u, %s at %" PRIu64 ": no write's bytes, or torn", number,
			       seen, oracle->now);
	failure_report("block %u, %s at %" PRIu64 ": holds write %u, which it must not", number,
		       seen, oracle->now, stamp);
}

/* How many of the candidates it may be, as seen since then; one of them. */
static uint32_t find(const struct block *block, uint32_t stamp, uint64_t since,
		     struct candidate **found)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < block->count; i++) {
		struct candidate *candidate = &block->candidates[i];

		if (!matches(candidate, stamp) || candidate->gone < since)
			continue;
		*found = candidate;
		count++;
	}
	return count;
}

/* A read that began then returned it, and has ended now. */
static void observe(struct oracle *oracle, uint32_t number, uint32_t stamp, uint64_t began)
{
	struct block *block = &oracle->blocks[number];
	struct candidate *found = NULL;
	uint32_t count = find(block, stamp, began, &found);

	if (count == 0)
		report(oracle, number, stamp, "read");
	if (count == 1 && found->effective == NEVER) {
		found->effective = oracle->now;
		supersede(block, found->began, oracle->now);
	}
	for (uint32_t i = 0; i < block->count; i++) {
		struct candidate *other = &block->candidates[i];

		if (!matches(other, stamp) && other->effective < began)
			end(&other->gone, oracle->now);
	}
}

/* --- requests -------------------------------------------------------------------------------------- */

void oracle_begin_write(struct oracle *oracle, struct oracle_request *request)
{
	struct candidate candidate = {
		.zeroes = request->zeroes, .ended = NEVER, .effective = NEVER, .gone = NEVER
	};
	uint64_t oldest = oldest_read(oracle);

	request->began = ++oracle->now;
	request->write = ++oracle->writes;
	candidate.began = request->began;
	candidate.write = request->write;
	for (uint32_t i = 0; i < request->blocks; i++) {
		prune(&oracle->blocks[request->block + i], oldest);
		add(&oracle->blocks[request->block + i], &candidate);
	}
}

static void end_in_block(struct oracle *oracle, struct block *block,
			 const struct oracle_request *request, bool acknowledged)
{
	for (uint32_t i = 0; i < block->count; i++) {
		struct candidate *candidate = &block->candidates[i];

		if (candidate->write != request->write)
			continue;
		candidate->ended = oracle->now;
		candidate->acknowledged = acknowledged;
		if (acknowledged)
			end(&candidate->effective, oracle->now);
	}
	if (acknowledged)
		supersede(block, request->began, oracle->now);
	if (acknowledged && request->durable)
		supersede_durable(block, request->began);
}

void oracle_end_write(struct oracle *oracle, const struct oracle_request *request,
		      bool acknowledged)
{
	oracle->now++;
	for (uint32_t i = 0; i < request->blocks; i++)
		end_in_block(oracle, &oracle->blocks[request->block + i], request, acknowledged);
}

void oracle_begin_read(struct oracle *oracle, struct oracle_request *request, uint16_t tag)
{
	request->began = ++oracle->now;
	oracle->reads[tag] = request->began;
}

void oracle_end_read(struct oracle *oracle, const struct oracle_request *request, uint16_t tag,
		     const uint8_t *bytes)
{
	oracle->now++;
	oracle->reads[tag] = NEVER;
	for (uint32_t i = 0; bytes && i < request->blocks; i++, bytes += BLOCK_BYTES)
		observe(oracle, request->block + i, stamp_read(bytes, request->block + i),
			request->began);
}

void oracle_begin_flush(struct oracle *oracle, struct oracle_request *request)
{
	request->began = ++oracle->now;
}

/* The newest write that was acknowledged before the FLUSH began is durable; with it all that are older. */
static void flush_block(struct block *block, uint64_t flush_began)
{
	uint64_t newest = 0;

	for (uint32_t i = 0; i < block->count; i++) {
		const struct candidate *candidate = &block->candidates[i];

		if (candidate->acknowledged && candidate->ended < flush_began &&
		    candidate->began > newest)
			newest = candidate->began;
	}
	supersede_durable(block, newest);
}

void oracle_end_flush(struct oracle *oracle, const struct oracle_request *request)
{
	oracle->now++;
	for (uint32_t i = 0; i < oracle->blocks_count; i++)
		flush_block(&oracle->blocks[i], request->began);
}

/* --- the whole disk --------------------------------------------------------------------------------- */

void oracle_check(struct oracle *oracle, const uint8_t *bytes)
{
	uint64_t began = ++oracle->now;

	oracle->now++;
	for (uint32_t i = 0; i < oracle->blocks_count; i++, bytes += BLOCK_BYTES)
		observe(oracle, i, stamp_read(bytes, i), began);
}

static void check_durable(const struct oracle *oracle, uint32_t number, uint32_t stamp)
{
	const struct block *block = &oracle->blocks[number];

	for (uint32_t i = 0; i < block->count; i++)
		if (matches(&block->candidates[i], stamp) && !block->candidates[i].lost)
			return;
	report(oracle, number, stamp, "after a loss of power");
}

void oracle_check_durable(struct oracle *oracle, const uint8_t *bytes)
{
	for (uint32_t i = 0; i < oracle->blocks_count; i++, bytes += BLOCK_BYTES)
		check_durable(oracle, i, stamp_read(bytes, i));
}

/* --- open, close ----------------------------------------------------------------------------------- */

/* Zeroes, which somebody wrote before all began. */
static const struct candidate initial = { .zeroes = true, .acknowledged = true, .gone = NEVER };

struct oracle *oracle_open(uint32_t blocks, uint16_t tags)
{
	struct oracle *oracle = calloc(1, sizeof(*oracle));

	if (!oracle)
		abort();
	oracle->blocks_count = blocks;
	oracle->tags = tags;
	oracle->blocks = calloc(blocks, sizeof(*oracle->blocks));
	oracle->reads = malloc(tags * sizeof(*oracle->reads));
	if (!oracle->blocks || !oracle->reads)
		abort();
	for (uint32_t i = 0; i < blocks; i++)
		add(&oracle->blocks[i], &initial);
	for (uint16_t tag = 0; tag < tags; tag++)
		oracle->reads[tag] = NEVER;
	return oracle;
}

void oracle_close(struct oracle *oracle)
{
	for (uint32_t i = 0; i < oracle->blocks_count; i++)
		free(oracle->blocks[i].candidates);
	free(oracle->blocks);
	free(oracle->reads);
	free(oracle);
}
