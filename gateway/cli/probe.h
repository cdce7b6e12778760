/* SPDX-License-Identifier: MIT */
/*
 * probe.h - a few reads over a connection that was just dialled, one at a time, through the same
 * parser that the daemon uses: what comes back is checked as a disk's would be.
 */
#ifndef GATEWAY_CLI_PROBE_H
#define GATEWAY_CLI_PROBE_H

#include "proto/reply.h"
#include "tls/transport.h"

struct probe {
	struct transport *transport;	 /* borrowed; in transmission */
	const struct nbd_export *export; /* borrowed */
	struct nbd_reply_parser parser;
	struct nbd_request request;
	uint64_t cookie;
	uint8_t bytes[65536];
};

void probe_init(struct probe *probe, struct transport *transport, const struct nbd_export *export);

/*
 * Reads length_bytes at offset_bytes, throws them away. 0; -ETIMEDOUT; -ECONNRESET when the server
 * closes; -EPROTO when it breaks the protocol (probe->parser.why says how); what the transport
 * returns; or, as a negative errno, what a disk's read would end with when the server answers it with an
 * error, probe->request.error (*server_said is then true: the connection is well).
 */
int probe_read(struct probe *probe, uint64_t offset_bytes, uint32_t length_bytes,
	       int64_t deadline_ms, bool *server_said);

/* Takes leave: DISC. */
void probe_disconnect(struct probe *probe, int64_t deadline_ms);

#endif
