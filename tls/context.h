/* SPDX-License-Identifier: MIT */
/*
 * context.h - the SSL object of one handshake, with all that the user asked for set on it.
 */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "tls/tls.h"

/* What the callbacks of one handshake need, and learn. Lives as long as the SSL object's handshake. */
struct tls_handshake {
	const struct tls_options *options;
	uint8_t psk[256];
	size_t psk_bytes;	  /* 0: no PSK was asked for */
	bool psk_used;		  /* TLS 1.2's callback was called, or 1.3's session was offered */
	SSL_SESSION *psk_session; /* 1.3: the PSK dressed as a session, a reference; NULL */
	bool certificate_wanted;  /* the server asked for ours */
	int verify_error;	  /* X509_V_ERR_*, the first that was met; X509_V_OK */
	int verify_depth;
	X509 *leaf;	/* the server's own certificate then; to be freed */
	X509 *culprit;	/* the one that error is about; likewise */
	X509_CRL *list; /* the revocation list that error is about, or NULL; likewise */
};

/* What the handshake needed and the stream does not: the private key, the PSK, the key exchange's own
 * key, TLS 1.2's master secret. The SSL object's callbacks do not see handshake any more. After it the
 * stream works on; OpenSSL keeps of TLS 1.3's key schedule what it keeps. ssl may be NULL. */
void tls_context_forget(SSL *ssl, struct tls_handshake *handshake);

/* Makes *out. 0, or -errno with a sentence: a file that cannot be used, a policy that OpenSSL's
 * configuration forbids. handshake must outlive the SSL object's handshake; tls_context_forget() ends
 * it, after a success. */
int tls_context_open(struct tls_handshake *handshake, const struct tls_options *options, SSL **out,
		     char *sentence);

#endif
