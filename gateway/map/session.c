/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/output.h"
#include "gateway/map/session.h"
#include "tls/clock.h"

enum exit_code session_open(struct session *session, struct look *look, uint32_t timeout_ms)
{
	memset(session, 0, sizeof(*session));
	session->look = look;
	session->timeout_ms = timeout_ms;
	session->deadline_ms = clock_now_ms() + timeout_ms;
	session->nbd = nbd_create();
	if (session->nbd && !nbd_set_opt_mode(session->nbd, true) &&
	    !nbd_set_full_info(session->nbd, true) &&
	    !nbd_set_export_name(session->nbd, look->uri.export_name))
		return EXIT_CODE_OK;
	output_error(look->verb, "cannot prepare libnbd: %s", nbd_get_error());
	return EXIT_CODE_FAILURE;
}

/* libnbd's messages begin with the name of the function that was called. */
static const char *session_reason(void)
{
	const char *text = nbd_get_error();
	const char *colon = text ? strstr(text, ": ") : NULL;

	if (!text)
		return "for a reason libnbd does not give";
	return colon && !strncmp(text, "nbd_", 4) ? colon + 2 : text;
}

static uint32_t session_patience_ms(const struct session *session)
{
	int64_t left_ms = session->deadline_ms - clock_now_ms();

	if (left_ms < 1)
		return 1;
	return left_ms < session->look->connect_timeout_ms ? (uint32_t)left_ms
							   : session->look->connect_timeout_ms;
}

/* Hangs up. */
static void session_drop(struct session *session)
{
	if (session->nbd)
		nbd_close(session->nbd);
	if (session->relay)
		relay_stop(session->relay);
	session->nbd = NULL;
	session->relay = NULL;
}

/*
 * libnbd's handshake failed. Why, our own says in the words of every other verb, and with their exit
 * code: as `info` asks, then as `connect` does. It gets along with more servers than libnbd: those know
 * no more than simple replies.
 */
static enum exit_code session_explain(struct session *session)
{
	static const enum nbd_handshake_goal goals[] = { NBD_GOAL_INFO, NBD_GOAL_GO };
	struct look *look = session->look;
	char reason[400];

	snprintf(reason, sizeof(reason), "%s", session_reason());
	session_drop(session);
	for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]) && !session->simple; i++) {
		struct dial_options options = { .goal = goals[i] };
		struct dial_result result;

		look->connect_timeout_ms = session_patience_ms(session);
		if (look_dial(look, &options, &result)) {
			output_error(look->verb, "%s", result.sentence);
			return result.exit_code;
		}
		session->simple = result.export->framing == NBD_FRAMING_SIMPLE;
		dial_result_clear(&result);
	}
	if (!session->simple)
		output_error(look->verb, "opening the export for block status failed: %s", reason);
	return EXIT_CODE_REFUSED;
}

enum exit_code session_connect(struct session *session)
{
	struct look *look = session->look;
	struct dial_options options = { .goal = NBD_GOAL_IDLE };
	struct dial_result opened;
	int error;

	look->connect_timeout_ms = session_patience_ms(session);
	if (look_dial(look, &options, &opened)) {
		output_error(look->verb, "%s", opened.sentence);
		return opened.exit_code;
	}
	error = relay_start(&session->relay, &opened,
			    clock_now_ms() + session_patience_ms(session));
	if (error) {
		output_error(look->verb, "cannot start to relay: %s", strerror(-error));
		dial_result_clear(&opened);
		return EXIT_CODE_SYSTEM;
	}
	if (nbd_connect_socket(session->nbd, relay_take_fd(session->relay)) ||
	    nbd_opt_go(session->nbd) || nbd_get_size(session->nbd) < 0)
		return session_explain(session);
	relay_extend(session->relay, session->deadline_ms);
	return EXIT_CODE_OK;
}

enum exit_code session_fail(struct session *session, const char *doing)
{
	struct look *look = session->look;
	int error = nbd_get_errno();
	char ended[400];

	if (session->relay && relay_is_late(session->relay)) {
		output_error(look->verb,
			     "%s: %s did not answer in the %.1f s it was given: see the server's "
			     "log, or give it more time",
			     doing, look->described, session->timeout_ms / 1000.0);
		return EXIT_CODE_UNREACHABLE;
	}
	if (look_server_has_ended(look, ended, sizeof(ended))) {
		output_error(look->verb, "%s: %s", doing, ended);
		return EXIT_CODE_UNREACHABLE;
	}
	output_error(look->verb, "%s: %s", doing, session_reason());
	if (error == ECONNRESET || error == EPIPE || error == ENOTCONN)
		return EXIT_CODE_UNREACHABLE;
	return EXIT_CODE_REFUSED;
}

void session_close(struct session *session)
{
	/* Words of farewell; whether they are heard does not matter. The relay's deadline holds. */
	if (session->relay && session->nbd) {
		if (nbd_aio_is_negotiating(session->nbd) == 1)
			nbd_opt_abort(session->nbd);
		else if (nbd_aio_is_ready(session->nbd) == 1)
			nbd_shutdown(session->nbd, 0);
	}
	session_drop(session);
	memset(session, 0, sizeof(*session));
}
