/* SPDX-License-Identifier: MIT */
/*
 * session.h - sessions that this process may resume: what a server's tickets open, kept for the next
 * handshake that is asked for with the same words and the same files.
 *
 * A resumed handshake verifies no certificate: it stands on an earlier one. So a session is kept only
 * where that cannot hide anything, is used once, and ends with the certificates that were verified, an
 * hour after that, or as soon as any of the files is another. Only TLS 1.3: there a session's secret
 * opens nothing that was ever sent, because each handshake has a key exchange of its own.
 */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <openssl/ssl.h>

#include "tls/tls.h"

#define TLS_SESSIONS_MAX      16
#define TLS_SESSION_SECONDS   3600
#define TLS_SESSION_KEY_BYTES 32

/* Under what a transport's sessions are kept. Zeroed: they are not. */
struct tls_session_terms {
	bool allowed;
	uint8_t key[TLS_SESSION_KEY_BYTES]; /* of the options, and of the files as they were then */
	time_t until;			    /* the verification holds until then */
};

/* To be called before a handshake reads the files. Not allowed: with a PSK, which needs no certificate
 * anyway; with revocation lists, and without verification, where there is nothing to stand on; with
 * a directory of CAs of the user's own, whose changes cannot be seen. Any thread. */
void tls_session_terms_set(struct tls_session_terms *terms, const struct tls_options *options);

/* Offers a kept session in the handshake to come, if there is one; it is then forgotten here, and
 * terms->until is what it stands on. */
void tls_session_offer(struct tls_session_terms *terms, SSL *ssl);

/* After the handshake: how long what it verified holds. */
void tls_session_verified(struct tls_session_terms *terms, SSL *ssl);

/* For SSL_CTX_sess_set_new_cb(), on a context whose SSL has its terms as application data, or NULL:
 * keeps the session, or wipes its secret. Never waits; any thread. */
int tls_session_arrived(SSL *ssl, SSL_SESSION *session);

/* Its secret becomes zeroes; NULL is nothing. */
void tls_session_wipe(SSL_SESSION *session);

#endif
