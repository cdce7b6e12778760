/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever a TLS server sends, the handshake's driver ends in order, and the records' opener never
 * gives a byte that the server did not send, nor one out of its place.
 * Method: the input says what it is (the lowest two bits of its first byte).
 *   0: bytes of a server, as they are: the handshake must fail with a sentence, the socket stay ours
 *   1: a real server's handshake, cut into pieces; the next three bytes say which of its bytes are changed
 *   2, 3: a script for a stream over TLS 1.2 or 1.3: operations of two bytes each, that make the server
 *      write, send tickets and KeyUpdates, and that flip, drop, double, cut and invent bytes on the way.
 * One more bit says whether the client verifies the server, whose certificate is good.
 * The server's bytes are a function of their place in the stream, so that what comes out can be checked
 * whatever happened; a stream that nobody touched must come out whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/fuzz/must.h"

/* What tls_peer.h takes from cmocka. */
#define assert_non_null(value)	     must((value) != NULL)
#define assert_true(value)	     must(value)
#define assert_int_equal(one, other) must((one) == (other))

#include "tests/unit/tls_peer.h"
#include "tls/clock.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes);

enum {
	OPERATIONS_MAX = 64,
	UPDATES_MAX = 30, /* asked for while nothing is sent: the answers must have room */
	WIRE_BYTES = 1 << 20,
	HANDSHAKE_MS = 5000,
};

static struct identity server_identity;
static char ca_path[40];     /* of a file in memory */
static SSL_CTX *contexts[2]; /* TLS 1.2, TLS 1.3 */

/* The byte at a place of the server's stream, and of ours. */
static uint8_t byte_at(uint64_t place)
{
	place = (place + 1) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint8_t)(place >> 56 ^ place >> 29);
}

static void fill(uint8_t *bytes, size_t count, uint64_t place)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = byte_at(place + i);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct tls_peer_wish wish = { .identity = &server_identity };
	struct identity ca;
	FILE *file;

	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	ca = identity_make(&(struct identity_wish){ .name = "CA", .is_ca = true }, NULL);
	server_identity = identity_make(
		&(struct identity_wish){ .name = "server", .alternative_names = "DNS:*.disk.lab" },
		&ca);
	snprintf(ca_path, sizeof(ca_path), "/proc/self/fd/%d", memfd_create("ca", MFD_CLOEXEC));
	file = fopen(ca_path, "w");
	must(file && PEM_write_X509(file, ca.certificate) == 1 && fclose(file) == 0);
	identity_free(&ca);
	for (int i = 0; i < 2; i++) {
		wish.version = i ? TLS1_3_VERSION : TLS1_2_VERSION;
		contexts[i] = tls_peer_context(&wish);
	}
	return 0;
}

/* --- the handshake ------------------------------------------------------------------------------ */

/* Each name is asked for once: a session that one input left must not be resumed by the next. */
static int connect_on(int fd, bool verify, struct transport **client)
{
	static unsigned names;
	struct tls_options options = { .no_verify = !verify };
	char sentence[TLS_SENTENCE_BYTES] = "";
	int ret;

	if (verify) {
		snprintf(options.hostname, sizeof(options.hostname), "n%u.disk.lab", names++);
		snprintf(options.ca, sizeof(options.ca), "%s", ca_path);
	}
	ret = transport_tls_open(fd, &options, clock_now_ms() + HANDSHAKE_MS, client, sentence);
	must(ret <= 0 && memchr(sentence, '\0', sizeof(sentence)));
	if (ret < 0) {
		must(*sentence && fcntl(fd, F_GETFD) >= 0);
		must(ret != -ETIMEDOUT);
		close(fd);
	}
	return ret;
}

static void play_raw(bool verify, const uint8_t *bytes, size_t count)
{
	struct transport *client = NULL;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	must(send(fds[1], bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)count);
	shutdown(fds[1], SHUT_WR);
	must(connect_on(fds[0], verify, &client) < 0);
	close(fds[1]);
}

struct server {
	int fd;
	SSL *ssl;
	BIO *in, *out;
	const uint8_t *change; /* place (two bytes), bits to flip; NULL: honest */
	size_t piece, sent;
	bool verified; /* by the client */
	bool accepted;
	pthread_t thread;
};

/* What the server has written goes to the client in pieces, one byte of it changed. */
static bool pass_on(struct server *server)
{
	uint8_t *bytes;
	size_t count = (size_t)BIO_get_mem_data(server->out, &bytes), at = 0;
	size_t place = server->change ? (size_t)server->change[0] << 8 | server->change[1] : 0;
	bool good = true;
	bool changed = server->change && place >= server->sent && place < server->sent + count;

	if (changed)
		bytes[place - server->sent] ^= server->change[2];
	while (good && at < count) {
		size_t step = count - at < server->piece ? count - at : server->piece;

		good = send(server->fd, bytes + at, step, MSG_NOSIGNAL) == (ssize_t)step;
		at += step;
	}
	server->sent += count;
	BIO_reset(server->out);
	/* A length that became larger would be waited for, until the deadline. */
	if (changed)
		shutdown(server->fd, SHUT_WR);
	return good;
}

static void *accept_client(void *context)
{
	struct server *server = context;
	uint8_t bytes[4096];

	for (;;) {
		int ret = SSL_accept(server->ssl);
		ssize_t n;

		if (!pass_on(server) || ret == 1 ||
		    SSL_get_error(server->ssl, ret) != SSL_ERROR_WANT_READ) {
			server->accepted = ret == 1;
			break;
		}
		n = recv(server->fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			break;
		BIO_write(server->in, bytes, (int)n);
	}
	if (!server->accepted)
		shutdown(server->fd, SHUT_RDWR);
	ERR_clear_error();
	return NULL;
}

/* The client of a server whose handshake is over, or NULL. */
static struct transport *server_meet(struct server *server, SSL_CTX *context)
{
	struct transport *client = NULL;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	server->fd = fds[1];
	server->ssl = SSL_new(context);
	server->in = BIO_new(BIO_s_mem());
	server->out = BIO_new(BIO_s_mem());
	must(server->ssl && server->in && server->out);
	SSL_set_bio(server->ssl, server->in, server->out);
	must(pthread_create(&server->thread, NULL, accept_client, server) == 0);
	if (connect_on(fds[0], server->verified, &client) < 0)
		client = NULL;
	/* It waits for nothing any more: our side has said all, or is closed. */
	pthread_join(server->thread, NULL);
	return client;
}

static void server_leave(struct server *server)
{
	SSL_free(server->ssl);
	close(server->fd);
	ERR_clear_error();
}

static void play_handshake(const uint8_t *input, size_t count)
{
	/* Not byte by byte: the socket has no room for so many sends that the client does not wait for. */
	struct server server = { .piece = 7 + (size_t)(input[0] >> 3) * 40,
				 .verified = input[0] >> 7 };
	struct transport *client;

	if (count < 4)
		return;
	if (input[3])
		server.change = input + 1;
	client = server_meet(&server, contexts[input[0] >> 2 & 1]);
	must(client || server.change);
	must(server.accepted || server.change);
	transport_close(client);
	server_leave(&server);
}

/* --- the stream --------------------------------------------------------------------------------- */

struct stream {
	struct server server;
	struct transport *client;
	uint8_t *wire; /* what is on its way to the client */
	size_t wire_bytes;
	uint64_t written, opened, sealed;
	uint32_t updates;
	bool touched, closed, failed;
};

static void collect(struct stream *stream)
{
	int n = BIO_read(stream->server.out, stream->wire + stream->wire_bytes,
			 (int)(WIRE_BYTES - stream->wire_bytes));

	if (n > 0)
		stream->wire_bytes += (size_t)n;
}

static void server_write(struct stream *stream, size_t count)
{
	static uint8_t bytes[1 << 16];

	if (stream->closed || stream->wire_bytes > WIRE_BYTES / 2)
		return;
	fill(bytes, count, stream->written);
	must(SSL_write(stream->server.ssl, bytes, (int)count) == (int)count);
	stream->written += count;
	collect(stream);
}

static void server_say(struct stream *stream, int operation)
{
	SSL *ssl = stream->server.ssl;
	bool ticket = operation == 1, asks = operation == 3;

	if (stream->closed || SSL_version(ssl) != TLS1_3_VERSION || stream->updates >= UPDATES_MAX)
		return;
	stream->updates++;
	if (ticket)
		must(SSL_new_session_ticket(ssl) == 1);
	else
		must(SSL_key_update(ssl, asks ? SSL_KEY_UPDATE_REQUESTED
					      : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
	must(SSL_do_handshake(ssl) == 1);
	collect(stream);
}

/* All that is on the way, in pieces. What comes out must be what the server wrote, in order. */
static void deliver(struct stream *stream, size_t piece)
{
	static uint8_t opened[(1 << 16) + 2 * TLS_RECORD_BYTES_MAX];
	size_t at = 0, step;

	for (; at < stream->wire_bytes; at += step) {
		ssize_t n;

		step = stream->wire_bytes - at < piece ? stream->wire_bytes - at : piece;
		n = stream->client->ops->open(stream->client, stream->wire + at, step, opened,
					      step + 2 * TLS_RECORD_BYTES_MAX);
		must(n <= (ssize_t)(step + 2 * TLS_RECORD_BYTES_MAX));
		must(!stream->failed || n < 0);
		stream->failed = n < 0;
		must(stream->client->over != -ECONNRESET || stream->closed);
		must(!stream->failed || stream->touched || stream->closed);
		for (ssize_t i = 0; i < n; i++)
			must(opened[i] == byte_at(stream->opened + (uint64_t)i));
		stream->opened += n > 0 ? (uint64_t)n : 0;
	}
	stream->wire_bytes = 0;
	must(stream->opened <= stream->written);
	must(stream->touched || stream->opened == stream->written);
}

/* What we seal, the server must read, as long as nobody touched what it sent. */
static void seal(struct stream *stream, size_t count)
{
	static uint8_t bytes[1 << 16], sealed[TLS_SEALED_BYTES_MAX(1 << 16)];
	size_t got = 0;
	ssize_t n;

	if (stream->failed || stream->touched || stream->closed)
		return;
	fill(bytes, count, stream->sealed);
	n = stream->client->ops->seal(stream->client, bytes, count, sealed, sizeof(sealed));
	must(n > (ssize_t)count && n <= (ssize_t)TLS_SEALED_BYTES_MAX(count));
	must(BIO_write(stream->server.in, sealed, (int)n) == n);
	while (got < count) {
		int ret = SSL_read(stream->server.ssl, bytes, (int)(count - got));

		must(ret > 0);
		for (int i = 0; i < ret; i++)
			must(bytes[i] == byte_at(stream->sealed + got + (uint64_t)i));
		got += (size_t)ret;
	}
	stream->sealed += count;
	collect(stream);
}

/* The bytes of the first record on the way; 0: there is none. */
static size_t first_record(const struct stream *stream)
{
	size_t bytes;

	if (stream->wire_bytes < 5)
		return 0;
	bytes = 5 + ((size_t)stream->wire[3] << 8 | stream->wire[4]);
	return bytes <= stream->wire_bytes ? bytes : 0;
}

static void insert(struct stream *stream, size_t at, const uint8_t *bytes, size_t count)
{
	if (count == 0 || stream->wire_bytes + count > WIRE_BYTES)
		return;
	memmove(stream->wire + at + count, stream->wire + at, stream->wire_bytes - at);
	memcpy(stream->wire + at, bytes, count);
	stream->wire_bytes += count;
	stream->touched = true;
}

static void drop(struct stream *stream, size_t at, size_t count)
{
	if (count == 0)
		return;
	memmove(stream->wire + at, stream->wire + at + count, stream->wire_bytes - at - count);
	stream->wire_bytes -= count;
	stream->touched = true;
}

static void flip(struct stream *stream, uint8_t where)
{
	if (!stream->wire_bytes)
		return;
	stream->wire[where * stream->wire_bytes / 256] ^= (uint8_t)(1 << where % 8);
	stream->touched = true;
}

static void double_first(struct stream *stream)
{
	size_t bytes = first_record(stream);
	uint8_t *record = malloc(bytes + 1);

	must(record);
	memcpy(record, stream->wire, bytes);
	insert(stream, bytes, record, bytes);
	free(record);
}

static void server_close(struct stream *stream)
{
	if (stream->closed)
		return;
	SSL_shutdown(stream->server.ssl);
	stream->closed = true;
	collect(stream);
}

static void operate(struct stream *stream, uint8_t operation, uint8_t value)
{
	const uint8_t invented[] = { 0x17, 3, 3, 0, value, value, 0x16, 0x15, 2, 0 };
	size_t end = value < stream->wire_bytes ? value : stream->wire_bytes;

	switch (operation % 12) {
	case 0:
		server_write(stream, 1 + value);
		break;
	case 1:
	case 2:
	case 3:
		server_say(stream, operation % 12);
		break;
	case 4:
		deliver(stream, 1 + (size_t)value * value);
		break;
	case 5:
		flip(stream, value);
		break;
	case 6:
		drop(stream, 0, first_record(stream));
		break;
	case 7:
		double_first(stream);
		break;
	case 8:
		drop(stream, stream->wire_bytes - end, end);
		break;
	case 9:
		seal(stream, 1 + (size_t)value * 200);
		break;
	case 10:
		server_write(stream, 1 + (size_t)value * 256);
		break;
	case 11:
		if (value % 4 == 0)
			server_close(stream);
		else
			insert(stream, 0, invented, 1 + value % sizeof(invented));
		break;
	}
}

/* TLS 1.3's first tickets, which came behind the handshake, are on the way again. */
static void take_from_socket(struct stream *stream)
{
	ssize_t n = recv(stream->client->fd, stream->wire, WIRE_BYTES, MSG_DONTWAIT);

	if (n > 0)
		stream->wire_bytes = (size_t)n;
}

static void play_stream(const uint8_t *input, size_t count)
{
	static uint8_t wire[WIRE_BYTES];
	struct stream stream = { .wire = wire,
				 .server.piece = WIRE_BYTES,
				 .server.verified = input[0] >> 2 & 1 };

	stream.client = server_meet(&stream.server, contexts[input[0] & 1]);
	must(stream.client && stream.server.accepted);
	must(stream.client->ops->detach(stream.client) == 0);
	must(!stream.client->direct_rx && !stream.client->direct_tx);
	take_from_socket(&stream);
	for (size_t i = 1; i + 1 < count && i < 2 * OPERATIONS_MAX; i += 2)
		operate(&stream, input[i], input[i + 1]);
	deliver(&stream, 1 << 14);
	transport_close(stream.client);
	server_leave(&stream.server);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes)
{
	if (input_bytes < 1 || input_bytes > 1 << 16)
		return 0;
	switch (input[0] & 3) {
	case 0:
		play_raw(input[0] >> 2 & 1, input + 1, input_bytes - 1);
		break;
	case 1:
		play_handshake(input, input_bytes);
		break;
	default:
		play_stream(input, input_bytes);
	}
	return 0;
}
