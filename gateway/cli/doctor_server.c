/* SPDX-License-Identifier: MIT */
/*
 * doctor_server.c - the server as connect would meet it, step by step.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/cli/doctor.h"
#include "gateway/cli/features.h"
#include "gateway/cli/forecast.h"
#include "gateway/cli/output.h"
#include "gateway/cli/probe.h"
#include "proto/error.h"
#include "tls/clock.h"

/* One after another, each with a deadline of its own; no other is begun once they took so long together. */
#define READS		16
#define READS_ENOUGH_MS 3000
#define READ_BYTES	4096u
#define SLOW_READ_MS	20.0
#define DISCONNECT_MS	500

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static const char *const stage_names[] = {
	[DIAL_RESOLVE] = "name",	[DIAL_CONNECT] = "connection", [DIAL_TLS] = "TLS",
	[DIAL_HANDSHAKE] = "handshake", [DIAL_DONE] = "server",
};

/* The dial's progress. Of a step that failed it is not known yet whether it ends the dial: it is
 * kept until the next one, or the end. */
struct steps {
	struct checks *checks;
	enum dial_stage failed_stage;
	char failed[sizeof(((struct dial_result *)0)->sentence)]; /* "" for none */
};

/* Another step follows, so that failure was not the end: the next address may answer. */
static void steps_forgive(struct steps *steps)
{
	if (steps->failed[0])
		check_warn(steps->checks, stage_names[steps->failed_stage], "%s", steps->failed);
	steps->failed[0] = '\0';
}

static void steps_progress(void *context, enum dial_stage stage, int error, const char *sentence)
{
	struct steps *steps = context;

	steps_forgive(steps);
	if (!error) {
		check_ok(steps->checks, stage_names[stage], "%s", sentence);
		return;
	}
	steps->failed_stage = stage;
	snprintf(steps->failed, sizeof(steps->failed), "%s", sentence);
}

static void steps_fail(struct steps *steps, const struct dial_result *result)
{
	if (strcmp(steps->failed, result->sentence))
		steps_forgive(steps);
	check_fail(steps->checks, result->exit_code, stage_names[result->stage], "%s",
		   result->sentence);
}

static void check_export(struct checks *checks, const struct nbd_export *export)
{
	char size[64], features[256];

	check_ok(checks, "export", "\"%s\", %s, %s", export->name,
		 output_size(size, sizeof(size), export->size_bytes),
		 export->flags & NBD_FLAG_READ_ONLY ? "read-only" : "read-write");
	check_ok(checks, "features", "%s",
		 features_to_text(features, sizeof(features), export->flags));
	if (export->used_export_name)
		check_warn(
			checks, "age",
			"the server does not know GO (NBD of 2016): its block sizes are not known");
}

static void check_flush(struct checks *checks, const struct nbd_export *export)
{
	if (export->flags & NBD_FLAG_READ_ONLY)
		return;
	if (export->flags & NBD_FLAG_SEND_FLUSH)
		check_ok(checks, "flush", "advertised: fsync reaches the server's disk");
	else if (export->flags & NBD_FLAG_SEND_FUA)
		check_ok(checks, "flush", "not advertised, but FUA: every write is forced");
	else
		check_warn(
			checks, "flush",
			"not advertised, nor FUA: data may be lost when the server's machine "
			"fails; see whether the server can be told to (nbd-server: flush = true)");
}

static void check_forecast(struct checks *checks, const struct nbd_export *export)
{
	struct forecast forecast;
	cpu_set_t set;

	forecast_make(&forecast, export,
		      sched_getaffinity(0, sizeof(set), &set) ? 1 : (uint32_t)CPU_COUNT(&set));
	if (!forecast.possible) {
		check_fail(checks, EXIT_CODE_REFUSED, "disk", "not to be made of this export: %s",
			   forecast.why_not);
		return;
	}
	check_ok(checks, "disk", "blocks of %u bytes, I/O up to %u KiB, %u connection%s%s",
		 forecast.disk.logical_block_bytes, forecast.disk.max_io_bytes >> 10,
		 forecast.disk.connections, forecast.disk.connections == 1 ? "" : "s",
		 export->flags & NBD_FLAG_CAN_MULTI_CONN
			 ? ""
			 : " (the server does not promise CAN_MULTI_CONN)");
	if (forecast.disk.tail_bytes > 0)
		check_warn(checks, "size",
			   "not a multiple of the block: the disk leaves out the last %llu bytes",
			   (unsigned long long)forecast.disk.tail_bytes);
}

static int compare_us(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

static void report_latency(struct checks *checks, int64_t us[READS], int reads)
{
	const int middle = reads / 2;
	double least, median, most;

	qsort(us, (size_t)reads, sizeof(us[0]), compare_us);
	least = (double)us[0] / 1000;
	median = (double)us[middle] / 1000;
	most = (double)us[reads - 1] / 1000;
	if (median > SLOW_READ_MS)
		check_warn(
			checks, "latency",
			"%d read%s one after another took %.1f ms each (median; %.1f to %.1f): a "
			"disk works, but slowly: see the network between, and the server's own "
			"disk",
			reads, reads == 1 ? "" : "s", median, least, most);
	else
		check_ok(checks, "latency", "%d reads, median %.2f ms (%.2f to %.2f)", reads,
			 median, least, most);
}

/* How the reads went: reads of them were answered, then error. */
struct outcome {
	int reads, error; /* -errno or 0 */
	bool server_said; /* error is the server's answer */
	uint32_t timeout_ms;
};

static void report_failure(struct checks *checks, const struct probe *probe,
			   const struct outcome *outcome)
{
	char which[80] = "a read of the first block";

	if (outcome->reads > 0)
		snprintf(which, sizeof(which), "read %d of the first block (%d before it answered)",
			 outcome->reads + 1, outcome->reads);
	if (outcome->server_said)
		check_fail(checks, EXIT_CODE_REFUSED, "read",
			   "the server answers %s with an error: %s (%s): see its log, and whether "
			   "its disk is well",
			   which, strerror(-outcome->error), nbd_error_name(probe->request.error));
	else if (outcome->error == -EPROTO)
		check_fail(checks, EXIT_CODE_REFUSED, "read",
			   "the server's answer to %s breaks the protocol: %s: update the server",
			   which, probe->parser.why);
	else if (outcome->error == -ETIMEDOUT)
		check_fail(checks, EXIT_CODE_UNREACHABLE, "read",
			   "no answer to %s within %u ms (--timeout): a disk would give the "
			   "connection up: see the server's log",
			   which, outcome->timeout_ms);
	else
		check_fail(checks, EXIT_CODE_UNREACHABLE, "read",
			   "no answer to %s: %s: see the server's log", which,
			   outcome->error == -ECONNRESET ? "the server closed the connection"
							 : strerror(-outcome->error));
}

static uint32_t read_length(const struct nbd_export *export)
{
	uint32_t length_bytes = READ_BYTES;

	if (length_bytes < export->block_minimum_bytes)
		length_bytes = export->block_minimum_bytes;
	return length_bytes > export->size_bytes ? (uint32_t) export->size_bytes : length_bytes;
}

static void check_reads(struct checks *checks, const struct dial_result *result,
			uint32_t timeout_ms)
{
	const uint32_t length_bytes = read_length(result->export);
	struct outcome outcome = { .timeout_ms = timeout_ms };
	struct probe *probe = malloc(sizeof(*probe));
	const int64_t enough_us = now_us() + (int64_t)READS_ENOUGH_MS * 1000;
	int64_t us[READS], started_us;

	if (!probe)
		return;
	probe_init(probe, result->transport, result->export);
	while (length_bytes > 0 && outcome.reads < READS &&
	       (outcome.reads == 0 || now_us() < enough_us)) {
		started_us = now_us();
		outcome.error = probe_read(probe, 0, length_bytes, clock_now_ms() + timeout_ms,
					   &outcome.server_said);
		if (outcome.error)
			break;
		us[outcome.reads++] = now_us() - started_us;
	}
	if (outcome.error) {
		report_failure(checks, probe, &outcome);
	} else if (outcome.reads > 0) {
		check_ok(checks, "read", "the first %u bytes came", length_bytes);
		report_latency(checks, us, outcome.reads);
	}
	if (!outcome.error || outcome.server_said)
		probe_disconnect(probe, clock_now_ms() + DISCONNECT_MS);
	free(probe);
}

void doctor_server(struct checks *checks, struct look *look)
{
	struct steps steps = { .checks = checks };
	struct dial_options options = {
		.goal = NBD_GOAL_GO,
		.progress = steps_progress,
		.context = &steps,
	};
	struct dial_result result;

	checks_begin(checks, "server", look->described);
	if (look->start_failure[0]) {
		check_fail(checks, EXIT_CODE_UNREACHABLE, "start", "%s", look->start_failure);
		return;
	}
	if (look_dial(look, &options, &result)) {
		steps_fail(&steps, &result);
		return;
	}
	check_export(checks, result.export);
	check_flush(checks, result.export);
	check_forecast(checks, result.export);
	check_reads(checks, &result, look->timeout_ms);
	dial_result_clear(&result);
}
