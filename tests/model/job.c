/* SPDX-License-Identifier: MIT */
/* Headers by the protocol's document, not by the gateway's own code. */
#include "tests/model/job.h"

#include <stdlib.h>

#include "tests/model/failure.h"
#include "tests/model/stamp.h"

uint32_t job_header_bytes(const struct plan *plan)
{
	return plan->export.framing == NBD_FRAMING_EXTENDED ? NBD_EXTENDED_REQUEST_BYTES
							    : NBD_REQUEST_BYTES;
}

bool job_changes(const struct job *job)
{
	return job->command == NBD_CMD_WRITE || job->command == NBD_CMD_TRIM ||
	       job->command == NBD_CMD_WRITE_ZEROES;
}

static void refuse(const struct job *job, const char *why)
{
	failure_report("the client sent command %u, flags 0x%x, of %u bytes at %llu: %s",
		       job->command, job->flags, job->length_bytes,
		       (unsigned long long)job->offset_bytes, why);
}

/* What the export has to advertise for a command, and the flags that the command may carry. */
static const struct {
	uint16_t export_flag;
	uint16_t flags;
} rules[] = {
	[NBD_CMD_READ] = { 0, 0 },
	[NBD_CMD_WRITE] = { 0, NBD_CMD_FLAG_FUA },
	[NBD_CMD_DISC] = { 0, 0 },
	[NBD_CMD_FLUSH] = { NBD_FLAG_SEND_FLUSH, 0 },
	[NBD_CMD_TRIM] = { NBD_FLAG_SEND_TRIM, NBD_CMD_FLAG_FUA },
	[NBD_CMD_WRITE_ZEROES] = { NBD_FLAG_SEND_WRITE_ZEROES,
				   NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE },
};

static void check_command(const struct plan *plan, const struct job *job)
{
	uint16_t offered = plan->export.flags, flags = job->flags;

	if (job->command > NBD_CMD_WRITE_ZEROES || job->command == NBD_CMD_CACHE)
		refuse(job, "no such command");
	if (rules[job->command].export_flag & ~offered)
		refuse(job, "the export does not offer it");
	if (plan->export.framing == NBD_FRAMING_EXTENDED && job->command == NBD_CMD_WRITE) {
		if (!(flags & NBD_CMD_FLAG_PAYLOAD_LEN))
			refuse(job, "a payload without its flag");
		flags &= (uint16_t)~NBD_CMD_FLAG_PAYLOAD_LEN;
	}
	if (flags & ~rules[job->command].flags)
		refuse(job, "flags that it cannot have");
	if (flags & NBD_CMD_FLAG_FUA && !(offered & NBD_FLAG_SEND_FUA))
		refuse(job, "the export does not offer FUA");
}

static void check_range(const struct plan *plan, const struct job *job)
{
	const struct nbd_export *export = &plan->export;
	bool payload = job->command == NBD_CMD_READ || job->command == NBD_CMD_WRITE;

	if (job->command == NBD_CMD_FLUSH || job->command == NBD_CMD_DISC) {
		if (job->offset_bytes || job->length_bytes)
			refuse(job, "a range");
		return;
	}
	if (job->length_bytes == 0 || job->offset_bytes > export->size_bytes ||
	    job->length_bytes > export->size_bytes - job->offset_bytes)
		refuse(job, "out of the export");
	if (job->offset_bytes % BLOCK_BYTES || job->length_bytes % BLOCK_BYTES ||
	    job->offset_bytes % export->block_minimum_bytes ||
	    job->length_bytes % export->block_minimum_bytes)
		refuse(job, "not in whole blocks");
	if (payload && job->length_bytes > export->payload_max_bytes)
		refuse(job, "too large a payload");
}

static void read_header(const struct plan *plan, struct job *job, const uint8_t *header)
{
	bool extended = plan->export.framing == NBD_FRAMING_EXTENDED;
	uint64_t length_bytes = extended ? wire_get64(header + 24) : wire_get32(header + 24);

	if (wire_get32(header) != (extended ? NBD_MAGIC_EXTENDED_REQUEST : NBD_MAGIC_REQUEST))
		failure_report("the client sent 0x%08x where a request should begin",
			       wire_get32(header));
	job->flags = wire_get16(header + 4);
	job->command = wire_get16(header + 6);
	job->cookie = wire_get64(header + 8);
	job->offset_bytes = wire_get64(header + 16);
	job->length_bytes = (uint32_t)length_bytes;
	if (length_bytes > UINT32_MAX)
		refuse(job, "a length of more than 32 bits");
}

struct job *job_make(const struct plan *plan, const uint8_t *header)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		abort();
	read_header(plan, job, header);
	check_command(plan, job);
	check_range(plan, job);
	if (job->command == NBD_CMD_READ || job->command == NBD_CMD_WRITE) {
		job->data = malloc(job->length_bytes);
		if (!job->data)
			abort();
	}
	return job;
}

void job_free(struct job *job)
{
	free(job->data);
	free(job);
}
