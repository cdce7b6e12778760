/* SPDX-License-Identifier: MIT */
/*
 * early_secret.h - forgets what is as good as a pre-shared key.
 *
 * TLS 1.3 makes an early secret of a PSK, by one HMAC (RFC 8446, 7.1). Who has it can take either side's
 * place in every later handshake with that PSK. OpenSSL keeps it as long as the connection lives and has
 * no call that forgets it; so it is computed once more, and overwritten wherever OpenSSL's objects hold
 * it. What else OpenSSL keeps of the key schedule opens this one connection only, as does the master
 * secret, which it needs: that is not searched for. Without a PSK the early secret is no secret.
 */
#ifndef TLS_EARLY_SECRET_H
#define TLS_EARLY_SECRET_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Overwrites the early secret of the external psk in the SSL object, whose handshake is over, in its
 * session and in psk_session, which offered it (NULL: TLS 1.3 was not tried). Also when TLS 1.2 was agreed
 * on, since the offer needed the secret. Returns whether it was found: where it is not, OpenSSL may keep
 * it elsewhere (tests/unit/test_early_secret.c fails with such an OpenSSL).
 */
bool tls_early_secret_wipe(SSL *ssl, SSL_SESSION *psk_session, const uint8_t *psk,
			   size_t psk_bytes);

#endif
