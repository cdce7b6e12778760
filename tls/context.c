/* SPDX-License-Identifier: MIT */
#include "tls/address.h"
#include "tls/context.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/early_secret.h"
#include "tls/file.h"
#include "tls/protect.h"
#include "tls/psk.h"
#include "tls/session.h"

#define SECRET_FILE_BYTES_MAX (1u << 20)

/* RFC 8446 names no suite for an external PSK; GnuTLS takes SHA-256, which this one has. */
static const unsigned char psk_cipher_id[] = { 0x13, 0x01 }; /* TLS_AES_128_GCM_SHA256 */

#define CIPHER_NAMES_BYTES 2000

/* OpenSSL's own words for its last error, shortened to the reason. */
static const char *openssl_reason(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	return reason ? reason : "OpenSSL does not say why";
}

static int fail_file(const char *what, const char *path, char *sentence)
{
	int ret = access(path, R_OK) < 0 ? -errno : -EINVAL;

	snprintf(sentence, TLS_SENTENCE_BYTES, "%s %.300s cannot be used: %s%s", what, path,
		 ret == -EINVAL ? openssl_reason() : strerror(-ret),
		 ret == -EINVAL ? ": it must be PEM" : "");
	ERR_clear_error();
	return ret;
}

/* --- trust -------------------------------------------------------------------------------------- */

static int load_ca(SSL_CTX *ctx, const char *path, char *sentence)
{
	struct stat st;
	bool loaded;

	if (!*path)
		return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : -ENOENT;
	if (stat(path, &st) < 0)
		return fail_file("the CA", path, sentence);
	if (S_ISDIR(st.st_mode))
		loaded = SSL_CTX_load_verify_dir(ctx, path) == 1;
	else
		loaded = SSL_CTX_load_verify_file(ctx, path) == 1;
	return loaded ? 0 : fail_file("the CA", path, sentence);
}

static int load_crl(SSL_CTX *ctx, const char *path, char *sentence)
{
	X509_LOOKUP *lookup;

	if (!*path)
		return 0;
	lookup = X509_STORE_add_lookup(SSL_CTX_get_cert_store(ctx), X509_LOOKUP_file());
	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0)
		return fail_file("the revocation list", path, sentence);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx),
				    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

static int ssl_handshake_index(void)
{
	static int index = -1; /* set once by whichever thread is first: OpenSSL's call is locked */

	if (__atomic_load_n(&index, __ATOMIC_ACQUIRE) < 0)
		__atomic_store_n(&index, SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL),
				 __ATOMIC_RELEASE);
	return __atomic_load_n(&index, __ATOMIC_ACQUIRE);
}

static struct tls_handshake *handshake_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, ssl_handshake_index());
}

/* Keeps what was wrong with which certificate; the verdict stays OpenSSL's. */
static int note_verify(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_handshake *handshake = handshake_of(ssl);
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);

	if (good || handshake->verify_error != X509_V_OK)
		return good;
	handshake->verify_error = X509_STORE_CTX_get_error(store);
	handshake->verify_depth = X509_STORE_CTX_get_error_depth(store);
	handshake->leaf = X509_STORE_CTX_get0_cert(store);
	if (handshake->leaf)
		X509_up_ref(handshake->leaf);
	handshake->culprit = certificate;
	if (certificate)
		X509_up_ref(certificate);
	handshake->list = X509_STORE_CTX_get0_current_crl(store);
	if (handshake->list)
		X509_CRL_up_ref(handshake->list);
	return 0;
}

static int set_trust(SSL_CTX *ctx, const struct tls_options *options, char *sentence)
{
	int ret;

	if (options->no_verify) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	ret = load_ca(ctx, options->ca, sentence);
	if (ret == 0)
		ret = load_crl(ctx, options->crl, sentence);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, note_verify);
	SSL_CTX_set_verify_depth(ctx, TLS_CHAIN_DEPTH_MAX);
	return ret;
}

/* --- our own certificate ------------------------------------------------------------------------ */

/* OpenSSL asks for the key's passphrase: the file's first line, and never a prompt. */
static int give_passphrase(char *buf, int size, int rwflag, void *context)
{
	const char *path = context;
	char *text, *newline;
	size_t length;
	int bytes = -1;

	(void)rwflag;
	if (!*path || tls_file_read(path, SECRET_FILE_BYTES_MAX, &text, &length) < 0)
		return -1;
	newline = memchr(text, '\n', length);
	if (newline ? newline - text <= size : length <= (size_t)size) {
		bytes = (int)(newline ? newline - text : (ssize_t)length);
		memcpy(buf, text, (size_t)bytes);
	}
	tls_file_wipe(text, length);
	return bytes;
}

/* The key is set on the SSL object, which forgets it when the handshake is over; a context that it
 * was set on would hold it as long as the connection lives. */
static int set_key(SSL *ssl, const struct tls_options *options, char *sentence)
{
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;
	char *text;
	size_t length;
	int ret = tls_file_read(options->key, SECRET_FILE_BYTES_MAX, &text, &length);

	if (ret < 0) {
		snprintf(sentence, TLS_SENTENCE_BYTES, "the key %.150s cannot be read: %s",
			 options->key, strerror(-ret));
		return ret;
	}
	bio = BIO_new_mem_buf(text, (int)length);
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase,
					      (void *)options->passphrase_file);
	BIO_free(bio);
	tls_file_wipe(text, length);
	if (!key) {
		snprintf(sentence, TLS_SENTENCE_BYTES, "the key %.150s cannot be used: %s%s",
			 options->key, openssl_reason(),
			 *options->passphrase_file ? ": is the passphrase right?"
						   : ": is it encrypted? Then its passphrase's "
						     "file is needed");
		ret = -EINVAL;
	} else if (SSL_use_PrivateKey(ssl, key) != 1 || SSL_check_private_key(ssl) != 1) {
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the key %.150s does not belong to the certificate %.150s", options->key,
			 options->cert);
		ret = -EINVAL;
	}
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ret;
}

/* Called when the server asks for our certificate, whether there is one or not. */
static int note_request(SSL *ssl, void *context)
{
	(void)context;
	handshake_of(ssl)->certificate_wanted = true;
	return 1;
}

static int set_certificate(SSL *ssl, const struct tls_options *options, char *sentence)
{
	if (!*options->cert && !*options->key)
		return 0;
	if (SSL_use_certificate_chain_file(ssl, options->cert) != 1)
		return fail_file("the certificate", options->cert, sentence);
	return set_key(ssl, options, sentence);
}

/* --- PSK ---------------------------------------------------------------------------------------- */

/* TLS 1.3: the key dressed as a session. */
static int give_psk_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_bytes,
			    SSL_SESSION **out)
{
	struct tls_handshake *handshake = handshake_of(ssl);
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, psk_cipher_id);
	SSL_SESSION *session;

	*out = NULL;
	*id = (const unsigned char *)handshake->options->psk_identity;
	*id_bytes = strlen(handshake->options->psk_identity);
	if (!cipher || (md && SSL_CIPHER_get_handshake_digest(cipher) != md))
		return 1; /* after a HelloRetryRequest with another hash: go on without */
	session = SSL_SESSION_new();
	if (!session ||
	    !SSL_SESSION_set1_master_key(session, handshake->psk, handshake->psk_bytes) ||
	    !SSL_SESSION_set_cipher(session, cipher) ||
	    !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
		SSL_SESSION_free(session);
		return 0;
	}
	handshake->psk_used = true;
	SSL_SESSION_free(handshake->psk_session); /* after a HelloRetryRequest it is asked again */
	handshake->psk_session = session;
	SSL_SESSION_up_ref(session);
	*out = session;
	return 1;
}

/* TLS 1.2. */
/* The signature is OpenSSL's. */
static unsigned int give_psk(SSL *ssl, const char *hint, char *identity, unsigned int identity_max,
			     unsigned char *psk, unsigned int psk_max)
{
	struct tls_handshake *handshake = handshake_of(ssl);
	const char *wanted = handshake->options->psk_identity;

	(void)hint;
	if (strlen(wanted) >= identity_max || handshake->psk_bytes > psk_max)
		return 0;
	strcpy(identity, wanted);
	memcpy(psk, handshake->psk, handshake->psk_bytes);
	handshake->psk_used = true;
	return (unsigned int)handshake->psk_bytes;
}

static int refuse_certificate(X509_STORE_CTX *store, void *context)
{
	(void)context;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* TLS 1.2's: a key exchange of its own each time, so that a PSK that becomes known later opens nothing
 * that was sent; none that takes a certificate as well; no cipher that is weak, whoever allows it. */
static bool is_psk_cipher(const SSL_CIPHER *cipher)
{
	int exchange = SSL_CIPHER_get_kx_nid(cipher);
	const char *name = SSL_CIPHER_get_name(cipher);

	return (exchange == NID_kx_dhe_psk || exchange == NID_kx_ecdhe_psk) &&
	       (strstr(name, "-AES") || strstr(name, "CHACHA20")) && !strstr(name, "CCM8");
}

/* TLS 1.3's: those with the key's hash. */
static bool is_psk_suite(const SSL_CIPHER *cipher)
{
	return SSL_CIPHER_get_protocol_id(cipher) >> 8 == 0x13 &&
	       EVP_MD_get_type(SSL_CIPHER_get_handshake_digest(cipher)) == NID_sha256;
}

/* The names of what the system allows and is wanted, with colons between, in the system's order but those
 * that hold `first` first: servers follow our order, and CPUs have instructions for AES-GCM. */
static void name_allowed(const SSL_CTX *ctx, bool (*is_wanted)(const SSL_CIPHER *cipher),
			 const char *first, char names[CIPHER_NAMES_BYTES])
{
	const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);

	names[0] = '\0';
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
			const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
			const char *name = SSL_CIPHER_get_name(cipher);
			size_t used = strlen(names);

			if (is_wanted(cipher) && (pass == 0) == !!strstr(name, first))
				snprintf(names + used, CIPHER_NAMES_BYTES - used, "%s%s",
					 used ? ":" : "", name);
		}
}

/* Without a cipher of a version there is no such version. */
static bool set_psk_ciphers(SSL_CTX *ctx)
{
	char ciphers[CIPHER_NAMES_BYTES], suites[CIPHER_NAMES_BYTES];

	name_allowed(ctx, is_psk_cipher, "GCM", ciphers);
	name_allowed(ctx, is_psk_suite, "TLS_AES_128_GCM_SHA256", suites);
	if (SSL_CTX_set_ciphersuites(ctx, suites) != 1)
		return false;
	if (!*ciphers)
		return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1;
	return SSL_CTX_set_cipher_list(ctx, ciphers) == 1;
}

static int set_psk(SSL_CTX *ctx, struct tls_handshake *handshake, char *sentence)
{
	const struct tls_options *options = handshake->options;
	int ret = psk_read(options->psk_file, options->psk_identity, handshake->psk,
			   &handshake->psk_bytes, sentence);

	if (ret < 0)
		return ret;
	SSL_CTX_set_psk_use_session_callback(ctx, give_psk_session);
	SSL_CTX_set_psk_client_callback(ctx, give_psk);
	/* Only suites that end without a certificate; one that comes all the same is refused. */
	if (!set_psk_ciphers(ctx)) {
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "this system's OpenSSL allows no cipher with a PSK");
		return -EPROTO;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, refuse_certificate, NULL);
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int set_versions(SSL_CTX *ctx, char *sentence)
{
	/* The system's policy may ask for more than we do, and is then kept. */
	if (SSL_CTX_get_min_proto_version(ctx) < TLS1_2_VERSION &&
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		snprintf(sentence, TLS_SENTENCE_BYTES, "this OpenSSL knows no TLS 1.2");
		return -EPROTO;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* Its configuration can also ask for less, and for kernel TLS where we do not want it. */
	SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_KTLS | SSL_OP_IGNORE_UNEXPECTED_EOF |
					   SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
					   SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_NO_DHE_KEX |
					   SSL_OP_NO_EXTENDED_MASTER_SECRET);
	/* For whatever is read but the key: an encrypted block is refused, and nobody asked. */
	SSL_CTX_set_default_passwd_cb(ctx, give_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, "");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, tls_session_arrived);
	SSL_CTX_set_cert_cb(ctx, note_request, NULL);
	if (SSL_CTX_get_security_level(ctx) < 1)
		SSL_CTX_set_security_level(ctx, 1);
	return 0;
}

static int set_name(SSL *ssl, const struct tls_options *options, char *sentence)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	/* To OpenSSL a dot in front means "any host below". */
	bool good = options->hostname[0] != '.';

	if (!*options->hostname && !*options->psk_file && !options->no_verify) {
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "no name is known that the server's certificate must be for");
		return -EINVAL;
	}
	if (!*options->hostname)
		return 0;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (good && tls_is_address(options->hostname)) {
		good = options->no_verify ||
		       X509_VERIFY_PARAM_set1_ip_asc(param, options->hostname);
	} else if (good) {
		good = SSL_set_tlsext_host_name(ssl, options->hostname) == 1 &&
		       (options->no_verify || SSL_set1_host(ssl, options->hostname) == 1);
	}
	if (good)
		return 0;
	snprintf(sentence, TLS_SENTENCE_BYTES,
		 "\"%s\" is not a host name that a certificate can contain", options->hostname);
	ERR_clear_error();
	return -EINVAL;
}

static int fill_context(SSL_CTX *ctx, struct tls_handshake *handshake, char *sentence)
{
	const struct tls_options *options = handshake->options;
	int ret = set_versions(ctx, sentence);

	if (ret < 0)
		return ret;
	if (*options->psk_file)
		return set_psk(ctx, handshake, sentence);
	return set_trust(ctx, options, sentence);
}

/* TLS 1.3: OpenSSL keeps our half of the key exchange as long as the connection lives. A key that is
 * given another type loses what it holds. */
static void wipe_exchange(SSL *ssl)
{
	EVP_PKEY *key = NULL;

	if (SSL_get_tmp_key(ssl, &key) != 1 || !key)
		return;
	EVP_PKEY_set_type(key, EVP_PKEY_RSA);
	EVP_PKEY_free(key);
}

void tls_context_forget(SSL *ssl, struct tls_handshake *handshake)
{
	if (ssl) {
		SSL_set_ex_data(ssl, ssl_handshake_index(), NULL);
		SSL_certs_clear(ssl);
		if (handshake->psk_bytes > 0)
			tls_early_secret_wipe(ssl, handshake->psk_session, handshake->psk,
					      handshake->psk_bytes);
		tls_session_wipe(SSL_get_session(ssl)); /* a PSK, or 1.2's master secret */
		wipe_exchange(ssl);
	}
	tls_session_wipe(handshake->psk_session);
	SSL_SESSION_free(handshake->psk_session);
	X509_free(handshake->leaf);
	X509_free(handshake->culprit);
	X509_CRL_free(handshake->list);
	OPENSSL_cleanse(handshake, sizeof(*handshake));
	ERR_clear_error();
	tls_wipe_stack();
}

int tls_context_open(struct tls_handshake *handshake, const struct tls_options *options, SSL **out,
		     char *sentence)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = NULL;
	int ret = -ENOMEM;

	memset(handshake, 0, sizeof(*handshake));
	handshake->options = options;
	snprintf(sentence, TLS_SENTENCE_BYTES, "OpenSSL cannot be set up: %s", openssl_reason());
	if (!ctx)
		return ret;
	ret = fill_context(ctx, handshake, sentence);
	if (ret == 0)
		ssl = SSL_new(ctx);
	if (ret == 0 && (!ssl || !SSL_set_ex_data(ssl, ssl_handshake_index(), handshake)))
		ret = -ENOMEM;
	if (ret == 0)
		ret = set_name(ssl, options, sentence);
	if (ret == 0 && !*options->psk_file)
		ret = set_certificate(ssl, options, sentence);
	SSL_CTX_free(ctx); /* the SSL object keeps it */
	if (ret < 0) {
		SSL_free(ssl);
		OPENSSL_cleanse(handshake->psk, sizeof(handshake->psk));
		tls_wipe_stack();
		return ret;
	}
	*out = ssl;
	return 0;
}
