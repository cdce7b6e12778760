/* SPDX-License-Identifier: MIT */
/*
 * Goal: a TLS handshake succeeds with the peer that the user meant and with no other; each refusal
 * has the right errno and a sentence that says what is wrong.
 * Method: a table of servers, users' options and outcomes, against an OpenSSL server in a thread;
 * certificates, keys and lists are made when the test starts.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tls_peer.h"
#include "tls/address.h"
#include "tls/clock.h"
#include "tls/context.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define STALL_MS       300
#define STALL_LATE_MS  5000 /* how much later it may be on a busy machine */
#define PASSPHRASE     "open sesame"
#define PSK_NAME       "alice"
#define PSK_HEX	       "00112233445566778899aabbccddeeff"
#define SERVER_NAME    "disk.example"
#define SERVER_ADDRESS "10.1.2.3"

static const uint8_t psk[] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
			       0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
static const uint8_t other_psk[16] = { 1 };

static struct {
	char folder[64];
	struct identity ca, other_ca, middle, good, by_middle, expired, future, lonely, client,
		address_as_name;
	char ca_path[TLS_PATH_BYTES_MAX], other_ca_path[TLS_PATH_BYTES_MAX];
	char crl_path[TLS_PATH_BYTES_MAX], crl_empty_path[TLS_PATH_BYTES_MAX];
	char crl_other_path[TLS_PATH_BYTES_MAX];
	char cert_path[TLS_PATH_BYTES_MAX], key_path[TLS_PATH_BYTES_MAX];
	char other_key_path[TLS_PATH_BYTES_MAX], locked_key_path[TLS_PATH_BYTES_MAX];
	char passphrase_path[TLS_PATH_BYTES_MAX], wrong_passphrase_path[TLS_PATH_BYTES_MAX];
	char psk_path[TLS_PATH_BYTES_MAX], garbage_path[TLS_PATH_BYTES_MAX];
	char nowhere_path[TLS_PATH_BYTES_MAX];
} lab;

static void make_identities(void)
{
	const char *names = "DNS:" SERVER_NAME ",IP:" SERVER_ADDRESS;

	lab.ca = identity_make(&(struct identity_wish){ .name = "Test CA", .is_ca = true }, NULL);
	lab.other_ca =
		identity_make(&(struct identity_wish){ .name = "Other CA", .is_ca = true }, NULL);
	lab.middle =
		identity_make(&(struct identity_wish){ .name = "Middle", .is_ca = true }, &lab.ca);
	lab.good = identity_make(&(struct identity_wish){ "good", names, 0, 0, false }, &lab.ca);
	lab.by_middle = identity_make(&(struct identity_wish){ "by-middle", names, 0, 0, false },
				      &lab.middle);
	lab.expired = identity_make(&(struct identity_wish){ "old", names, -9 * TLS_PEER_DAY_S,
							     -2 * TLS_PEER_DAY_S, false },
				    &lab.ca);
	lab.future = identity_make(&(struct identity_wish){ "young", names, 2 * TLS_PEER_DAY_S,
							    9 * TLS_PEER_DAY_S, false },
				   &lab.ca);
	lab.lonely = identity_make(&(struct identity_wish){ "lonely", names, 0, 0, false }, NULL);
	lab.address_as_name =
		identity_make(&(struct identity_wish){ .name = "named",
						       .alternative_names = "DNS:" SERVER_ADDRESS },
			      &lab.ca);
	lab.client = identity_make(&(struct identity_wish){ .name = "client" }, &lab.ca);
}

static int lab_open(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	strcpy(lab.folder, "/tmp/test_tls.XXXXXX");
	assert_non_null(mkdtemp(lab.folder));
	make_identities();
	pem_write_certificate(lab.folder, "ca", lab.ca.certificate, lab.ca_path);
	pem_write_certificate(lab.folder, "other-ca", lab.other_ca.certificate, lab.other_ca_path);
	pem_write_crl(lab.folder, "crl", &lab.ca, lab.good.certificate, lab.crl_path);
	pem_write_crl(lab.folder, "crl-empty", &lab.ca, NULL, lab.crl_empty_path);
	pem_write_crl(lab.folder, "crl-other", &lab.other_ca, NULL, lab.crl_other_path);
	pem_write_certificate(lab.folder, "cert", lab.client.certificate, lab.cert_path);
	pem_write_key(lab.folder, "key", lab.client.key, NULL, lab.key_path);
	pem_write_key(lab.folder, "other-key", lab.good.key, NULL, lab.other_key_path);
	pem_write_key(lab.folder, "locked-key", lab.client.key, PASSPHRASE, lab.locked_key_path);
	text_write(lab.folder, "passphrase", PASSPHRASE "\n", lab.passphrase_path);
	text_write(lab.folder, "wrong-passphrase", "sesame\n", lab.wrong_passphrase_path);
	text_write(lab.folder, "psk", "bob:00\n" PSK_NAME ":" PSK_HEX "\nodd:123\n", lab.psk_path);
	text_write(lab.folder, "garbage", "-----BEGIN NOTHING\n", lab.garbage_path);
	snprintf(lab.nowhere_path, sizeof(lab.nowhere_path), "%s/nowhere", lab.folder);
	return 0;
}

static int lab_close(void **state)
{
	static const char *const files[] = { "ca",	   "other-ca",	 "crl", "crl-empty",
					     "crl-other",  "cert",	 "key", "other-key",
					     "locked-key", "passphrase", "psk", "wrong-passphrase",
					     "garbage" };
	struct identity *all[] = { &lab.ca,	   &lab.other_ca,	&lab.middle, &lab.good,
				   &lab.by_middle, &lab.expired,	&lab.future, &lab.lonely,
				   &lab.client,	   &lab.address_as_name };
	char path[200];

	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", lab.folder, files[i]);
		unlink(path);
	}
	for (size_t i = 0; i < COUNT(all); i++)
		identity_free(all[i]);
	return rmdir(lab.folder);
}

/* --- the table ---------------------------------------------------------------------------------- */

/* One handshake. Where error is 0, words is what the description's peer must hold. */
struct attempt {
	const char *title;
	struct tls_peer_wish server;
	const char *hostname, *ca, *crl, *cert, *key, *passphrase, *psk_file, *psk_identity;
	bool no_verify;
	int error; /* 0, or the errno expected */
	const char *words, *more_words;
	const char *cipher; /* NULL: any */
};

static void set_path(char *to, const char *path)
{
	if (path)
		strcpy(to, path);
}

static void attempt_options(const struct attempt *attempt, struct tls_options *options)
{
	memset(options, 0, sizeof(*options));
	set_path(options->hostname, attempt->hostname);
	set_path(options->ca, attempt->ca);
	set_path(options->crl, attempt->crl);
	set_path(options->cert, attempt->cert);
	set_path(options->key, attempt->key);
	set_path(options->passphrase_file, attempt->passphrase);
	set_path(options->psk_file, attempt->psk_file);
	set_path(options->psk_identity, attempt->psk_identity);
	options->no_verify = attempt->no_verify;
}

/* The server is told a host name, never an address (RFC 6066, 3). */
static void check_name_told(const struct attempt *attempt, const struct tls_peer *peer)
{
	const char *told = SSL_get_servername(peer->ssl, TLSEXT_NAMETYPE_host_name);

	if (!attempt->hostname || tls_is_address(attempt->hostname))
		assert_null(told);
	else
		assert_string_equal(told, attempt->hostname);
}

static void check_agreed(const struct attempt *attempt, const struct transport *transport)
{
	const struct tls_description *tls = transport_tls_describe(transport);
	const char *version = attempt->server.version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3";

	assert_string_equal(tls->version, version);
	assert_true(*tls->cipher);
	if (attempt->cipher)
		assert_string_equal(tls->cipher, attempt->cipher);
	assert_int_equal(tls->verified, !attempt->no_verify);
	assert_false(tls->kernel_send || tls->kernel_receive); /* no TCP, no kernel TLS */
	if (!strstr(tls->peer, attempt->words))
		fail_msg("%s: peer is \"%s\", without \"%s\"", attempt->title, tls->peer,
			 attempt->words);
}

static void try(const struct attempt *attempt)
{
	char sentence[TLS_SENTENCE_BYTES] = "";
	struct transport *transport = NULL;
	struct tls_options options;
	struct tls_peer peer;
	int ret;

	attempt_options(attempt, &options);
	tls_peer_start(&peer, &attempt->server);
	ret = transport_tls_open(peer.client_fd, &options, clock_now_ms() + TLS_PEER_HANDSHAKE_MS,
				 &transport, sentence);
	if (ret < 0)
		close(peer.client_fd); /* it stayed ours */
	tls_peer_join(&peer);
	if (ret != -attempt->error)
		fail_msg("%s: %d (%s), not %d", attempt->title, ret, sentence, -attempt->error);
	if (ret == 0) {
		check_agreed(attempt, transport);
		check_name_told(attempt, &peer);
	} else if (!strstr(sentence, attempt->words) ||
		   (attempt->more_words && !strstr(sentence, attempt->more_words)))
		fail_msg("%s: \"%s\" says nothing of \"%s\", \"%s\"", attempt->title, sentence,
			 attempt->words, attempt->more_words ? attempt->more_words : "");
	transport_close(transport);
	tls_peer_free(&peer);
}

#define TRY(...) try(&(struct attempt){ __VA_ARGS__ })
#define GOOD	 .server = { .identity = &lab.good }
#define NAMED	 .hostname = SERVER_NAME, .ca = lab.ca_path

static void good_certificates(void **state)
{
	(void)state;
	TRY("1.3", GOOD, NAMED, .words = "CN=good");
	TRY("1.2", .server = { .identity = &lab.good, .version = TLS1_2_VERSION }, NAMED,
	    .words = "CN=good");
	TRY("an address", GOOD, .hostname = SERVER_ADDRESS, .ca = lab.ca_path, .words = "CN=good");
	TRY("with a list that has nobody", GOOD, NAMED, .crl = lab.crl_empty_path,
	    .words = "CN=good");
	TRY("a chain", .server = { .identity = &lab.by_middle, .chain = &lab.middle }, NAMED,
	    .words = "CN=by-middle");
	TRY("a self-signed one that is trusted itself", .server = { .identity = &lab.ca },
	    .ca = lab.ca_path, .no_verify = true, .words = "CN=Test CA");
	TRY("whoever it is", .server = { .identity = &lab.expired }, .hostname = "x.example",
	    .no_verify = true, .words = "CN=old");
}

static void wrong_names(void **state)
{
	(void)state;
	TRY("another name", GOOD, .hostname = "other.example", .ca = lab.ca_path, .error = EACCES,
	    .words = SERVER_NAME ", " SERVER_ADDRESS, .more_words = "other.example");
	TRY("another address", GOOD, .hostname = "10.9.9.9", .ca = lab.ca_path, .error = EACCES,
	    .words = SERVER_ADDRESS, .more_words = "10.9.9.9");
	TRY("an address as a DNS name", .server = { .identity = &lab.address_as_name },
	    .hostname = SERVER_ADDRESS, .ca = lab.ca_path, .error = EACCES,
	    .words =
		    "is for the DNS name " SERVER_ADDRESS ", not for the IP address " SERVER_ADDRESS
		    ", which has to stand in its subjectAltName as IP:" SERVER_ADDRESS);
	TRY("an IPv6 address", GOOD, .hostname = "::1", .ca = lab.ca_path, .error = EACCES,
	    .words = SERVER_NAME, .more_words = "::1");
	TRY("whatever is below a name", GOOD, .hostname = ".example", .ca = lab.ca_path,
	    .error = EINVAL, .words = "not a host name");
	TRY("no name at all", GOOD, .ca = lab.ca_path, .error = EINVAL, .words = "no name");
	TRY("a part of the name", GOOD, .hostname = "example", .ca = lab.ca_path, .error = EACCES,
	    .words = SERVER_NAME);
	TRY("the name, 1.2", .server = { .identity = &lab.good, .version = TLS1_2_VERSION },
	    .hostname = "other.example", .ca = lab.ca_path, .error = EACCES, .words = SERVER_NAME);
}

static void untrusted_certificates(void **state)
{
	(void)state;
	TRY("expired", .server = { .identity = &lab.expired }, NAMED, .error = EACCES,
	    .words = "expired on 20", .more_words = "CN=old");
	TRY("not yet valid", .server = { .identity = &lab.future }, NAMED, .error = EACCES,
	    .words = "not valid before 20", .more_words = "clock");
	TRY("unknown CA", GOOD, .hostname = SERVER_NAME, .ca = lab.other_ca_path, .error = EACCES,
	    .words = "CN=Test CA", .more_words = "--tls-ca");
	TRY("the system's CAs", GOOD, .hostname = SERVER_NAME, .error = EACCES,
	    .words = "CN=Test CA", .more_words = "--tls-ca");
	TRY("self-signed", .server = { .identity = &lab.lonely }, NAMED, .error = EACCES,
	    .words = "self-signed", .more_words = "CN=lonely");
	TRY("the chain lacks its middle", .server = { .identity = &lab.by_middle }, NAMED,
	    .error = EACCES, .words = "CN=Middle");
	TRY("revoked", GOOD, NAMED, .crl = lab.crl_path, .error = EACCES, .words = "revoked",
	    .more_words = "CN=good");
	TRY("a list of another CA", GOOD, NAMED, .crl = lab.crl_other_path, .error = EACCES,
	    .words = "--tls-crl");
}

static void client_certificates(void **state)
{
	const struct tls_peer_wish asks = { .identity = &lab.good,
					    .client_ca = &lab.ca,
					    .version = TLS1_2_VERSION };

	(void)state;
	TRY("given", .server = asks, NAMED, .cert = lab.cert_path, .key = lab.key_path,
	    .words = "CN=good");
	TRY("given, its key locked", .server = asks, NAMED, .cert = lab.cert_path,
	    .key = lab.locked_key_path, .passphrase = lab.passphrase_path, .words = "CN=good");
	TRY("missing", .server = asks, NAMED, .error = EPROTO, .words = "--tls-cert");
	TRY("of a CA that the server does not know",
	    .server = { .identity = &lab.good,
			.client_ca = &lab.other_ca,
			.version = TLS1_2_VERSION },
	    NAMED, .cert = lab.cert_path, .key = lab.key_path, .error = EACCES,
	    .words = "does not know the CA");
}

/* TLS 1.3: the server's refusal comes after our half of the handshake is done. */
static void client_certificate_missing_later(void **state)
{
	const struct attempt attempt = { "missing, 1.3",
					 .server = { .identity = &lab.good,
						     .client_ca = &lab.ca,
						     .version = TLS1_3_VERSION },
					 NAMED };
	char sentence[TLS_SENTENCE_BYTES] = "", byte;
	struct transport *transport;
	struct tls_options options;
	struct tls_peer peer;

	(void)state;
	attempt_options(&attempt, &options);
	tls_peer_start(&peer, &attempt.server);
	assert_int_equal(transport_tls_open(peer.client_fd, &options,
					    clock_now_ms() + TLS_PEER_HANDSHAKE_MS, &transport,
					    sentence),
			 0);
	tls_peer_join(&peer);
	assert_int_equal(
		transport->ops->read(transport, &byte, 1, clock_now_ms() + TLS_PEER_HANDSHAKE_MS),
		-EACCES);
	assert_true(transport_tls_failure(transport, sentence, sizeof(sentence)));
	assert_non_null(strstr(sentence, "--tls-cert"));
	transport_close(transport);
	tls_peer_free(&peer);
}

static void files_of_no_use(void **state)
{
	(void)state;
	TRY("a key of another", GOOD, NAMED, .cert = lab.cert_path, .key = lab.other_key_path,
	    .error = EINVAL, .words = lab.other_key_path, .more_words = "does not belong");
	TRY("no key", GOOD, NAMED, .cert = lab.cert_path, .key = lab.nowhere_path, .error = ENOENT,
	    .words = lab.nowhere_path, .more_words = "No such file");
	TRY("a key that is a folder", GOOD, NAMED, .cert = lab.cert_path, .key = lab.folder,
	    .error = EINVAL, .words = "key");
	TRY("a key of garbage", GOOD, NAMED, .cert = lab.cert_path, .key = lab.garbage_path,
	    .error = EINVAL, .words = lab.garbage_path);
	TRY("a locked key", GOOD, NAMED, .cert = lab.cert_path, .key = lab.locked_key_path,
	    .error = EINVAL, .words = "passphrase");
	TRY("the wrong passphrase", GOOD, NAMED, .cert = lab.cert_path, .key = lab.locked_key_path,
	    .passphrase = lab.wrong_passphrase_path, .error = EINVAL, .words = "passphrase right");
	TRY("no certificate", GOOD, NAMED, .cert = lab.nowhere_path, .key = lab.key_path,
	    .error = ENOENT, .words = "certificate", .more_words = lab.nowhere_path);
	TRY("no CA", GOOD, .hostname = SERVER_NAME, .ca = lab.nowhere_path, .error = ENOENT,
	    .words = lab.nowhere_path);
	TRY("a CA of garbage", GOOD, .hostname = SERVER_NAME, .ca = lab.garbage_path,
	    .error = EINVAL, .words = lab.garbage_path);
	TRY("a list of garbage", GOOD, NAMED, .crl = lab.garbage_path, .error = EINVAL,
	    .words = "revocation list");
}

#define PSK_SERVER(v)                                                                              \
	.server = { .psk_identity = PSK_NAME, .psk = psk, .psk_bytes = sizeof(psk), .version = (v) }
#define PSK_CLIENT .psk_file = lab.psk_path, .psk_identity = PSK_NAME

static void shared_keys(void **state)
{
	(void)state;
	TRY("1.3", PSK_SERVER(TLS1_3_VERSION), PSK_CLIENT, .words = PSK_NAME,
	    .cipher = "TLS_AES_128_GCM_SHA256");
	TRY("1.2", PSK_SERVER(TLS1_2_VERSION), PSK_CLIENT, .words = PSK_NAME);
	TRY("a name to expect changes nothing", PSK_SERVER(0), PSK_CLIENT, .hostname = "x.example",
	    .words = PSK_NAME);
	TRY("an identity that the file has not", PSK_SERVER(0), .psk_file = lab.psk_path,
	    .psk_identity = "mallory", .error = ENOENT, .words = "mallory",
	    .more_words = lab.psk_path);
	TRY("a key of odd length", PSK_SERVER(0), .psk_file = lab.psk_path, .psk_identity = "odd",
	    .error = EINVAL, .words = "hex");
	TRY("no file", PSK_SERVER(0), .psk_file = lab.nowhere_path, .psk_identity = PSK_NAME,
	    .error = ENOENT, .words = lab.nowhere_path);
}

static void shared_keys_that_are_not(void **state)
{
	struct tls_peer_wish wrong = { .psk_identity = PSK_NAME,
				       .psk = other_psk,
				       .psk_bytes = sizeof(other_psk) };
	struct tls_peer_wish stranger = { .psk_identity = "bob",
					  .psk = psk,
					  .psk_bytes = sizeof(psk) };

	(void)state;
	wrong.version = stranger.version = TLS1_3_VERSION;
	TRY("wrong key, 1.3", .server = wrong, PSK_CLIENT, .error = EACCES, .words = "key differs");
	TRY("unknown, 1.3", .server = stranger, PSK_CLIENT, .error = EPROTO, .words = "--tls-psk");
	wrong.version = stranger.version = TLS1_2_VERSION;
	TRY("wrong key, 1.2", .server = wrong, PSK_CLIENT, .error = EACCES, .words = "key differs");
	TRY("unknown, 1.2", .server = stranger, PSK_CLIENT, .error = EACCES, .words = "--tls-user");
}

static void certificate_instead_of_psk(void **state)
{
	(void)state;
	TRY("1.3", .server = { .identity = &lab.good, .version = TLS1_3_VERSION }, PSK_CLIENT,
	    NAMED, .error = EACCES, .words = "certificate, not with the PSK");
	TRY("1.3, the server has both and does not know us",
	    .server = { .identity = &lab.good,
			.psk_identity = "bob",
			.psk = psk,
			.psk_bytes = sizeof(psk) },
	    PSK_CLIENT, .error = EACCES, .words = "certificate, not with the PSK");
	TRY("1.2", .server = { .identity = &lab.good, .version = TLS1_2_VERSION }, PSK_CLIENT,
	    .error = EPROTO, .words = "no common cipher");
}

static void no_tls(void **state)
{
	(void)state;
	TRY("TLS 1.1", .server = { .identity = &lab.good, .version = TLS1_1_VERSION }, NAMED,
	    .error = EPROTO, .words = "TLS version");
	TRY("TLS 1.1, unverified", .server = { .identity = &lab.good, .version = TLS1_1_VERSION },
	    .no_verify = true, .error = EPROTO, .words = "TLS version");
	TRY("NBD", .server = { .raw = "IHAVEOPTNBDMAGIC" }, NAMED, .error = EPROTO,
	    .words = "not TLS");
	TRY("HTTP", .server = { .raw = "HTTP/1.1 400 Bad Request\r\n\r\n" }, NAMED, .error = EPROTO,
	    .words = "not TLS");
	TRY("the end", .server = { .raw = "" }, NAMED, .error = ECONNRESET, .words = "TLS");
	TRY("half a record", .server = { .raw = "\x16\x03\x03\x20" }, NAMED, .error = ECONNRESET,
	    .words = "TLS");
}

static void stalls(void **state)
{
	struct attempt attempt = { "silent", .server = { .silent = true }, NAMED };
	char sentence[TLS_SENTENCE_BYTES] = "";
	struct transport *transport = NULL;
	struct tls_options options;
	struct tls_peer peer;
	int64_t started_ms, took_ms;

	(void)state;
	attempt_options(&attempt, &options);
	tls_peer_start(&peer, &attempt.server);
	tls_peer_join(&peer);
	started_ms = clock_now_ms();
	assert_int_equal(transport_tls_open(peer.client_fd, &options, started_ms + STALL_MS,
					    &transport, sentence),
			 -ETIMEDOUT);
	took_ms = clock_now_ms() - started_ms;
	if (took_ms < STALL_MS || took_ms > STALL_MS + STALL_LATE_MS)
		fail_msg("took %lld ms", (long long)took_ms);
	assert_non_null(strstr(sentence, "fell silent"));
	close(peer.client_fd);
	tls_peer_free(&peer);
}

/* No sentence may carry what a secret's file holds. */
static void sentences_keep_secrets(void **state)
{
	char sentence[TLS_SENTENCE_BYTES] = "";
	struct transport *transport;
	struct tls_options options = { .psk_identity = "odd" };
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	strcpy(options.psk_file, lab.psk_path);
	assert_int_equal(transport_tls_open(fds[0], &options, clock_now_ms(), &transport, sentence),
			 -EINVAL);
	assert_null(strstr(sentence, "123"));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_certificates),
		cmocka_unit_test(wrong_names),
		cmocka_unit_test(untrusted_certificates),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(client_certificate_missing_later),
		cmocka_unit_test(files_of_no_use),
		cmocka_unit_test(shared_keys),
		cmocka_unit_test(shared_keys_that_are_not),
		cmocka_unit_test(certificate_instead_of_psk),
		cmocka_unit_test(no_tls),
		cmocka_unit_test(stalls),
		cmocka_unit_test(sentences_keep_secrets),
	};

	return cmocka_run_group_tests(tests, lab_open, lab_close);
}
