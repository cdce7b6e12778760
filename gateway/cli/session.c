/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/output.h"
#include "gateway/cli/session.h"

enum exit_code session_open(struct session *session, struct look *look, uint32_t timeout_ms)
{
	memset(session, 0, sizeof(*session));
	session->look = look;
	session->timeout_ms = timeout_ms;
	session->deadline_ms = dial_now_ms() + timeout_ms;
	session->nbd = nbd_create();
	if (session->nbd && !nbd_set_opt_mode(session->nbd, true) &&
	    !nbd_set_full_info(session->nbd, true) &&
	    !nbd_set_export_name(session->nbd, look->uri.export_name))
		return EXIT_CODE_OK;
	output_error(look->verb, "cannot prepare libnbd: %s", nbd_get_error());
	return EXIT_CODE_FAILURE;
}

static enum exit_code session_dial(struct session *session, struct dial_result *opened)
{
	struct look *look = session->look;
	const struct dial_options options = {
		.target = &look->uri,
		.tls = &look->tls,
		.open_only = true,
		.timeout_ms = look->connect_timeout_ms < session->timeout_ms
				      ? look->connect_timeout_ms
				      : session->timeout_ms,
	};
	char ended[sizeof(opened->sentence)];

	if (!dial_run_bounded(&options, opened))
		return EXIT_CODE_OK;
	if (look_server_has_ended(look, ended, sizeof(ended)))
		memcpy(opened->sentence, ended, sizeof(ended));
	output_error(look->verb, "%s", opened->sentence);
	return opened->exit_code;
}

enum exit_code session_connect(struct session *session)
{
	struct dial_result opened;
	enum exit_code exit_code = session_dial(session, &opened);
	int error;

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	error = relay_start(&session->relay, &opened, session->deadline_ms);
	if (error) {
		output_error(session->look->verb, "cannot start to relay: %s", strerror(-error));
		dial_result_clear(&opened);
		return EXIT_CODE_SYSTEM;
	}
	if (nbd_connect_socket(session->nbd, relay_take_fd(session->relay)))
		return session_fail(session, "the handshake failed");
	return EXIT_CODE_OK;
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
	if (session->nbd)
		nbd_close(session->nbd);
	if (session->relay)
		relay_stop(session->relay);
	memset(session, 0, sizeof(*session));
}
