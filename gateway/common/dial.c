// SPDX-License-Identifier: MIT
/*
 * Addresses in turn, and the handshake on the one that answers.
 *
 * One attempt is one socket: connect, (TLS,) handshake. What an attempt's failure means is decided
 * in one place, attempt_verdict(): the server has said no (the dial ends), the server did not like
 * what we asked (the same address again, asking for less), or this address does not work (the next
 * one).
 */
#include "gateway/common/dial.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/dial_handshake.h"
#include "gateway/common/dial_progress.h"
#include "gateway/common/dial_text.h"
#include "proto/request.h"
#include "tls/clock.h"

/* For DISC, which nobody waits for. */
#define DIAL_FAREWELL_MS 500

enum verdict { VERDICT_DONE, VERDICT_REFUSED, VERDICT_AGAIN, VERDICT_NEXT };

/* --- one attempt -------------------------------------------------------------------------------- */

/* A connected transport for the address, or -errno. */
static int attempt_connect(struct dial *dial, const struct dial_address *address,
			   struct transport **out)
{
	struct dial_result *result = dial->result;
	int64_t started_ms = clock_now_ms();
	char text[DIAL_PEER_TEXT_BYTES + 64];
	int fd, error;

	fd = dial_socket_open(address, dial->share_ms);
	error = fd < 0 ? fd : 0;
	if (!error && !dial_watch_begin(dial->watch, fd))
		error = -ECANCELED;
	if (!error)
		error = dial_socket_connect(fd, address, dial->share_ms);
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
		 (long long)(clock_now_ms() - started_ms));
	dial_report(dial, DIAL_CONNECT, 0, text);
	return 0;
}

/* Leaves transmission as the protocol wants it: a DISC that nothing follows. */
static void attempt_disconnect(struct transport *transport, enum nbd_framing framing)
{
	struct nbd_request disc = { .command = NBD_CMD_DISC };
	uint8_t bytes[NBD_EXTENDED_REQUEST_BYTES];

	transport->ops->write(transport, bytes, nbd_request_encode(&disc, framing, bytes),
			      clock_now_ms() + DIAL_FAREWELL_MS);
}

/* What was negotiated goes to the result; the transport too, if that was the aim. */
static int attempt_publish(struct dial *dial, struct transport **transport)
{
	struct dial_result *result = dial->result;
	bool keep = dial->options->goal == NBD_GOAL_IDLE || dial->options->goal == NBD_GOAL_GO;

	if (dial->options->goal == NBD_GOAL_GO || dial->options->goal == NBD_GOAL_INFO) {
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
	error = dial_handshake(dial, &transport);
	if (!error)
		error = attempt_publish(dial, &transport);
	dial_watch_end(dial->watch);
	transport_close(transport);
	return error;
}

/* Whether the answer (or none) to EXPORT_NAME may have come of what was asked before it: a server that
 * leaves the data of an option it does not know unread takes that for the next option. */
static bool attempt_is_confused(const struct dial *dial)
{
	const struct nbd_handshake *hs = dial->handshake;
	uint32_t said = hs->option_error;

	return dial->asked == NBD_HS_EXPORT_NAME && (hs->server_flags & NBD_FLAG_FIXED_NEWSTYLE) &&
	       said != NBD_REP_ERR_TLS_REQD && said != NBD_REP_ERR_POLICY &&
	       said != NBD_REP_ERR_SHUTDOWN;
}

/* Whether the server does not know INFO, or cannot be asked. */
static bool attempt_lacks_info(const struct dial *dial, bool gone)
{
	const struct nbd_handshake *hs = dial->handshake;

	return dial->goal == NBD_GOAL_INFO &&
	       ((gone && dial->asked == NBD_HS_GO) || hs->option_error == NBD_REP_ERR_UNSUP ||
		(dial->asked == NBD_HS_GREETING && hs->state == NBD_HS_FAILED &&
		 hs->error_errno == EPROTONOSUPPORT && !hs->options.tls));
}

/*
 * Old servers that do not know an option end the connection, or say nothing, or lose the thread. Then
 * the same address is asked for less, in the order in which options came up; each step is taken at most
 * once, so there are four. TLS stays what it was: it is no option of this kind.
 */
static bool attempt_asks_less(struct dial *dial)
{
	int error = dial->result->error;
	bool late = error == ETIMEDOUT && clock_now_ms() < dial->share_ms;
	bool gone = error == ECONNRESET || error == EPIPE || late;

	if (dial->result->stage != DIAL_HANDSHAKE)
		return false;
	if (gone && dial->asked == NBD_HS_EXTENDED_HEADERS && !dial->no_extended)
		dial->no_extended = true;
	else if (gone && dial->asked == NBD_HS_STRUCTURED_REPLY && !dial->no_structured)
		dial->no_structured = true;
	else if (attempt_lacks_info(dial, gone))
		dial->goal = NBD_GOAL_GO;
	else if (dial->goal == NBD_GOAL_GO && !dial->export_name_only &&
		 ((gone && dial->asked == NBD_HS_GO) || attempt_is_confused(dial)))
		dial->export_name_only = true;
	else
		return false;
	dial->asks_less = true;
	return true;
}

/* nbd-server (3.24) answers INFO with a size of 0, since it opens the file only upon GO. */
static bool attempt_knows_no_size(struct dial *dial)
{
	if (dial->goal != NBD_GOAL_INFO || dial->result->export->size_bytes > 0)
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

/*
 * What an attempt that asked for less came to. When there was only too little time left for it, the server
 * has greeted before: then what the attempt before it met says more than that no greeting came.
 */
static void dial_keep_reason(struct dial *dial, const struct dial_result *before)
{
	struct dial_result *result = dial->result;

	if (!before->error || result->error != ETIMEDOUT ||
	    (result->stage == DIAL_HANDSHAKE && dial->asked != NBD_HS_GREETING))
		return;
	memcpy(result->sentence, before->sentence, sizeof(result->sentence));
	result->stage = before->stage;
	result->error = before->error;
	result->exit_code = before->exit_code;
}

static int dial_addresses(struct dial *dial, const struct dial_address *addresses, uint32_t count)
{
	enum verdict verdict = VERDICT_NEXT;
	struct dial_result before;
	int64_t left_ms;
	int error = 0;

	for (uint32_t i = 0; i < count && verdict == VERDICT_NEXT; i++) {
		left_ms = dial->deadline_ms - clock_now_ms();
		dial->share_ms = clock_now_ms() + (left_ms > 0 ? left_ms : 0) / (count - i);
		dial->result->peer = addresses[i];
		dial_address_text(&addresses[i], dial->result->peer_text,
				  sizeof(dial->result->peer_text));
		memset(&before, 0, sizeof(before));
		do {
			error = dial_attempt(dial, &addresses[i]);
			verdict = attempt_verdict(dial, error);
			if (verdict == VERDICT_AGAIN)
				before = *dial->result;
		} while (verdict == VERDICT_AGAIN);
		if (error) {
			dial_keep_reason(dial, &before);
			error = -dial->result->error;
		}
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

int dial_run_watched(const struct dial_options *options, struct dial_watch *watch,
		     struct dial_result *result)
{
	struct dial dial = {
		.options = options,
		.result = result,
		.watch = watch,
		.no_extended = options->no_extended,
		.no_structured = options->no_structured,
		.export_name_only = options->export_name_only && options->goal == NBD_GOAL_GO,
		.goal = options->goal,
		.deadline_ms = clock_now_ms() + options->timeout_ms,
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
	if (error)
		dial_result_clear(result);
	return error;
}

int dial_run(const struct dial_options *options, struct dial_result *result)
{
	return dial_run_watched(options, NULL, result);
}
