/* SPDX-License-Identifier: MIT */
/* request.c - see request.h. Layout: proto.md, "Request message", "Extended request message". */
#include "proto/request.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define BIT(n) (1u << (n))

void nbd_request_move_rx(struct nbd_request *request, enum nbd_rx_state to)
{
	static const uint8_t legal[] = {
		[NBD_RX_IDLE] = BIT(NBD_RX_WAITING) | BIT(NBD_RX_IDLE),
		[NBD_RX_WAITING] = BIT(NBD_RX_PARTIAL) | BIT(NBD_RX_IDLE),
		[NBD_RX_PARTIAL] = BIT(NBD_RX_WAITING) | BIT(NBD_RX_FINAL) | BIT(NBD_RX_IDLE),
		[NBD_RX_FINAL] = BIT(NBD_RX_IDLE),
	};

	assert(legal[request->rx] & BIT(to));
	request->rx = to;
}

void nbd_request_expect(struct nbd_request *request)
{
	nbd_request_move_rx(request, NBD_RX_WAITING);
	request->error = 0;
	request->chunks = 0;
	request->scattered = false;
	nbd_coverage_reset(&request->coverage);
}

/* FLUSH and DISC have no range; both fields "MUST be zero" on the wire. */
static bool has_range(uint16_t command)
{
	return command != NBD_CMD_FLUSH && command != NBD_CMD_DISC;
}

uint32_t nbd_request_encode(const struct nbd_request *request, enum nbd_framing framing,
			    uint8_t *out)
{
	bool ranged = has_range(request->command);
	uint64_t offset_bytes = ranged ? request->offset_bytes : 0;
	uint32_t length_bytes = ranged ? request->length_bytes : 0;
	uint16_t flags = request->flags;

	if (framing == NBD_FRAMING_EXTENDED && request->command == NBD_CMD_WRITE)
		flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
	wire_put16(out + 4, flags);
	wire_put16(out + 6, request->command);
	wire_put64(out + 8, request->cookie);
	wire_put64(out + 16, offset_bytes);
	if (framing == NBD_FRAMING_EXTENDED) {
		wire_put32(out, NBD_MAGIC_EXTENDED_REQUEST);
		wire_put64(out + 24, length_bytes);
		return NBD_EXTENDED_REQUEST_BYTES;
	}
	wire_put32(out, NBD_MAGIC_REQUEST);
	wire_put32(out + 24, length_bytes);
	return NBD_REQUEST_BYTES;
}

/* What one command asks of the export, and which flags it may carry. */
struct command_rule {
	uint16_t export_flag; /* that must be advertised; 0: none */
	uint16_t flags;	      /* command flags that mean something on it */
	bool writes;
	bool payload;
};

static const struct command_rule rules[] = {
	[NBD_CMD_READ] = { 0, NBD_CMD_FLAG_DF, false, true },
	[NBD_CMD_WRITE] = { 0, NBD_CMD_FLAG_FUA, true, true },
	[NBD_CMD_DISC] = { 0, 0, false, false },
	[NBD_CMD_FLUSH] = { NBD_FLAG_SEND_FLUSH, 0, false, false },
	[NBD_CMD_TRIM] = { NBD_FLAG_SEND_TRIM, NBD_CMD_FLAG_FUA, true, false },
	[NBD_CMD_CACHE] = { NBD_FLAG_SEND_CACHE, 0, false, false },
	[NBD_CMD_WRITE_ZEROES] = { NBD_FLAG_SEND_WRITE_ZEROES,
				   NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
				   true, false },
};

static int check_flags(const struct nbd_request *request, const struct nbd_export *export)
{
	uint16_t flags = request->flags;

	if (flags & ~rules[request->command].flags)
		return -EINVAL;
	if ((flags & NBD_CMD_FLAG_FUA) && !(export->flags & NBD_FLAG_SEND_FUA))
		return -EOPNOTSUPP;
	if ((flags & NBD_CMD_FLAG_FAST_ZERO) && !(export->flags & NBD_FLAG_SEND_FAST_ZERO))
		return -EOPNOTSUPP;
	if ((flags & NBD_CMD_FLAG_DF) &&
	    (!(export->flags & NBD_FLAG_SEND_DF) || export->framing == NBD_FRAMING_SIMPLE))
		return -EOPNOTSUPP;
	return 0;
}

static int check_range(const struct nbd_request *request, const struct nbd_export *export)
{
	uint32_t mask = export->block_minimum_bytes - 1;
	uint64_t end_bytes;

	if (request->length_bytes == 0 || request->offset_bytes >= export->size_bytes ||
	    request->length_bytes > export->size_bytes - request->offset_bytes)
		return -EINVAL;
	end_bytes = request->offset_bytes + request->length_bytes;
	if (request->offset_bytes & mask)
		return -EINVAL;
	if ((request->length_bytes & mask) && end_bytes != export->size_bytes)
		return -EINVAL;
	if (rules[request->command].payload && request->length_bytes > export->payload_max_bytes)
		return -E2BIG;
	return 0;
}

int nbd_request_check(const struct nbd_request *request, const struct nbd_export *export)
{
	const struct command_rule *rule;
	int rc;

	if (request->command >= sizeof(rules) / sizeof(rules[0]))
		return -EOPNOTSUPP;
	rule = &rules[request->command];
	if (rule->writes && (export->flags & NBD_FLAG_READ_ONLY))
		return -EROFS;
	if (rule->export_flag && !(export->flags & rule->export_flag))
		return -EOPNOTSUPP;
	rc = check_flags(request, export);
	if (rc < 0 || !has_range(request->command))
		return rc;
	return check_range(request, export);
}

const char *nbd_request_text(const struct nbd_request *request, char *out, size_t out_bytes)
{
	static const char *const names[] = {
		[NBD_CMD_READ] = "READ",
		[NBD_CMD_WRITE] = "WRITE",
		[NBD_CMD_DISC] = "DISC",
		[NBD_CMD_FLUSH] = "FLUSH",
		[NBD_CMD_TRIM] = "TRIM",
		[NBD_CMD_CACHE] = "CACHE",
		[NBD_CMD_WRITE_ZEROES] = "WRITE_ZEROES",
	};
	const char *name = request->command < sizeof(names) / sizeof(names[0])
				   ? names[request->command]
				   : "unknown command";

	if (request->command == NBD_CMD_FLUSH || request->command == NBD_CMD_DISC)
		snprintf(out, out_bytes, "%s", name);
	else
		snprintf(out, out_bytes, "%s of %u bytes at %" PRIu64, name, request->length_bytes,
			 request->offset_bytes);
	return out;
}
