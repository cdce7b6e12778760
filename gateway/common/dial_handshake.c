// SPDX-License-Identifier: MIT
/*
 * The conversation of one attempt: options and answers over a connected transport, TLS in between, and
 * what its failure means, in a sentence and an exit code.
 */
#include "gateway/common/dial_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/common/tls_library.h"
#include "proto/wire.h"
#include "tls/clock.h"

#define DIAL_READ_BYTES 4096
/* For the word of farewell (ABORT), which nobody waits for. */
#define DIAL_FAREWELL_MS 500

/* Says of each option, once answered, what came of it. */
static void handshake_report(struct dial *dial, enum nbd_handshake_state before)
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

static int handshake_send(struct dial *dial, struct transport *transport, int64_t deadline_ms)
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
static int handshake_receive(struct dial *dial, struct transport *transport)
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
	handshake_report(dial, before);
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
		error = handshake_send(dial, transport, dial->share_ms);
		if (!error)
			error = handshake_receive(dial, transport);
		if (error)
			return error;
	}
	return 0;
}

static enum exit_code handshake_exit_code(const struct nbd_handshake *hs, bool secured)
{
	/* As long as TLS is wanted and not there, STARTTLS is the only option that is asked for. */
	if (hs->option_error == NBD_REP_ERR_TLS_REQD ||
	    (hs->options.tls && !secured &&
	     (hs->option_error || hs->error_errno == EPROTONOSUPPORT)))
		return EXIT_CODE_TLS;
	return EXIT_CODE_REFUSED;
}

/* TLS 1.3 is done on our side before the server has looked at our certificate. GnuTLS then just
 * closes: no option after STARTTLS was answered. (Who lets us resume has seen it before.) */
static bool refuses_certificate(const struct dial *dial)
{
	return dial->handshake->replies <= 1 && dial->result->tls.certificate_wanted &&
	       !*dial->options->tls->psk_file;
}

/* The server ended the connection. What that means depends on what it was asked. */
static int handshake_closed(struct dial *dial, int error, bool secured)
{
	struct dial_result *result = dial->result;
	struct nbd_handshake *hs = dial->handshake;
	char *sentence = result->sentence;

	if (secured && refuses_certificate(dial)) {
		snprintf(sentence, sizeof(result->sentence),
			 "%s closed the connection as soon as TLS was done: it seems to %s",
			 result->peer_text,
			 *dial->options->tls->cert
				 ? "refuse our certificate (--tls-cert): see its log"
				 : "require a client certificate: give one with --tls-cert and "
				   "--tls-key");
		return dial_fail(dial, DIAL_TLS, EACCES, EXIT_CODE_TLS);
	}
	switch (dial->asked) {
	case NBD_HS_STARTTLS:
		snprintf(
			sentence, sizeof(result->sentence),
			"%s closed the connection when asked for TLS: it may have none: turn it on "
			"at the server, and see its log",
			result->peer_text);
		return dial_fail(dial, DIAL_HANDSHAKE, error, EXIT_CODE_TLS);
	case NBD_HS_EXPORT_NAME:
	case NBD_HS_LIST:
		nbd_handshake_closed(hs);
		snprintf(sentence, sizeof(result->sentence), "%s: %s", result->peer_text,
			 hs->error);
		return dial_fail(dial, DIAL_HANDSHAKE, error, EXIT_CODE_REFUSED);
	default:
		dial_text_handshake(sentence, sizeof(result->sentence), result->peer_text, error,
				    dial->asked);
		return dial_fail(dial, DIAL_HANDSHAKE, error, EXIT_CODE_UNREACHABLE);
	}
}

/* The handshake's outcome as the result's sentence. Returns 0 or -errno. */
static int handshake_outcome(struct dial *dial, int error, bool secured)
{
	struct dial_result *result = dial->result;
	const struct nbd_handshake *hs = dial->handshake;

	if (error == -ECONNRESET || error == -EPIPE)
		return handshake_closed(dial, -error, secured);
	if (error) {
		dial_text_handshake(result->sentence, sizeof(result->sentence), result->peer_text,
				    -error, dial->asked);
		return dial_fail(dial, DIAL_HANDSHAKE, -error, EXIT_CODE_UNREACHABLE);
	}
	if (nbd_handshake_status(hs) == NBD_HANDSHAKE_FAILED) {
		snprintf(result->sentence, sizeof(result->sentence), "%s: %s", result->peer_text,
			 hs->error);
		return dial_fail(dial, DIAL_HANDSHAKE, hs->error_errno ? hs->error_errno : EPROTO,
				 handshake_exit_code(hs, secured));
	}
	return 0;
}

static int handshake_prepare(struct dial *dial)
{
	struct dial_result *result = dial->result;
	bool lists = dial->goal == NBD_GOAL_LIST;
	struct nbd_handshake_options options = {
		.export_name = lists ? "" : dial->options->target->export_name,
		.goal = dial->goal,
		.tls = dial->options->target->tls,
		.no_structured = dial->no_structured,
		.no_extended = dial->no_extended || dial->no_structured,
		.export_name_only = dial->export_name_only,
		.listed = dial_list_add,
	};

	if (lists) {
		dial_list_free(result->list); /* of an attempt before */
		result->list = calloc(1, sizeof(*result->list));
		options.context = result->list;
	}
	if (lists && !result->list) {
		snprintf(result->sentence, sizeof(result->sentence), "out of memory");
		return dial_fail(dial, DIAL_HANDSHAKE, ENOMEM, EXIT_CODE_SYSTEM);
	}
	if (!nbd_handshake_init(dial->handshake, &options))
		return 0;
	snprintf(result->sentence, sizeof(result->sentence), "%s", dial->handshake->error);
	return dial_fail(dial, DIAL_HANDSHAKE, EINVAL, EXIT_CODE_USAGE);
}

/* The server is ready for TLS: from here on the transport is the secured one. A byte that came in
 * plain behind its word is taken for TLS, and fails as such. */
static int handshake_secure(struct dial *dial, struct transport **transport)
{
	struct dial_result *result = dial->result;
	const struct tls_description *tls = &result->tls;
	struct transport *secured;
	char text[480], sentence[TLS_SENTENCE_BYTES];
	const struct tls_module *module = tls_library_load(sentence);
	int error = -ENOENT;

	if (module)
		error = module->open((*transport)->fd, dial->options->tls, dial->share_ms, &secured,
				     sentence);

	if (error) {
		snprintf(result->sentence, sizeof(result->sentence), "%s: %s", result->peer_text,
			 sentence);
		return dial_fail(dial, DIAL_TLS, -error, EXIT_CODE_TLS);
	}
	transport_plain_release(*transport);
	*transport = secured;
	result->tls = *transport_tls_describe(secured);
	result->secured = true;
	snprintf(text, sizeof(text), "%s, %s, %s, %s%s", tls->version, tls->cipher, tls->peer,
		 tls->verified ? "verified" : "NOT verified", tls->resumed ? ", resumed" : "");
	dial_report(dial, DIAL_TLS, 0, text);
	nbd_handshake_tls_done(dial->handshake);
	return 0;
}

/* What follows the handshake belongs to another NBD client, who gets the greeting shown again. */
static void publish_greeting(struct dial *dial)
{
	struct dial_result *result = dial->result;

	wire_put64(result->greeting, NBD_MAGIC_INIT);
	wire_put64(result->greeting + 8, NBD_MAGIC_OPTION);
	wire_put16(result->greeting + 16, dial->handshake->server_flags);
}

int dial_handshake(struct dial *dial, struct transport **transport)
{
	int error = handshake_prepare(dial);

	if (error)
		return error;
	error = dial_converse(dial, *transport);
	if (!error && nbd_handshake_status(dial->handshake) == NBD_HANDSHAKE_START_TLS) {
		error = handshake_secure(dial, transport);
		if (error)
			return error;
		error = dial_converse(dial, *transport);
	}
	if (dial->goal == NBD_GOAL_IDLE)
		publish_greeting(dial);
	if (!error && dial->goal == NBD_GOAL_LIST)
		dial_list_ask(dial, *transport);
	/* ABORT, or nothing: a server that no longer listens has lost nothing. */
	if (!error)
		handshake_send(dial, *transport, clock_now_ms() + DIAL_FAREWELL_MS);
	/* An end without a farewell is an end: what it means depends on what was asked. */
	if (error && error != -ECONNRESET && error != -EPIPE &&
	    transport_tls_failure(*transport, dial->result->sentence,
				  sizeof(dial->result->sentence)))
		return dial_fail(dial, DIAL_TLS, -error, EXIT_CODE_TLS);
	return handshake_outcome(dial, error, transport_tls_describe(*transport) != NULL);
}
