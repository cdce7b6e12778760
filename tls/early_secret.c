/* SPDX-License-Identifier: MIT */
#include "tls/early_secret.h"

#include <malloc.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static bool wipe_all(void *object, const uint8_t *secret, size_t bytes)
{
	uint8_t *at = object, *found;
	size_t left = malloc_usable_size(object);
	bool any = false;

	while (object && (found = memmem(at, left, secret, bytes))) {
		OPENSSL_cleanse(found, bytes);
		left -= (size_t)(found - at) + bytes;
		at = found + bytes;
		any = true;
	}
	return any;
}

bool tls_early_secret_wipe(SSL *ssl, SSL_SESSION *psk_session, const uint8_t *psk, size_t psk_bytes)
{
	/* An external PSK's hash is this one, whatever TLS 1.2 agreed on (context.c). */
	const EVP_MD *md = EVP_sha256();
	const size_t bytes = (size_t)EVP_MD_get_size(md);
	uint8_t early[EVP_MAX_MD_SIZE];
	bool found;

	/* HKDF-Extract with a salt of zeroes, which to HMAC is an empty key. */
	if (!HMAC(md, "", 0, psk, psk_bytes, early, NULL))
		return false;
	found = wipe_all(ssl, early, bytes);
	found |= wipe_all(SSL_get_session(ssl), early, bytes);
	found |= wipe_all(psk_session, early, bytes);
	OPENSSL_cleanse(early, sizeof(early));
	return found;
}
