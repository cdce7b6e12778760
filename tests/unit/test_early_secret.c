/* SPDX-License-Identifier: MIT */
/*
 * Goal: after a handshake with a PSK its early secret is found and overwritten, and the stream goes on, new
 * keys and tickets included. Method: client and server in this process, joined by memory; the server takes
 * the PSK, or knows TLS 1.2 alone; a second wipe must find nothing any more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls/early_secret.h"

static const uint8_t key[32] = "thirty-two bytes that are shared";
static SSL_SESSION *offered; /* the client's PSK, dressed as a session */

struct pair {
	SSL_CTX *client_context, *server_context;
	SSL *client, *server;
};

/* --- the two ends ------------------------------------------------------------------------------- */

static SSL_SESSION *make_psk_session(SSL *ssl)
{
	static const unsigned char id[] = { 0x13, 0x01 };
	SSL_SESSION *session = SSL_SESSION_new();

	SSL_SESSION_set1_master_key(session, key, sizeof(key));
	SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, id));
	SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION);
	return session;
}

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_bytes,
		   SSL_SESSION **session)
{
	(void)md;
	*id = (const unsigned char *)"alice";
	*id_bytes = 5;
	*session = make_psk_session(ssl);
	SSL_SESSION_free(offered);
	offered = *session;
	return SSL_SESSION_up_ref(offered);
}

static int find_psk(SSL *ssl, const unsigned char *id, size_t id_bytes, SSL_SESSION **session)
{
	(void)id;
	(void)id_bytes;
	*session = make_psk_session(ssl);
	return 1;
}

static void set_certificate(SSL_CTX *context)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	X509_set_pubkey(certificate, pkey);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_true(X509_sign(certificate, pkey, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, pkey), 1);
	X509_free(certificate);
	EVP_PKEY_free(pkey);
}

/* One thread plays both, so each takes what it can until neither is at a loss. */
static void shake_hands(struct pair *pair)
{
	int client = 0, server = 0;

	for (int i = 0; i < 20 && (client != 1 || server != 1); i++) {
		client = SSL_do_handshake(pair->client);
		server = SSL_do_handshake(pair->server);
	}
	assert_int_equal(client, 1);
	assert_int_equal(server, 1);
}

static void open_ends(struct pair *pair)
{
	BIO *client, *server;

	pair->client = SSL_new(pair->client_context);
	pair->server = SSL_new(pair->server_context);
	assert_int_equal(BIO_new_bio_pair(&client, 65536, &server, 65536), 1);
	SSL_set_bio(pair->client, client, client);
	SSL_set_bio(pair->server, server, server);
	SSL_set_connect_state(pair->client);
	SSL_set_accept_state(pair->server);
}

static void open_pair(struct pair *pair)
{
	pair->client_context = SSL_CTX_new(TLS_client_method());
	pair->server_context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_psk_use_session_callback(pair->client_context, use_psk);
	SSL_CTX_set_psk_find_session_callback(pair->server_context, find_psk);
	assert_int_equal(SSL_CTX_set_ciphersuites(pair->server_context, "TLS_AES_128_GCM_SHA256"),
			 1);
	set_certificate(pair->server_context);
}

static void close_pair(struct pair *pair)
{
	SSL_free(pair->client);
	SSL_free(pair->server);
	SSL_CTX_free(pair->client_context);
	SSL_CTX_free(pair->server_context);
	SSL_SESSION_free(offered);
	offered = NULL;
}

/* Both ways, with keys renewed by both; tickets come along. */
static void stream_works(struct pair *pair)
{
	char text[8];

	for (int round = 0; round < 3; round++) {
		assert_int_equal(SSL_write(pair->client, "to", 3), 3);
		assert_int_equal(SSL_read(pair->server, text, sizeof(text)), 3);
		assert_string_equal(text, "to");
		assert_int_equal(SSL_write(pair->server, "fro", 4), 4);
		assert_int_equal(SSL_read(pair->client, text, sizeof(text)), 4);
		assert_string_equal(text, "fro");
		assert_int_equal(SSL_key_update(pair->client, SSL_KEY_UPDATE_REQUESTED), 1);
	}
}

/* --- tests -------------------------------------------------------------------------------------- */

static void wiped_once(struct pair *pair)
{
	assert_false(tls_early_secret_wipe(pair->client, offered, (const uint8_t *)"another", 7));
	assert_true(tls_early_secret_wipe(pair->client, offered, key, sizeof(key)));
	assert_false(tls_early_secret_wipe(pair->client, offered, key, sizeof(key)));
}

static void of_a_psk_that_was_taken(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair);
	open_ends(&pair);
	shake_hands(&pair);
	assert_int_equal(SSL_version(pair.client), TLS1_3_VERSION);
	assert_true(SSL_session_reused(pair.client));
	wiped_once(&pair);
	stream_works(&pair);
	close_pair(&pair);
}

static void of_a_psk_that_was_only_offered(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair);
	SSL_CTX_set_max_proto_version(pair.server_context, TLS1_2_VERSION);
	open_ends(&pair);
	shake_hands(&pair);
	assert_int_equal(SSL_version(pair.client), TLS1_2_VERSION);
	wiped_once(&pair);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_psk_that_was_taken),
		cmocka_unit_test(of_a_psk_that_was_only_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
