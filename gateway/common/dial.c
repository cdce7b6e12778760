// SPDX-License-Identifier: MIT
/*
 * Addresses in turn, and the handshake on the one that answers.
 *
 * One attempt is one socket: connect, (TLS,) handshake. What an attempt's failure means is decided
 * in one place, attempt_verdict(): the server has said no (the dial ends), the server did not like
 * what we asked (the same address again, asking for less), or this address does not work (the next
 * one).
 */
#include "gateway/common/dial_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/request.h"

/* Asking for less: without extended headers, without structured replies, GO in place of INFO. */
#define DIAL_RETRIES_MAX 3
#define DIAL_READ_BYTES	 4096
/* For the words of farewell (ABORT, DISC), which nobody waits for. */
#define DIAL_FAREWELL_MS 500

enum verdict { VERDICT_DONE, VERDICT_REFUSED, VERDICT_AGAIN, VERDICT_NEXT };

/* One dial. Everything is written by the thread that runs it. */
struct dial {
	const struct dial_options *options;
	struct dial_result *result;
	struct dial_watch *watch; /* NULL: nobody can cut it */
	struct nbd_handshake *handshake;
	bool no_extended, no_structured;
	enum nbd_handshake_goal goal; /* becomes GO when INFO is unknown to the server */
	uint32_t retries;
	int64_t deadline_ms; /* of everything */
	int64_t share_ms;    /* CLOCK_MONOTONIC: when the present address has had its share */
	char failures[400];  /* "10.0.0.1:10809 (connection refused), ...": of several addresses */
};

static void dial_report(struct dial *dial, enum dial_stage stage, int error, const char *sentence)
{
	dial->result->stage = stage;
	if (dial->options->progress)
		dial->options->progress(dial->options->context, stage, error, sentence);
}

/* Keeps what failed for the result, and reports it. Returns -error. */
static int dial_fail(struct dial *dial, enum dial_stage stage, int error, enum exit_code code)
{
	dial->result->error = error;
	dial->result->exit_code = code;
	dial_report(dial, stage, error, dial->result->sentence);
	return -error;
}

/* --- the handshake ------------------------------------------------------------------------------ */

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
	if (dial_now_ms() >= dial->share_ms)
		return -ETIMEDOUT;
	n = transport->ops->read(transport, bytes, want < sizeof(bytes) ? want : sizeof(bytes),
				 dial->share_ms);
	if (n <= 0)
		return n ? (int)n : -ECONNRESET;
	nbd_handshake_feed(hs, bytes, (size_t)n);
	handshake_report(dial, before);
	return 0;
}

/* Moves bytes until the machine needs something else. 0, or -errno when the connection failed. */
static int handshake_run(struct dial *dial, struct transport *transport)
{
	int error;

	while (nbd_handshake_status(dial->handshake) == NBD_HANDSHAKE_ACTIVE) {
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
	    (hs->option_error && hs->options.tls && !secured))
		return EXIT_CODE_TLS;
	return EXIT_CODE_REFUSED;
}

/* TLS 1.3 is done on our side before the server has looked at our certificate. GnuTLS then just
 * closes: no option after STARTTLS was answered. */
static bool wants_certificate(const struct dial *dial, int error)
{
	const struct tls_options *tls = dial->options->tls;

	return (error == ECONNRESET || error == EPIPE) && dial->handshake->replies <= 1 &&
	       !*tls->cert && !*tls->psk_file;
}

/* The handshake's outcome as the result's sentence. Returns 0 or -errno. */
static int handshake_outcome(struct dial *dial, int error, enum nbd_handshake_state state,
			     bool secured)
{
	struct dial_result *result = dial->result;
	const struct nbd_handshake *hs = dial->handshake;

	if (error && secured && wants_certificate(dial, -error)) {
		snprintf(result->sentence, sizeof(result->sentence),
			 "%s closed the connection as soon as TLS was done: it seems to require a "
			 "client certificate: give one with --tls-cert and --tls-key",
			 result->peer_text);
		return dial_fail(dial, DIAL_TLS, EACCES, EXIT_CODE_TLS);
	}
	if (error) {
		dial_text_handshake(result->sentence, sizeof(result->sentence), result->peer_text,
				    -error, state);
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
	const struct nbd_handshake_options options = {
		.export_name = dial->options->target->export_name,
		.goal = dial->goal,
		.tls = dial->options->target->tls,
		.no_structured = dial->no_structured,
		.no_extended = dial->no_extended || dial->no_structured,
	};

	if (!nbd_handshake_init(dial->handshake, &options))
		return 0;
	snprintf(dial->result->sentence, sizeof(dial->result->sentence), "%s",
		 dial->handshake->error);
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
	int error = transport_tls_open((*transport)->fd, dial->options->tls, dial->share_ms,
				       &secured, sentence);

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
	result->greeting_bytes = DIAL_GREETING_BYTES;
}

static int dial_handshake(struct dial *dial, struct transport **transport)
{
	enum nbd_handshake_state state;
	int error = handshake_prepare(dial);

	if (error)
		return error;
	error = handshake_run(dial, *transport);
	if (!error && nbd_handshake_status(dial->handshake) == NBD_HANDSHAKE_START_TLS) {
		error = handshake_secure(dial, transport);
		if (error)
			return error;
		if (dial->options->open_only) {
			publish_greeting(dial);
			return 0;
		}
		error = handshake_run(dial, *transport);
	}
	state = dial->handshake->state;
	/* ABORT, or nothing: a server that no longer listens has lost nothing. */
	if (!error)
		handshake_send(dial, *transport, dial_now_ms() + DIAL_FAREWELL_MS);
	if (error && transport_tls_failure(*transport, dial->result->sentence,
					   sizeof(dial->result->sentence)))
		return dial_fail(dial, DIAL_TLS, -error, EXIT_CODE_TLS);
	return handshake_outcome(dial, error, state, transport_tls_describe(*transport) != NULL);
}

/* --- one attempt -------------------------------------------------------------------------------- */

/* A connected transport for the address, or -errno. */
static int attempt_connect(struct dial *dial, const struct dial_address *address,
			   struct transport **out)
{
	struct dial_result *result = dial->result;
	int64_t started_ms = dial_now_ms();
	char text[DIAL_PEER_TEXT_BYTES + 64];
	int fd, error;

	fd = dial_socket_open(address, dial->share_ms);
	error = fd < 0 ? fd : 0;
	if (!error && !dial_watch_begin(dial->watch, fd))
		error = -ECANCELED;
	if (!error)
		error = dial_socket_connect(fd, address, dial->share_ms);
	if (!error && dial->options->tcp_user_timeout_ms)
		dial_socket_set_user_timeout(fd, dial->options->tcp_user_timeout_ms);
	if (!error)
		error = transport_plain_open(fd, out);
	if (error) {
		dial_watch_end(dial->watch);
		if (fd >= 0)
			close(fd);
		return dial_fail(dial, DIAL_CONNECT, -error,
				 dial_text_connect(result->sentence, sizeof(result->sentence),
						   address, -error));
	}
	snprintf(text, sizeof(text), "connected to %s in %lld ms", result->peer_text,
		 (long long)(dial_now_ms() - started_ms));
	dial_report(dial, DIAL_CONNECT, 0, text);
	return 0;
}

/* Leaves transmission as the protocol wants it: a DISC that nothing follows. */
static void attempt_disconnect(struct transport *transport, enum nbd_framing framing)
{
	struct nbd_request disc = { .command = NBD_CMD_DISC };
	uint8_t bytes[NBD_EXTENDED_REQUEST_BYTES];

	transport->ops->write(transport, bytes, nbd_request_encode(&disc, framing, bytes),
			      dial_now_ms() + DIAL_FAREWELL_MS);
}

/* What was negotiated goes to the result; the transport too, if that was the aim. */
static int attempt_publish(struct dial *dial, struct transport **transport)
{
	struct dial_result *result = dial->result;
	bool keep = dial->options->open_only || dial->options->goal == NBD_GOAL_GO;

	if (!dial->options->open_only) {
		result->export = malloc(sizeof(*result->export));
		if (!result->export) {
			snprintf(result->sentence, sizeof(result->sentence), "out of memory");
			return dial_fail(dial, DIAL_HANDSHAKE, ENOMEM, EXIT_CODE_SYSTEM);
		}
		*result->export = dial->handshake->export;
	}
	if (!keep && dial->goal == NBD_GOAL_GO)
		attempt_disconnect(*transport, result->export->framing);
	result->error = 0;
	result->exit_code = EXIT_CODE_OK;
	result->sentence[0] = '\0';
	if (keep) {
		result->transport = *transport;
		*transport = NULL;
	}
	return 0;
}

static int dial_attempt(struct dial *dial, const struct dial_address *address)
{
	struct transport *transport = NULL;
	int error = attempt_connect(dial, address, &transport);

	if (error)
		return error;
	assert(transport);
	if (!dial->options->open_only || dial->options->target->tls)
		error = dial_handshake(dial, &transport);
	if (!error)
		error = attempt_publish(dial, &transport);
	dial_watch_end(dial->watch);
	transport_close(transport);
	return error;
}

/* Some old servers end the connection upon an option they have never heard of. */
static bool attempt_asks_less(struct dial *dial)
{
	const struct nbd_handshake *hs = dial->handshake;
	int error = dial->result->error;
	bool dropped = error == ECONNRESET || error == EPIPE;

	if (dial->result->stage != DIAL_HANDSHAKE || dial->retries == DIAL_RETRIES_MAX)
		return false;
	if (dropped && hs->state == NBD_HS_EXTENDED_HEADERS && !dial->no_extended)
		dial->no_extended = true;
	else if (dropped && hs->state == NBD_HS_STRUCTURED_REPLY && !dial->no_structured)
		dial->no_structured = true;
	else if (hs->state == NBD_HS_FAILED && dial->goal == NBD_GOAL_INFO &&
		 (hs->option_error == NBD_REP_ERR_UNSUP ||
		  !(hs->server_flags & NBD_FLAG_FIXED_NEWSTYLE)))
		dial->goal = NBD_GOAL_GO;
	else
		return false;
	dial->retries++;
	return true;
}

/* nbd-server (3.24) answers INFO with a size of 0, since it opens the file only upon GO. */
static bool attempt_knows_no_size(struct dial *dial)
{
	if (dial->options->open_only || dial->goal != NBD_GOAL_INFO ||
	    dial->result->export->size_bytes > 0)
		return false;
	dial_result_clear(dial->result);
	dial->goal = NBD_GOAL_GO;
	return true;
}

static enum verdict attempt_verdict(struct dial *dial, int error)
{
	enum exit_code code = dial->result->exit_code;

	if (!error)
		return attempt_knows_no_size(dial) ? VERDICT_AGAIN : VERDICT_DONE;
	if (dial_watch_is_cut(dial->watch))
		return VERDICT_REFUSED;
	if (attempt_asks_less(dial))
		return VERDICT_AGAIN;
	if (code == EXIT_CODE_REFUSED || code == EXIT_CODE_TLS || code == EXIT_CODE_USAGE)
		return VERDICT_REFUSED;
	return VERDICT_NEXT;
}

/* --- the addresses ------------------------------------------------------------------------------ */

static void dial_note_failure(struct dial *dial)
{
	size_t used = strlen(dial->failures);

	snprintf(dial->failures + used, sizeof(dial->failures) - used, "%s%s (%s)",
		 used ? ", " : "", dial->result->peer_text, dial_text_short(dial->result->error));
}

static void dial_sum_up(struct dial *dial, uint32_t count)
{
	struct dial_result *result = dial->result;

	if (count < 2)
		return;
	snprintf(result->sentence, sizeof(result->sentence),
		 "none of the %u addresses of %.200s works: %s: is the NBD server running there?",
		 count,
		 dial->options->addresses_count ? "this server" : dial->options->target->host,
		 dial->failures);
}

static int dial_addresses(struct dial *dial, const struct dial_address *addresses, uint32_t count)
{
	enum verdict verdict = VERDICT_NEXT;
	int64_t left_ms;
	int error = 0;

	for (uint32_t i = 0; i < count && verdict == VERDICT_NEXT; i++) {
		left_ms = dial->deadline_ms - dial_now_ms();
		dial->share_ms = dial_now_ms() + (left_ms > 0 ? left_ms : 0) / (count - i);
		dial->result->peer = addresses[i];
		dial_address_text(&addresses[i], dial->result->peer_text,
				  sizeof(dial->result->peer_text));
		do {
			error = dial_attempt(dial, &addresses[i]);
			verdict = attempt_verdict(dial, error);
		} while (verdict == VERDICT_AGAIN);
		if (verdict == VERDICT_NEXT)
			dial_note_failure(dial);
	}
	if (verdict == VERDICT_NEXT)
		dial_sum_up(dial, count);
	else if (verdict == VERDICT_DONE)
		dial->result->stage = DIAL_DONE;
	return error;
}

static int dial_resolve_and_report(struct dial *dial, struct dial_address *addresses,
				   uint32_t *count)
{
	struct dial_result *result = dial->result;
	char text[NBD_HOST_BYTES_MAX + 64];
	int error;

	error = dial_resolve(dial->options->target, addresses, count, result->sentence,
			     sizeof(result->sentence));
	if (error)
		return dial_fail(dial, DIAL_RESOLVE, -error,
				 error == -EINVAL			? EXIT_CODE_USAGE
				 : error == -EMFILE || error == -ENFILE ? EXIT_CODE_SYSTEM
									: EXIT_CODE_UNREACHABLE);
	if (dial->options->target->transport == NBD_TRANSPORT_TCP) {
		snprintf(text, sizeof(text), "%s has %u address%s", dial->options->target->host,
			 *count, *count == 1 ? "" : "es");
		dial_report(dial, DIAL_RESOLVE, 0, text);
	}
	return 0;
}

/* What needs no server to be refused. */
static int dial_prepare(struct dial *dial)
{
	struct dial_result *result = dial->result;

	memset(result, 0, sizeof(*result));
	assert(!dial->options->target->tls || dial->options->tls);
	dial->handshake = calloc(1, sizeof(*dial->handshake));
	if (dial->handshake)
		return 0;
	snprintf(result->sentence, sizeof(result->sentence), "out of memory");
	return dial_fail(dial, DIAL_RESOLVE, ENOMEM, EXIT_CODE_SYSTEM);
}

int dial_execute(const struct dial_options *options, struct dial_watch *watch,
		 struct dial_result *result)
{
	struct dial dial = {
		.options = options,
		.result = result,
		.watch = watch,
		.no_structured = options->no_structured,
		.goal = options->goal,
		.deadline_ms = dial_now_ms() + options->timeout_ms,
	};
	struct dial_address resolved[DIAL_ADDRESSES_MAX];
	uint32_t count = DIAL_ADDRESSES_MAX;
	int error = dial_prepare(&dial);

	if (error)
		return error;
	if (options->addresses_count > 0) {
		error = dial_addresses(&dial, options->addresses, options->addresses_count);
	} else {
		error = dial_resolve_and_report(&dial, resolved, &count);
		if (!error)
			error = dial_addresses(&dial, resolved, count);
	}
	free(dial.handshake);
	return error;
}

int dial_run(const struct dial_options *options, struct dial_result *result)
{
	return dial_execute(options, NULL, result);
}

int dial_open(const struct dial_options *options, struct dial_result *result)
{
	struct dial_options stopping = *options;

	stopping.open_only = true;
	return dial_execute(&stopping, NULL, result);
}

void dial_result_clear(struct dial_result *result)
{
	transport_close(result->transport);
	free(result->export);
	result->transport = NULL;
	result->export = NULL;
}
