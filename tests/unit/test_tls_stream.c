/* SPDX-License-Identifier: MIT */
/*
 * Goal: after the handshake, open() and seal() carry exactly the bytes that were meant, however the
 * stream is cut and whatever TLS says between them; damage ends in an error, never in a wrong byte.
 * Method: an OpenSSL server whose handshake ran over a socketpair is put on memory buffers, so that
 * the test holds every byte of both directions and cuts, repeats, flips or drops what it likes. The
 * seed of what is random is printed; UBLK_NBD_SEED sets it.
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

#define STREAM_BYTES  (1u << 20)
#define PLAIN_BYTES   (64u << 10)
#define RECORD_BYTES  16384
#define RANDOM_ROUNDS 400

static struct identity server_identity;
static uint8_t wire[STREAM_BYTES], opened[STREAM_BYTES], plain[STREAM_BYTES];

struct link {
	struct transport *client;
	struct tls_peer peer;
	BIO *to_server, *to_client; /* the server's memory buffers */
};

/* --- setting up --------------------------------------------------------------------------------- */

static int group_open(void **state)
{
	const char *text = getenv("UBLK_NBD_SEED");
	unsigned int seed = text ? (unsigned int)strtoul(text, NULL, 0) : (unsigned int)time(NULL);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	print_message("seed %u\n", seed);
	srandom(seed);
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)random();
	server_identity = identity_make(&(struct identity_wish){ .name = "server" }, NULL);
	return 0;
}

static int group_close(void **state)
{
	(void)state;
	identity_free(&server_identity);
	return 0;
}

/* Agreed, detached, and the server on memory; what it had sent already (tickets) is in to_client. */
static void link_open(struct link *link, int version, uint32_t rekey_records)
{
	const struct tls_options options = { .no_verify = true, .rekey_records = rekey_records };
	const struct tls_peer_wish wish = { .identity = &server_identity, .version = version };
	char sentence[TLS_SENTENCE_BYTES] = "";
	ssize_t n;

	tls_peer_start(&link->peer, &wish);
	if (transport_tls_open(link->peer.client_fd, &options,
			       clock_now_ms() + TLS_PEER_HANDSHAKE_MS, &link->client, sentence))
		fail_msg("%s", sentence);
	tls_peer_join(&link->peer);
	assert_true(link->peer.accepted);
	assert_int_equal(link->client->ops->detach(link->client), 0);
	assert_false(link->client->direct_tx || link->client->direct_rx);
	link->to_server = BIO_new(BIO_s_mem());
	link->to_client = BIO_new(BIO_s_mem());
	while ((n = recv(link->peer.client_fd, wire, sizeof(wire), MSG_DONTWAIT)) > 0)
		assert_int_equal(BIO_write(link->to_client, wire, (int)n), n);
	SSL_set_bio(link->peer.ssl, link->to_server, link->to_client);
}

static void link_close(struct link *link)
{
	transport_close(link->client);
	tls_peer_free(&link->peer);
}

/* --- moving bytes ------------------------------------------------------------------------------- */

static void serve(struct link *link, const uint8_t *bytes, size_t count)
{
	assert_int_equal(SSL_write(link->peer.ssl, bytes, (int)count), count);
}

/* What the server has for the client, in wire. */
static size_t take_wire(struct link *link)
{
	int n = BIO_read(link->to_client, wire, sizeof(wire));

	return n > 0 ? (size_t)n : 0;
}

/* Gives bytes[0..count) to the client in pieces of at most step; returns the opened count, or the
 * first error, then with what had been opened in *before. */
static ssize_t give(struct link *link, const uint8_t *bytes, size_t count, size_t step,
		    size_t *before)
{
	size_t used = 0, piece;

	for (size_t at = 0; at < count; at += piece) {
		ssize_t n;

		piece = count - at < step ? count - at : step;
		n = link->client->ops->open(link->client, bytes + at, piece, opened + used,
					    piece + 2 * TLS_RECORD_BYTES_MAX);
		*before = used;
		if (n < 0)
			return n;
		used += (size_t)n;
	}
	*before = used;
	return (ssize_t)used;
}

static void expect_opened(struct link *link, const uint8_t *expected, size_t count, size_t step)
{
	size_t bytes = take_wire(link), before;

	assert_int_equal(give(link, wire, bytes, step, &before), count);
	assert_memory_equal(opened, expected, count);
}

/* Seals count bytes of plain from at, and the server must read just these. */
static void expect_sealed(struct link *link, size_t at, size_t count)
{
	static uint8_t sealed[TLS_SEALED_BYTES_MAX(STREAM_BYTES)];
	ssize_t n = link->client->ops->seal(link->client, plain + at, count, sealed,
					    TLS_SEALED_BYTES_MAX(count));
	size_t got = 0;

	assert_true(n > (ssize_t)count);
	assert_int_equal(BIO_write(link->to_server, sealed, (int)n), n);
	while (got < count) {
		int ret = SSL_read(link->peer.ssl, opened + got, (int)(count - got));

		assert_true(ret > 0);
		got += (size_t)ret;
	}
	assert_memory_equal(opened, plain + at, count);
	assert_int_equal(BIO_pending(link->to_server), 0);
}

/* --- good streams ------------------------------------------------------------------------------- */

static void split_everywhere(int version)
{
	struct link link;
	size_t before;

	link_open(&link, version, 0);
	serve(&link, plain, 100);
	expect_opened(&link, plain, 100, 1);
	for (size_t split = 1;; split++) {
		size_t bytes, count = 40;
		ssize_t first, second;

		serve(&link, plain + split, count / 2);
		serve(&link, plain + split + count / 2, count / 2);
		bytes = take_wire(&link);
		if (split >= bytes)
			break;
		first = give(&link, wire, split, split, &before);
		assert_true(first >= 0);
		assert_memory_equal(opened, plain + split, first);
		second = give(&link, wire + split, bytes - split, bytes, &before);
		assert_int_equal(first + second, count);
		assert_memory_equal(opened, plain + split + first, second);
	}
	link_close(&link);
}

static void a_stream_split_at_every_byte(void **state)
{
	(void)state;
	split_everywhere(TLS1_3_VERSION);
	split_everywhere(TLS1_2_VERSION);
}

static void tiny_and_maximal_records(void **state)
{
	struct link link;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	for (size_t i = 0; i < 300; i++)
		serve(&link, plain + i, 1);
	expect_opened(&link, plain, 300, 7);
	serve(&link, plain, 8 * RECORD_BYTES);
	expect_opened(&link, plain, 8 * RECORD_BYTES, 100001);
	serve(&link, plain, 2 * RECORD_BYTES);
	expect_opened(&link, plain, 2 * RECORD_BYTES, 1);
	SSL_set_split_send_fragment(link.peer.ssl, 512);
	serve(&link, plain, PLAIN_BYTES);
	expect_opened(&link, plain, PLAIN_BYTES, 1448);
	link_close(&link);
}

/* One random thing that a server may say between its data. */
static void say_something(struct link *link)
{
	switch (random() % 4) {
	case 0:
		assert_int_equal(SSL_new_session_ticket(link->peer.ssl), 1);
		break;
	case 1:
		assert_int_equal(SSL_key_update(link->peer.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		break;
	case 2:
		assert_int_equal(SSL_key_update(link->peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		break;
	default:
		return;
	}
	assert_int_equal(SSL_do_handshake(link->peer.ssl), 1);
}

static void tickets_and_key_updates(void **state)
{
	struct link link;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 50);
	for (int round = 0; round < RANDOM_ROUNDS; round++) {
		size_t count = 1 + (size_t)random() % (2 * RECORD_BYTES);
		size_t at = (size_t)random() % (sizeof(plain) - 4 * RECORD_BYTES);

		say_something(&link);
		serve(&link, plain + at, count);
		say_something(&link);
		serve(&link, plain + at + count, 5);
		expect_opened(&link, plain + at, count + 5, 1 + (size_t)random() % RECORD_BYTES);
		if (random() % 2)
			expect_sealed(&link, at, 1 + (size_t)random() % (3 * RECORD_BYTES));
	}
	link_close(&link);
}

/* A server whose requests for new keys nobody answers, since there is nothing to send: they end in
 * an error at some point, and until then every byte is right. */
static void key_updates_without_end(void **state)
{
	struct link link;
	ssize_t n = 0;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	for (int i = 0; i < 1000 && n >= 0; i++) {
		size_t bytes, before;

		SSL_key_update(link.peer.ssl, SSL_KEY_UPDATE_REQUESTED);
		SSL_do_handshake(link.peer.ssl);
		serve(&link, plain + i, 10);
		bytes = take_wire(&link);
		n = give(&link, wire, bytes, bytes, &before);
		assert_memory_equal(opened, plain + i, before);
		assert_true(n == 10 || n == -EBADMSG);
	}
	assert_int_equal(n, -EBADMSG);
	link_close(&link);
}

/* During a long answer a server may ask many times: all are answered before what is sent next. */
static void many_key_updates_in_one_answer(void **state)
{
	struct link link;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	for (size_t i = 0; i < 200; i++) {
		assert_int_equal(SSL_key_update(link.peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		serve(&link, plain + i, 10);
		expect_opened(&link, plain + i, 10, STREAM_BYTES);
	}
	expect_sealed(&link, 0, PLAIN_BYTES);
	link_close(&link);
}

static void sealed_bytes_reach_the_server(void **state)
{
	static const size_t sizes[] = {
		1, 2, 28, 4096, 16383, 16384, 16385, 65536, STREAM_BYTES / 2, STREAM_BYTES
	};
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct link link;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		link_open(&link, versions[v], 0);
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			expect_sealed(&link, 0, sizes[i]);
		link_close(&link);
	}
}

static int key_updates_seen;

static void count_key_updates(int write, int version, int type, const void *bytes, size_t count,
			      SSL *ssl, void *context)
{
	(void)version;
	(void)ssl;
	(void)context;
	if (!write && type == SSL3_RT_HANDSHAKE && count > 0 &&
	    *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		key_updates_seen++;
}

static void own_keys_are_renewed(void **state)
{
	struct link link;

	(void)state;
	key_updates_seen = 0;
	link_open(&link, TLS1_3_VERSION, 10);
	SSL_set_msg_callback(link.peer.ssl, count_key_updates);
	for (size_t i = 0; i < 100; i++)
		expect_sealed(&link, i, 100);
	/* The KeyUpdate is a key's tenth record: the first with the 10th write, the next each 9 later. */
	assert_int_equal(key_updates_seen, 11);
	expect_sealed(&link, 0, 20 * RECORD_BYTES);
	expect_sealed(&link, 0, 1);
	assert_in_range(key_updates_seen, 12, 13);
	link_close(&link);
}

static void seal_keeps_to_its_room(void **state)
{
	uint8_t out[64];
	struct link link;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	memset(out, 0x5a, sizeof(out));
	assert_int_equal(link.client->ops->seal(link.client, plain, 100, out, 40), -ENOSPC);
	for (size_t i = 40; i < sizeof(out); i++)
		assert_int_equal(out[i], 0x5a);
	link_close(&link);
}

/* --- damage ------------------------------------------------------------------------------------- */

/* Every byte of a record, flipped: nothing of that record comes out, and nothing ever after. */
static void flip_everywhere(int version)
{
	size_t bytes = 2, before;
	struct link link;

	for (size_t at = 0; at < bytes; at++) {
		ssize_t n;

		link_open(&link, version, 0);
		serve(&link, plain, 1);
		expect_opened(&link, plain, 1, STREAM_BYTES);
		serve(&link, plain, 10);
		bytes = take_wire(&link);
		wire[at] ^= 1u << (random() % 8);
		serve(&link, plain, 10);
		bytes += (size_t)BIO_read(link.to_client, wire + bytes, 1000);
		n = give(&link, wire, bytes, bytes, &before);
		/* A length that became larger waits for more, which is the deadline's to end. */
		if (n != -EBADMSG && !(n == 0 && (at == 3 || at == 4)))
			fail_msg("byte %zu of %zu flipped: %zd", at, bytes, n);
		assert_int_equal(before, 0);
		if (n < 0)
			assert_true(link.client->ops->open(link.client, wire, 1, opened, 40000) <
				    0);
		link_close(&link);
		bytes /= 2;
	}
}

static void a_flipped_byte(void **state)
{
	(void)state;
	flip_everywhere(TLS1_3_VERSION);
	flip_everywhere(TLS1_2_VERSION);
}

static void a_replayed_record(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct link link;
	size_t bytes, before;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		link_open(&link, versions[v], 0);
		serve(&link, plain, 1);
		expect_opened(&link, plain, 1, STREAM_BYTES);
		serve(&link, plain, 100);
		bytes = take_wire(&link);
		assert_int_equal(give(&link, wire, bytes, bytes, &before), 100);
		assert_int_equal(give(&link, wire, bytes, bytes, &before), -EBADMSG);
		assert_int_equal(before, 0);
		link_close(&link);
	}
}

static void a_dropped_record(void **state)
{
	struct link link;
	size_t bytes, before;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	serve(&link, plain, 1);
	expect_opened(&link, plain, 1, STREAM_BYTES);
	serve(&link, plain, 100);
	take_wire(&link);
	serve(&link, plain + 100, 100);
	bytes = take_wire(&link);
	assert_int_equal(give(&link, wire, bytes, bytes, &before), -EBADMSG);
	link_close(&link);
}

/* Of a record without its end nothing comes out; the socket's end is then the ring's to see. */
static void a_truncated_stream(void **state)
{
	struct link link;
	size_t bytes, before;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	serve(&link, plain, 1);
	expect_opened(&link, plain, 1, STREAM_BYTES);
	serve(&link, plain, 1000);
	bytes = take_wire(&link);
	assert_int_equal(give(&link, wire, bytes - 1, bytes, &before), 0);
	link_close(&link);
}

static void the_servers_farewell(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct link link;
	size_t bytes, before;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		link_open(&link, versions[v], 0);
		serve(&link, plain, 100);
		SSL_shutdown(link.peer.ssl);
		bytes = take_wire(&link);
		assert_int_equal(give(&link, wire, bytes, bytes, &before), 100);
		assert_memory_equal(opened, plain, 100);
		assert_int_equal(link.client->over, -ECONNRESET);
		assert_int_equal(link.client->ops->open(link.client, wire, 1, opened, 40000),
				 -ECONNRESET);
		link_close(&link);
		link_open(&link, versions[v], 0);
		assert_int_equal(link.client->over, 0);
		SSL_shutdown(link.peer.ssl);
		bytes = take_wire(&link);
		assert_int_equal(give(&link, wire, bytes, bytes, &before), -ECONNRESET);
		link_close(&link);
	}
}

/* What we sent was damaged on its way: the server says so, and it is not what arrived that is bad. */
static void the_servers_alert(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	uint8_t sealed[TLS_SEALED_BYTES_MAX(100)];
	struct link link;
	size_t bytes, before;
	ssize_t n;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		link_open(&link, versions[v], 0);
		serve(&link, plain, 100); /* what came before it counts */
		n = link.client->ops->seal(link.client, plain, 100, sealed, sizeof(sealed));
		assert_true(n > 100);
		sealed[n - 1] ^= 1;
		assert_int_equal(BIO_write(link.to_server, sealed, (int)n), n);
		assert_true(SSL_read(link.peer.ssl, opened, 100) <= 0);
		bytes = take_wire(&link);
		assert_true(bytes > 0);
		assert_int_equal(give(&link, wire, bytes, bytes, &before), 100);
		assert_memory_equal(opened, plain, 100);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(
				link.client->ops->open(link.client, wire, 1, opened, 40000),
				-ECONNABORTED);
		link_close(&link);
	}
}

static void our_farewell(void **state)
{
	struct link link;
	ssize_t n;

	(void)state;
	link_open(&link, TLS1_3_VERSION, 0);
	transport_close(link.client);
	link.client = NULL;
	n = recv(link.peer.fd, wire, sizeof(wire), MSG_DONTWAIT);
	assert_true(n > 0);
	assert_int_equal(BIO_write(link.to_server, wire, (int)n), n);
	assert_int_equal(SSL_read(link.peer.ssl, opened, 10), 0);
	assert_int_equal(SSL_get_error(link.peer.ssl, 0), SSL_ERROR_ZERO_RETURN);
	link_close(&link);
}

/* TLS 1.2 could renegotiate; we never do. */
static void renegotiation_is_refused(void **state)
{
	struct link link;
	size_t bytes, before;

	(void)state;
	link_open(&link, TLS1_2_VERSION, 0);
	assert_int_equal(SSL_renegotiate(link.peer.ssl), 1);
	SSL_do_handshake(link.peer.ssl);
	bytes = take_wire(&link);
	assert_true(bytes > 0);
	assert_true(give(&link, wire, bytes, bytes, &before) <= 0);
	assert_int_equal(before, 0);
	link_close(&link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_split_at_every_byte),
		cmocka_unit_test(tiny_and_maximal_records),
		cmocka_unit_test(tickets_and_key_updates),
		cmocka_unit_test(key_updates_without_end),
		cmocka_unit_test(many_key_updates_in_one_answer),
		cmocka_unit_test(sealed_bytes_reach_the_server),
		cmocka_unit_test(own_keys_are_renewed),
		cmocka_unit_test(seal_keeps_to_its_room),
		cmocka_unit_test(a_flipped_byte),
		cmocka_unit_test(a_replayed_record),
		cmocka_unit_test(a_dropped_record),
		cmocka_unit_test(a_truncated_stream),
		cmocka_unit_test(the_servers_farewell),
		cmocka_unit_test(the_servers_alert),
		cmocka_unit_test(our_farewell),
		cmocka_unit_test(renegotiation_is_refused),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
