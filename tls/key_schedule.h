/* SPDX-License-Identifier: MIT */
/*
 * key_schedule.h - what OpenSSL keeps of TLS 1.3's key schedule (RFC 8446, 7.1) longer than needed.
 *
 *   PSK, or zeroes -> early secret -> handshake secret -> master secret -> traffic secrets
 *
 * Who has the first two can take either side's place, or read the handshake again; the stream needs
 * neither. OpenSSL offers no call that forgets them, so they are looked for in its objects' memory. The
 * layout there is not promised: where it is another, nothing is found, nothing is touched, and the secrets
 * stay until the connection is closed. tests/unit/test_key_schedule.c fails with such an OpenSSL.
 */
#ifndef TLS_KEY_SCHEDULE_H
#define TLS_KEY_SCHEDULE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Overwrites the early and the handshake secret in the SSL object, whose handshake is over, and the early
 * secret in its session and in psk_session (NULL: there is none), which offered the external psk
 * (psk_bytes 0: there is none): also when TLS 1.2 was agreed on, since the offer needed it. A resumed
 * session's PSK is taken from the session, before that is wiped. A place is touched only if what it holds
 * is proven to be that secret: the early one can be computed, and from the handshake secret follows the
 * master secret behind it. true when both were found, or there are none.
 */
bool tls_key_schedule_wipe(SSL *ssl, SSL_SESSION *psk_session, const uint8_t *psk,
			   size_t psk_bytes);

#endif
