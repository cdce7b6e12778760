/* SPDX-License-Identifier: MIT */
/*
 * session.h - the server's side of TLS: its handshake, and what it says between its data.
 */
#ifndef TESTS_GUEST_TLS_SESSION_H
#define TESTS_GUEST_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/guest/tls/wire.h"

struct session {
	struct wire wire;
	SSL *ssl;
	/* What was said and heard; for the line that a connection prints at its end. */
	uint32_t tickets, updates_sent, updates_asked, updates_heard;
	uint32_t records_of_key, records_of_key_max; /* received with one key of the client's */
	uint64_t records_since_update;
};

/* What the options say, for all connections; ends the process where it cannot be. */
void sessions_prepare(void);

/* Runs the handshake on fd, which stays the caller's. false: it failed, and that was printed. */
bool session_open(struct session *session, int fd, uint32_t number);
/* The transfer begins: from now on there are surprises. */
void session_arm(struct session *session, uint32_t number);
bool session_receive(struct session *session, void *place, size_t count);
/* In records as the options want them, with other messages between them. */
bool session_send(struct session *session, const uint8_t *bytes, size_t count);
void session_close(struct session *session);

#endif
