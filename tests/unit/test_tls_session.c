/* SPDX-License-Identifier: MIT */
/*
 * Goal: a session is resumed where a server gave tickets and all is as it was, and nowhere else: never
 * where a certificate would have been refused, or a file has changed.
 * Method: pairs of handshakes with OpenSSL servers that take each other's tickets, so that only the
 * client's own judgement keeps it from resuming.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/tls_peer.h"
#include "tls/clock.h"

#define SERVER_NAME "disk.example"
#define SHORT_S	    3
#define COARSE_US   20000 /* the clock of a file's times is not coarser than this */

static struct {
	char folder[64];
	struct identity ca, good, lonely, client;
	char ca_path[TLS_PATH_BYTES_MAX], crl_path[TLS_PATH_BYTES_MAX];
	char cert_path[TLS_PATH_BYTES_MAX], key_path[TLS_PATH_BYTES_MAX];
	char psk_path[TLS_PATH_BYTES_MAX];
} lab;

static const uint8_t psk[] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
			       0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static void write_files(void)
{
	pem_write_certificate(lab.folder, "ca", lab.ca.certificate, lab.ca_path);
	pem_write_crl(lab.folder, "crl", &lab.ca, NULL, lab.crl_path);
	pem_write_certificate(lab.folder, "cert", lab.client.certificate, lab.cert_path);
	pem_write_key(lab.folder, "key", lab.client.key, NULL, lab.key_path);
	text_write(lab.folder, "psk", "alice:00112233445566778899aabbccddeeff\n", lab.psk_path);
}

static int lab_open(void **state)
{
	const char *names = "DNS:" SERVER_NAME;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	strcpy(lab.folder, "/tmp/test_tls_session.XXXXXX");
	assert_non_null(mkdtemp(lab.folder));
	lab.ca = identity_make(&(struct identity_wish){ .name = "Test CA", .is_ca = true }, NULL);
	lab.good = identity_make(&(struct identity_wish){ "good", names, 0, 0, false }, &lab.ca);
	lab.lonely = identity_make(&(struct identity_wish){ "lonely", names, 0, 0, false }, NULL);
	lab.client = identity_make(&(struct identity_wish){ .name = "client" }, &lab.ca);
	write_files();
	return 0;
}

static int lab_close(void **state)
{
	static const char *const files[] = { "ca", "crl", "cert", "key", "psk" };
	char path[200];

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", lab.folder, files[i]);
		unlink(path);
	}
	identity_free(&lab.ca);
	identity_free(&lab.good);
	identity_free(&lab.lonely);
	identity_free(&lab.client);
	return rmdir(lab.folder);
}

static struct tls_options usual(void)
{
	struct tls_options options = { .hostname = SERVER_NAME };

	strcpy(options.ca, lab.ca_path);
	return options;
}

/* One handshake; its tickets are read. *resumed; or the error. */
static int shake(const struct tls_peer_wish *server, const struct tls_options *options,
		 bool *resumed)
{
	char sentence[TLS_SENTENCE_BYTES] = "", byte;
	struct transport *transport = NULL;
	struct tls_peer peer;
	int ret;

	tls_peer_start(&peer, server);
	ret = transport_tls_open(peer.client_fd, options, clock_now_ms() + TLS_PEER_HANDSHAKE_MS,
				 &transport, sentence);
	if (ret < 0)
		close(peer.client_fd);
	tls_peer_join(&peer);
	if (ret == 0) {
		const struct tls_description *tls = transport_tls_describe(transport);

		*resumed = tls->resumed;
		assert_true(peer.accepted);
		assert_int_equal(tls->resumed, SSL_session_reused(peer.ssl) && !peer.wish.psk);
		assert_int_equal(SSL_write(peer.ssl, "x", 1), 1);
		assert_int_equal(transport->ops->read(transport, &byte, 1,
						      clock_now_ms() + TLS_PEER_HANDSHAKE_MS),
				 1);
	}
	transport_close(transport);
	tls_peer_free(&peer);
	return ret;
}

static void expect(const struct tls_peer_wish *server, const struct tls_options *options,
		   bool expected)
{
	bool resumed = !expected;

	assert_int_equal(shake(server, options, &resumed), 0);
	assert_int_equal(resumed, expected);
}

/* Each test has a key of its own, so that sessions of others are of no use to it. */
static struct tls_peer_wish server_with(const struct identity *identity, uint8_t ticket_key)
{
	return (struct tls_peer_wish){ .identity = identity, .ticket_key = ticket_key };
}

static void where_all_is_as_it_was(void **state)
{
	struct tls_peer_wish server = server_with(&lab.good, 1);
	struct tls_peer_wish other = server_with(&lab.good, 2);
	struct tls_options options = usual();

	(void)state;
	expect(&server, &options, false);
	for (int i = 0; i < 5; i++)
		expect(&server, &options, true);
	/* One that cannot read the tickets is spoken to as if there were none. */
	expect(&other, &options, false);
}

static void a_client_certificate(void **state)
{
	struct tls_peer_wish server = server_with(&lab.good, 3);
	struct tls_options options = usual();

	(void)state;
	server.client_ca = &lab.ca;
	strcpy(options.cert, lab.cert_path);
	strcpy(options.key, lab.key_path);
	expect(&server, &options, false);
	expect(&server, &options, true);
	usleep(COARSE_US);
	pem_write_key(lab.folder, "key", lab.client.key, NULL, lab.key_path);
	expect(&server, &options, false);
	expect(&server, &options, true);
	/* Without a certificate of ours the server must not take us for whom it knew. */
	*options.cert = *options.key = '\0';
	server.client_ca = NULL;
	expect(&server, &options, false);
}

static void files_that_changed(void **state)
{
	struct tls_peer_wish server = server_with(&lab.good, 4);
	struct tls_options options = usual();

	(void)state;
	expect(&server, &options, false);
	expect(&server, &options, true);
	usleep(COARSE_US);
	pem_write_certificate(lab.folder, "ca", lab.ca.certificate, lab.ca_path);
	expect(&server, &options, false);
	expect(&server, &options, true);
	pem_write_certificate(lab.folder, "ca", lab.lonely.certificate, lab.ca_path);
	assert_int_equal(shake(&server, &options, &(bool){ false }), -EACCES);
	pem_write_certificate(lab.folder, "ca", lab.ca.certificate, lab.ca_path);
}

static void another_name(void **state)
{
	struct tls_peer_wish server = server_with(&lab.good, 5);
	struct tls_options options = usual();

	(void)state;
	expect(&server, &options, false);
	strcpy(options.hostname, "tape.example");
	assert_int_equal(shake(&server, &options, &(bool){ false }), -EACCES);
}

/* What was not verified never becomes verified. */
static void nothing_to_stand_on(void **state)
{
	struct tls_peer_wish server = server_with(&lab.lonely, 6);
	struct tls_options options = usual();

	(void)state;
	options.no_verify = true;
	expect(&server, &options, false);
	expect(&server, &options, false);
	options.no_verify = false;
	assert_int_equal(shake(&server, &options, &(bool){ false }), -EACCES);
}

static void lists_and_shared_keys(void **state)
{
	struct tls_peer_wish server = server_with(&lab.good, 7);
	struct tls_options options = usual(), shared = { .psk_identity = "alice" };

	(void)state;
	strcpy(options.crl, lab.crl_path);
	expect(&server, &options, false);
	expect(&server, &options, false);
	server = (struct tls_peer_wish){
		.psk_identity = "alice", .psk = psk, .psk_bytes = sizeof(psk), .ticket_key = 7
	};
	strcpy(shared.psk_file, lab.psk_path);
	expect(&server, &shared, false);
	expect(&server, &shared, false);
}

/* TLS 1.2's tickets would need the secret of the stream itself to be kept. */
static void not_with_1_2(void **state)
{
	struct tls_peer_wish server = server_with(&lab.good, 8);
	struct tls_options options = usual();

	(void)state;
	server.version = TLS1_2_VERSION;
	expect(&server, &options, false);
	expect(&server, &options, false);
}

static void as_long_as_the_certificate(void **state)
{
	struct identity brief =
		identity_make(&(struct identity_wish){ "brief", "DNS:" SERVER_NAME, -TLS_PEER_DAY_S,
						       SHORT_S, false },
			      &lab.ca);
	struct tls_peer_wish server = server_with(&brief, 9);
	struct tls_options options = usual();

	(void)state;
	expect(&server, &options, false);
	expect(&server, &options, true);
	sleep(SHORT_S + 1);
	assert_int_equal(shake(&server, &options, &(bool){ false }), -EACCES);
	identity_free(&brief);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_all_is_as_it_was),
		cmocka_unit_test(a_client_certificate),
		cmocka_unit_test(files_that_changed),
		cmocka_unit_test(another_name),
		cmocka_unit_test(nothing_to_stand_on),
		cmocka_unit_test(lists_and_shared_keys),
		cmocka_unit_test(not_with_1_2),
		cmocka_unit_test(as_long_as_the_certificate),
	};

	return cmocka_run_group_tests(tests, lab_open, lab_close);
}
