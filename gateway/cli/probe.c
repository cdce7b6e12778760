/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "gateway/cli/probe.h"
#include "proto/error.h"

static struct nbd_request *probe_find(void *context, uint64_t cookie)
{
	struct probe *probe = context;
	bool awaited = probe->request.rx == NBD_RX_WAITING || probe->request.rx == NBD_RX_PARTIAL;

	return awaited && probe->request.cookie == cookie ? &probe->request : NULL;
}

void probe_init(struct probe *probe, struct transport *transport, const struct nbd_export *export)
{
	memset(probe, 0, sizeof(*probe));
	probe->transport = transport;
	probe->export = export;
	nbd_reply_parser_init(&probe->parser, export->framing, probe_find, probe);
}

static int probe_send(struct probe *probe, int64_t deadline_ms)
{
	uint8_t header[NBD_EXTENDED_REQUEST_BYTES];
	uint32_t len = nbd_request_encode(&probe->request, probe->export->framing, header);

	return probe->transport->ops->write(probe->transport, header, len, deadline_ms);
}

/* Parses what came; *final once the reply is whole. */
static int probe_parse(struct probe *probe, size_t len, bool *final)
{
	struct nbd_reply_event event = { .type = NBD_REPLY_DATA };
	size_t at = 0, used = 0;
	int error;

	while (event.type != NBD_REPLY_NEED_MORE) {
		error = nbd_reply_parse(&probe->parser, probe->bytes + at, len - at, &used, &event);
		if (error)
			return error;
		at += used;
		*final |= event.type == NBD_REPLY_FINAL;
	}
	return 0;
}

int probe_read(struct probe *probe, uint64_t offset_bytes, uint32_t length_bytes,
	       int64_t deadline_ms, bool *server_said)
{
	bool final = false;
	ssize_t n;
	int error;

	*server_said = false;
	probe->request = (struct nbd_request){
		.cookie = ++probe->cookie,
		.offset_bytes = offset_bytes,
		.length_bytes = length_bytes,
		.command = NBD_CMD_READ,
	};
	nbd_request_expect(&probe->request);
	error = probe_send(probe, deadline_ms);
	while (!error && !final) {
		n = probe->transport->ops->read(probe->transport, probe->bytes,
						sizeof(probe->bytes), deadline_ms);
		if (n <= 0)
			error = n ? (int)n : -ECONNRESET;
		else
			error = probe_parse(probe, (size_t)n, &final);
	}
	if (error || probe->request.error == 0)
		return error;
	*server_said = true;
	return -nbd_error_to_errno(probe->request.command, probe->request.error);
}

void probe_disconnect(struct probe *probe, int64_t deadline_ms)
{
	probe->request = (struct nbd_request){ .command = NBD_CMD_DISC, .cookie = ++probe->cookie };
	probe_send(probe, deadline_ms);
}
