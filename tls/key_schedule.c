/* SPDX-License-Identifier: MIT */
#include "tls/key_schedule.h"

#include <malloc.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* One secret after the other, each with room for the longest hash. */
#define SECRET_STRIDE_BYTES ((size_t)EVP_MAX_MD_SIZE)

/* HKDF-Extract. The salt is as long as the hash, or NULL: zeroes, which to HMAC is an empty key. */
static bool extract(const EVP_MD *md, const uint8_t *salt, const uint8_t *input, size_t input_bytes,
		    uint8_t *out)
{
	return HMAC(md, salt ? salt : (const uint8_t *)"", salt ? EVP_MD_get_size(md) : 0, input,
		    input_bytes, out, NULL) != NULL;
}

/* Derive-Secret(secret, "derived", ""): of as many bytes as the hash has, so one block of HKDF-Expand. */
static bool derive(const EVP_MD *md, const uint8_t *secret, uint8_t *out)
{
	static const char label[] = "tls13 derived";
	const uint8_t bytes = (uint8_t)EVP_MD_get_size(md);
	uint8_t info[4 + sizeof(label) + EVP_MAX_MD_SIZE] = { 0, bytes, sizeof(label) - 1 };
	uint8_t *at = info + 3;

	memcpy(at, label, sizeof(label) - 1);
	at += sizeof(label) - 1;
	*at++ = bytes;
	if (EVP_Digest("", 0, at, NULL, md, NULL) != 1)
		return false;
	at += bytes;
	*at++ = 1;
	return extract(md, secret, info, (size_t)(at - info), out);
}

/* Whether the master secret follows from this handshake secret. */
static bool is_parent(const EVP_MD *md, const uint8_t *handshake, const uint8_t *master)
{
	static const uint8_t zeroes[EVP_MAX_MD_SIZE];
	const size_t bytes = (size_t)EVP_MD_get_size(md);
	uint8_t derived[EVP_MAX_MD_SIZE], wanted[EVP_MAX_MD_SIZE];
	bool is = derive(md, handshake, derived) && extract(md, derived, zeroes, bytes, wanted) &&
		  !CRYPTO_memcmp(wanted, master, bytes);

	OPENSSL_cleanse(derived, sizeof(derived));
	OPENSSL_cleanse(wanted, sizeof(wanted));
	return is;
}

static void wipe_all(void *object, const uint8_t *secret, size_t bytes)
{
	size_t left = malloc_usable_size(object);
	uint8_t *at = object, *found;

	while ((found = memmem(at, left, secret, bytes))) {
		OPENSSL_cleanse(found, bytes);
		left -= (size_t)(found - at) + bytes;
		at = found + bytes;
	}
}

/* The handshake secret behind this early one; false when what is there is something else. */
static bool wipe_next(SSL *ssl, const EVP_MD *md, const uint8_t *early)
{
	const size_t bytes = (size_t)EVP_MD_get_size(md), room = malloc_usable_size(ssl);
	uint8_t *found = memmem(ssl, room, early, bytes);
	size_t left = found ? room - (size_t)(found - (uint8_t *)ssl) : 0;

	if (left < 3 * SECRET_STRIDE_BYTES ||
	    !is_parent(md, found + SECRET_STRIDE_BYTES, found + 2 * SECRET_STRIDE_BYTES))
		return false;
	OPENSSL_cleanse(found + SECRET_STRIDE_BYTES, bytes);
	return true;
}

/* What this PSK leads to. */
static bool wipe_after(SSL *ssl, SSL_SESSION *psk_session, const EVP_MD *md, const uint8_t *psk,
		       size_t psk_bytes)
{
	const size_t bytes = (size_t)EVP_MD_get_size(md);
	SSL_SESSION *session = SSL_get_session(ssl);
	uint8_t early[EVP_MAX_MD_SIZE];
	bool complete;

	if (!extract(md, NULL, psk, psk_bytes, early))
		return false;
	complete = SSL_version(ssl) != TLS1_3_VERSION || wipe_next(ssl, md, early);
	wipe_all(ssl, early, bytes);
	if (session)
		wipe_all(session, early, bytes);
	if (psk_session)
		wipe_all(psk_session, early, bytes);
	OPENSSL_cleanse(early, sizeof(early));
	return complete;
}

bool tls_key_schedule_wipe(SSL *ssl, SSL_SESSION *psk_session, const uint8_t *psk, size_t psk_bytes)
{
	static const uint8_t zeroes[EVP_MAX_MD_SIZE];
	const SSL_SESSION *session = SSL_get_session(ssl);
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const EVP_MD *md = cipher ? SSL_CIPHER_get_handshake_digest(cipher) : NULL;
	uint8_t resumed[SSL_MAX_MASTER_KEY_LENGTH];
	size_t resumed_bytes;
	bool complete;

	/* An external PSK's hash is this one, whatever TLS 1.2 agreed on (context.c). */
	if (psk_bytes > 0)
		return wipe_after(ssl, psk_session, EVP_sha256(), psk, psk_bytes);
	if (!session || !md || SSL_version(ssl) != TLS1_3_VERSION)
		return true;
	resumed_bytes = SSL_SESSION_get_master_key(session, resumed, sizeof(resumed));
	complete = wipe_after(ssl, NULL, md, zeroes, (size_t)EVP_MD_get_size(md)) ||
		   wipe_after(ssl, NULL, md, resumed, resumed_bytes);
	OPENSSL_cleanse(resumed, sizeof(resumed));
	return complete;
}
