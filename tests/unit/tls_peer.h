/* SPDX-License-Identifier: MIT */
/*
 * tls_peer.h - what the tests of TLS talk to: certificates made on the spot, and an OpenSSL server
 * on the other end of a socketpair, whose handshake runs in a thread of its own.
 */
#ifndef TESTS_UNIT_TLS_PEER_H
#define TESTS_UNIT_TLS_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls/tls.h"

#define TLS_PEER_UNUSED __attribute__((unused))
#define TLS_PEER_DAY_S	(24L * 3600)
/* A handshake that hangs is a failure of the test: generous for a busy machine. */
#define TLS_PEER_HANDSHAKE_MS 20000

/* --- certificates ------------------------------------------------------------------------------- */

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

struct identity_wish {
	const char *name;	       /* CN */
	const char *alternative_names; /* "DNS:a,IP:10.0.0.1"; NULL: none */
	long starts_s, ends_s;	       /* from now; both 0: yesterday to tomorrow */
	bool is_ca;
};

static void identity_extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* Issued by issuer; NULL: by itself. */
TLS_PEER_UNUSED static struct identity identity_make(const struct identity_wish *wish,
						     const struct identity *issuer)
{
	static long serial = 1;
	struct identity made = { X509_new(), EVP_EC_gen("P-256") };
	bool dated = wish->starts_s || wish->ends_s;
	X509 *by = issuer ? issuer->certificate : made.certificate;
	X509_NAME *name = X509_get_subject_name(made.certificate);

	assert_non_null(made.key);
	X509_set_version(made.certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(made.certificate),
			dated ? wish->starts_s : -TLS_PEER_DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(made.certificate),
			dated ? wish->ends_s : TLS_PEER_DAY_S);
	X509_set_pubkey(made.certificate, made.key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wish->name, -1,
				   -1, 0);
	X509_set_issuer_name(made.certificate, X509_get_subject_name(by));
	identity_extend(made.certificate, by, NID_basic_constraints,
			wish->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (wish->is_ca)
		identity_extend(made.certificate, by, NID_key_usage, "keyCertSign,cRLSign");
	if (wish->alternative_names)
		identity_extend(made.certificate, by, NID_subject_alt_name,
				wish->alternative_names);
	assert_true(X509_sign(made.certificate, issuer ? issuer->key : made.key, EVP_sha256()) > 0);
	return made;
}

TLS_PEER_UNUSED static void identity_free(struct identity *identity)
{
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
}

/* Writes "folder/name"; path has room for TLS_PATH_BYTES_MAX. */
static FILE *pem_open(const char *folder, const char *name, char *path)
{
	FILE *file;

	snprintf(path, TLS_PATH_BYTES_MAX, "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	return file;
}

TLS_PEER_UNUSED static void pem_write_certificate(const char *folder, const char *name, X509 *what,
						  char *path)
{
	FILE *file = pem_open(folder, name, path);

	assert_int_equal(PEM_write_X509(file, what), 1);
	fclose(file);
}

/* Encrypted with passphrase, unless that is NULL. */
TLS_PEER_UNUSED static void pem_write_key(const char *folder, const char *name, EVP_PKEY *key,
					  const char *passphrase, char *path)
{
	FILE *file = pem_open(folder, name, path);

	assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL,
					      (const unsigned char *)passphrase,
					      passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
			 1);
	fclose(file);
}

/* The issuer's list, on which revoked is; NULL: an empty one. */
TLS_PEER_UNUSED static void pem_write_crl(const char *folder, const char *name,
					  const struct identity *issuer, X509 *revoked, char *path)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *since = X509_gmtime_adj(NULL, -3600), *until = X509_gmtime_adj(NULL, 3600);
	FILE *file = pem_open(folder, name, path);

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate));
	X509_CRL_set1_lastUpdate(crl, since);
	X509_CRL_set1_nextUpdate(crl, until);
	if (revoked) {
		X509_REVOKED *entry = X509_REVOKED_new();

		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
		X509_REVOKED_set_revocationDate(entry, since);
		X509_CRL_add0_revoked(crl, entry);
	}
	assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509_CRL(file, crl), 1);
	fclose(file);
	ASN1_TIME_free(since);
	ASN1_TIME_free(until);
	X509_CRL_free(crl);
}

TLS_PEER_UNUSED static void text_write(const char *folder, const char *name, const char *text,
				       char *path)
{
	FILE *file = pem_open(folder, name, path);

	fputs(text, file);
	fclose(file);
}

/* --- the server --------------------------------------------------------------------------------- */

/* What a server is like. Zero: TLS 1.2 and 1.3, a certificate if there is one, OpenSSL's defaults. */
struct tls_peer_wish {
	const struct identity *identity;
	const struct identity *chain;	  /* sent behind it */
	const struct identity *client_ca; /* a client certificate of it is required */
	int version;			  /* TLS1_1_VERSION ...: this one only */
	const char *psk_identity;
	const uint8_t *psk;
	size_t psk_bytes;
	uint8_t ticket_key; /* not 0: servers with the same one take each other's tickets */
	const char *raw;    /* no TLS: these bytes as soon as the client has said something */
	bool silent;	    /* nothing at all */
};

struct tls_peer {
	struct tls_peer_wish wish;
	int fd, client_fd;
	SSL *ssl; /* its handshake is done once the thread was joined and accepted is set */
	bool accepted;
	pthread_t thread;
};

static struct tls_peer *tls_peer_of(SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

static bool tls_peer_knows(const struct tls_peer *peer, const char *name, size_t bytes)
{
	const char *known = peer->wish.psk_identity;

	return known && strlen(known) == bytes && !memcmp(known, name, bytes);
}

static unsigned int tls_peer_psk(SSL *ssl, const char *name, unsigned char *psk, unsigned int room)
{
	struct tls_peer *peer = tls_peer_of(ssl);

	if (!tls_peer_knows(peer, name, strlen(name)) || peer->wish.psk_bytes > room)
		return 0;
	memcpy(psk, peer->wish.psk, peer->wish.psk_bytes);
	return (unsigned int)peer->wish.psk_bytes;
}

static int tls_peer_psk_session(SSL *ssl, const unsigned char *name, size_t bytes,
				SSL_SESSION **out)
{
	static const unsigned char suite[] = { 0x13, 0x01 };
	struct tls_peer *peer = tls_peer_of(ssl);

	*out = NULL;
	if (!tls_peer_knows(peer, (const char *)name, bytes))
		return 1;
	*out = SSL_SESSION_new();
	SSL_SESSION_set1_master_key(*out, peer->wish.psk, peer->wish.psk_bytes);
	SSL_SESSION_set_cipher(*out, SSL_CIPHER_find(ssl, suite));
	SSL_SESSION_set_protocol_version(*out, TLS1_3_VERSION);
	return 1;
}

static void tls_peer_set_psk(SSL_CTX *ctx, const struct tls_peer_wish *wish)
{
	SSL_CTX_set_psk_server_callback(ctx, tls_peer_psk);
	SSL_CTX_set_psk_find_session_callback(ctx, tls_peer_psk_session);
	if (!wish->identity)
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, "PSK:!eNULL"), 1);
}

static SSL_CTX *tls_peer_context(const struct tls_peer_wish *wish)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	unsigned char keys[80];

	assert_non_null(ctx);
	SSL_CTX_set_min_proto_version(ctx, wish->version ? wish->version : TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(ctx, wish->version);
	if (wish->version && wish->version < TLS1_2_VERSION) {
		SSL_CTX_set_security_level(ctx, 0);
		SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	}
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
	if (wish->identity) {
		assert_int_equal(SSL_CTX_use_certificate(ctx, wish->identity->certificate), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, wish->identity->key), 1);
	}
	if (wish->chain)
		assert_int_equal(SSL_CTX_add1_chain_cert(ctx, wish->chain->certificate), 1);
	if (wish->client_ca) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), wish->client_ca->certificate);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	if (wish->psk_identity)
		tls_peer_set_psk(ctx, wish);
	if (wish->ticket_key) {
		memset(keys, wish->ticket_key, sizeof(keys));
		assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)), 1);
	}
	return ctx;
}

static void *tls_peer_run(void *context)
{
	struct tls_peer *peer = context;
	char bytes[600];

	if (peer->wish.silent)
		return NULL;
	if (peer->wish.raw) {
		if (recv(peer->fd, bytes, sizeof(bytes), 0) > 0)
			send(peer->fd, peer->wish.raw, strlen(peer->wish.raw), MSG_NOSIGNAL);
	} else {
		peer->accepted = SSL_accept(peer->ssl) == 1;
	}
	if (!peer->accepted)
		shutdown(peer->fd, SHUT_WR);
	ERR_clear_error();
	return NULL;
}

/* Starts a server; its end for the client is client_fd, which the client's transport then owns. */
TLS_PEER_UNUSED static void tls_peer_start(struct tls_peer *peer, const struct tls_peer_wish *wish)
{
	const struct timeval patience = { .tv_sec = TLS_PEER_HANDSHAKE_MS / 1000 };
	int fds[2];
	SSL_CTX *ctx;

	*peer = (struct tls_peer){ .wish = *wish };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer->client_fd = fds[0];
	peer->fd = fds[1];
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!wish->raw && !wish->silent) {
		ctx = tls_peer_context(wish);
		peer->ssl = SSL_new(ctx);
		SSL_CTX_free(ctx);
		SSL_set_app_data(peer->ssl, peer);
		SSL_set_fd(peer->ssl, peer->fd);
	}
	assert_int_equal(pthread_create(&peer->thread, NULL, tls_peer_run, peer), 0);
}

/* After this its SSL object is the caller's to use. */
TLS_PEER_UNUSED static void tls_peer_join(struct tls_peer *peer)
{
	assert_int_equal(pthread_join(peer->thread, NULL), 0);
}

TLS_PEER_UNUSED static void tls_peer_free(struct tls_peer *peer)
{
	SSL_free(peer->ssl);
	close(peer->fd);
}

#endif
