// SPDX-License-Identifier: MIT
#include "gateway/common/dial_conversation.h"

#include <errno.h>
#include <stdio.h>

#include "proto/wire.h"
#include "tls/clock.h"

#define DIAL_READ_BYTES 4096
/* For the word of farewell (ABORT), which nobody waits for. */
#define DIAL_FAREWELL_MS 500

/* Says of each option, once answered, what came of it. */
static void converse_report(struct dial *dial, enum nbd_handshake_state before)
{
	const struct nbd_handshake *hs = dial->handshake;
	enum nbd_framing framing = hs->export.framing;
	const char *peer = dial->result->peer_text;
	char text[400];

	if (hs->state == before || hs->state == NBD_HS_FAILED)
		return;
	switch (before) {
	case NBD_HS_GREETING:
		snprintf(text, sizeof(text), "%s greets: %s NBD", peer,
			 hs->server_flags & NBD_FLAG_FIXED_NEWSTYLE ? "fixed newstyle"
								    : "newstyle, not fixed");
		break;
	case NBD_HS_EXTENDED_HEADERS:
		snprintf(text, sizeof(text), "extended headers: %s",
			 framing == NBD_FRAMING_EXTENDED ? "agreed" : "unknown to the server");
		break;
	case NBD_HS_STRUCTURED_REPLY:
		snprintf(text, sizeof(text), "structured replies: %s",
			 framing == NBD_FRAMING_SIMPLE ? "unknown to the server" : "agreed");
		break;
	case NBD_HS_GO:
		if (hs->state != NBD_HS_EXPORT_NAME)
			return;
		snprintf(text, sizeof(text),
			 "GO: unknown to the server, falling back to EXPORT_NAME");
		break;
	default:
		return;
	}
	dial_report(dial, DIAL_HANDSHAKE, 0, text);
}

static int converse_send(struct dial *dial, struct transport *transport, int64_t deadline_ms)
{
	size_t len;
	const uint8_t *bytes = nbd_handshake_output(dial->handshake, &len);
	int error;

	if (len == 0)
		return 0;
	error = transport->ops->write(transport, bytes, len, deadline_ms);
	nbd_handshake_sent(dial->handshake, len);
	return error;
}

/* Reads what the machine can use, feeds it. -ECONNRESET at the peer's orderly end, too. */
static int converse_receive(struct dial *dial, struct transport *transport)
{
	struct nbd_handshake *hs = dial->handshake;
	enum nbd_handshake_state before = hs->state;
	size_t want = nbd_handshake_wanted(hs);
	uint8_t bytes[DIAL_READ_BYTES];
	ssize_t n;

	/* Bytes that keep dripping in must not carry us past the deadline. */
	if (clock_now_ms() >= dial->option_ms)
		return -ETIMEDOUT;
	n = transport->ops->read(transport, bytes, want < sizeof(bytes) ? want : sizeof(bytes),
				 dial->option_ms);
	if (n <= 0)
		return n ? (int)n : -ECONNRESET;
	nbd_handshake_feed(hs, bytes, (size_t)n);
	converse_report(dial, before);
	return 0;
}

/*
 * Until when the option that is asked now may be answered. An old server may say nothing at all to one
 * that it does not know: then there is time left to ask for less (attempt_asks_less() of dial.c). A
 * server that needs a third of the time for each of three options still gets it.
 */
static int64_t option_deadline_ms(const struct dial *dial)
{
	int64_t now_ms = clock_now_ms(), left_ms = dial->share_ms - now_ms;

	switch (dial->asked) {
	case NBD_HS_EXTENDED_HEADERS:
		return now_ms + left_ms / 3;
	case NBD_HS_STRUCTURED_REPLY:
		return now_ms + left_ms / 2;
	case NBD_HS_GO:
		/* May take long, for it opens the export: in doubt only if the server is an odd one. */
		return dial->asks_less ? now_ms + left_ms / 2 : dial->share_ms;
	case NBD_HS_EXPORT_NAME:
		/* Behind a GO whose data the server may have left unread. */
		return dial->export_name_only ? dial->share_ms : now_ms + left_ms / 2;
	default:
		return dial->share_ms;
	}
}

int dial_converse(struct dial *dial, struct transport *transport)
{
	int error;

	dial->option_ms = dial->share_ms;
	dial->asked = NBD_HS_FAILED;
	while (nbd_handshake_status(dial->handshake) == NBD_HANDSHAKE_ACTIVE) {
		if (dial->asked != dial->handshake->state) {
			dial->asked = dial->handshake->state;
			dial->option_ms = option_deadline_ms(dial);
		}
		error = converse_send(dial, transport, dial->share_ms);
		if (!error)
			error = converse_receive(dial, transport);
		if (error)
			return error;
	}
	return 0;
}

void dial_converse_last(struct dial *dial, struct transport *transport)
{
	converse_send(dial, transport, clock_now_ms() + DIAL_FAREWELL_MS);
}
