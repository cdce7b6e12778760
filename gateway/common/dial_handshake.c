// SPDX-License-Identifier: MIT
#include "gateway/common/dial_handshake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/common/dial_conversation.h"
#include "gateway/common/dial_exports.h"
#include "gateway/common/dial_text.h"
#include "gateway/common/tls_library.h"
#include "proto/wire.h"

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
		dial->result->server_flags = dial->handshake->server_flags;
	if (!error && dial->goal == NBD_GOAL_LIST)
		dial_exports_ask(dial, *transport);
	/* ABORT, or nothing: a server that no longer listens has lost nothing. */
	if (!error)
		dial_converse_last(dial, *transport);
	/* An end without a farewell is an end: what it means depends on what was asked. */
	if (error && error != -ECONNRESET && error != -EPIPE &&
	    transport_tls_failure(*transport, dial->result->sentence,
				  sizeof(dial->result->sentence)))
		return dial_fail(dial, DIAL_TLS, -error, EXIT_CODE_TLS);
	return handshake_outcome(dial, error, transport_tls_describe(*transport) != NULL);
}
