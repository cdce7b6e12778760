/* SPDX-License-Identifier: MIT */
#include "tls/session.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "tls/psk.h"

struct kept {
	SSL_SESSION *session; /* NULL: the place is free */
	struct tls_session_terms terms;
};

/* The lock guards both; it is never held while anything is waited for. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept kept[TLS_SESSIONS_MAX];
static unsigned int next_place;

/* --- terms -------------------------------------------------------------------------------------- */

/* A file that was written to or replaced differs in one of these. */
static void add_file(EVP_MD_CTX *digest, const char *path)
{
	struct stat st;
	int64_t stamp[8] = { 0 };

	EVP_DigestUpdate(digest, path, strlen(path) + 1);
	if (!*path || stat(path, &st) < 0)
		return;
	stamp[0] = (int64_t)st.st_dev;
	stamp[1] = (int64_t)st.st_ino;
	stamp[2] = st.st_size;
	stamp[3] = st.st_mtim.tv_sec;
	stamp[4] = st.st_mtim.tv_nsec;
	stamp[5] = st.st_ctim.tv_sec;
	stamp[6] = st.st_ctim.tv_nsec;
	stamp[7] = 1; /* it was there */
	EVP_DigestUpdate(digest, stamp, sizeof(stamp));
}

static bool is_directory(const char *path)
{
	struct stat st;

	return *path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void tls_session_terms_set(struct tls_session_terms *terms, const struct tls_options *options)
{
	EVP_MD_CTX *digest;

	memset(terms, 0, sizeof(*terms));
	if (*options->psk_file || *options->crl || options->no_verify || is_directory(options->ca))
		return;
	digest = EVP_MD_CTX_new();
	if (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(digest);
		return;
	}
	EVP_DigestUpdate(digest, options->hostname, strlen(options->hostname) + 1);
	add_file(digest, options->ca);
	add_file(digest, options->cert);
	add_file(digest, options->key);
	add_file(digest, options->passphrase_file);
	if (!*options->ca) {
		add_file(digest, X509_get_default_cert_file());
		add_file(digest, X509_get_default_cert_dir());
	}
	terms->allowed = EVP_DigestFinal_ex(digest, terms->key, NULL) == 1;
	EVP_MD_CTX_free(digest);
}

/* When the first certificate of the chain that was verified ends, or an hour from now. */
void tls_session_verified(struct tls_session_terms *terms, SSL *ssl)
{
	const STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	time_t now = time(NULL);

	if (SSL_session_reused(ssl))
		return; /* it stands on what was verified then */
	terms->until = now + TLS_SESSION_SECONDS;
	if (!chain || SSL_get_verify_result(ssl) != X509_V_OK)
		terms->allowed = false;
	for (int i = 0; chain && i < sk_X509_num(chain); i++) {
		const ASN1_TIME *end = X509_get0_notAfter(sk_X509_value(chain, i));
		int days = 0, seconds = 0;

		if (ASN1_TIME_diff(&days, &seconds, NULL, end) != 1 || days < 0 || seconds < 0)
			terms->allowed = false;
		else if (days == 0 && now + seconds < terms->until)
			terms->until = now + seconds;
	}
}

/* --- the store ---------------------------------------------------------------------------------- */

static bool is_alive(const struct kept *place, time_t now)
{
	const SSL_SESSION *session = place->session;
	time_t lifetime = (time_t)SSL_SESSION_get_ticket_lifetime_hint(session);

	return now < place->terms.until && now < SSL_SESSION_get_time(session) + lifetime &&
	       SSL_SESSION_is_resumable(session);
}

void tls_session_offer(struct tls_session_terms *terms, SSL *ssl)
{
	SSL_SESSION *found = NULL;
	time_t now = time(NULL);

	if (!terms->allowed)
		return;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < TLS_SESSIONS_MAX; i++) {
		struct kept *place = &kept[i];

		if (place->session && !is_alive(place, now)) {
			SSL_SESSION_free(place->session);
			place->session = NULL;
		}
		if (place->session && !found &&
		    !memcmp(place->terms.key, terms->key, sizeof(terms->key))) {
			found = place->session;
			terms->until = place->terms.until;
			place->session = NULL;
		}
	}
	pthread_mutex_unlock(&lock);
	if (found)
		SSL_set_session(ssl, found);
	SSL_SESSION_free(found);
}

int tls_session_arrived(SSL *ssl, SSL_SESSION *session)
{
	const struct tls_session_terms *terms = SSL_get_app_data(ssl);
	struct kept *place;

	/* A queue's thread may be here: when another is, this ticket is let go of. */
	if (!terms || !terms->allowed || SSL_version(ssl) != TLS1_3_VERSION ||
	    pthread_mutex_trylock(&lock) != 0) {
		tls_session_wipe(session);
		return 0;
	}
	place = &kept[next_place++ % TLS_SESSIONS_MAX];
	SSL_SESSION_free(place->session);
	place->session = session;
	place->terms = *terms;
	pthread_mutex_unlock(&lock);
	return 1; /* the reference is ours */
}

void tls_session_wipe(SSL_SESSION *session)
{
	static const unsigned char zeroes[PSK_KEY_BYTES_MAX];

	if (session)
		SSL_SESSION_set1_master_key(session, zeroes, sizeof(zeroes));
}
