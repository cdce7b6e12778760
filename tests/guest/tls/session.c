/* SPDX-License-Identifier: MIT */
#include "tests/guest/tls/session.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tests/guest/tls/options.h"

#define TINY_BYTES_MAX 64
/* Replies are flushed in between, so that a large one is under way while it is still written. */
#define FLUSH_BYTES (256u << 10)

static SSL_CTX *context;
static int keylog_fd = -1;

static void give_up(const char *what)
{
	fprintf(stderr, "tls_server: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* --- the context -------------------------------------------------------------------------------- */

/* One write for each line: connections share the file. */
static void keep_secret(const SSL *ssl, const char *line)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	(void)ssl;
	if (n < 0 || n >= (int)sizeof(text) || write(keylog_fd, text, (size_t)n) != n)
		give_up("the key log cannot be written");
}

static void count_updates(int write, int version, int type, const void *bytes, size_t count,
			  SSL *ssl, void *argument)
{
	struct session *session = argument;

	(void)version;
	(void)ssl;
	if (write)
		return;
	if (type == SSL3_RT_HEADER && ++session->records_of_key > session->records_of_key_max)
		session->records_of_key_max = session->records_of_key;
	if (type == SSL3_RT_HANDSHAKE && count > 0 &&
	    *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE) {
		session->updates_heard++;
		session->records_of_key = 0;
	}
}

static void set_cipher(void)
{
	int good = 1;

	if (options.cipher && options.version == TLS1_2_VERSION)
		good = SSL_CTX_set_cipher_list(context, options.cipher);
	else if (options.cipher)
		good = SSL_CTX_set_ciphersuites(context, options.cipher);
	if (good != 1)
		give_up("no such cipher");
}

void sessions_prepare(void)
{
	context = SSL_CTX_new(TLS_server_method());
	if (!context)
		give_up("OpenSSL");
	SSL_CTX_set_min_proto_version(context, options.version ? options.version : TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(context, options.version);
	SSL_CTX_set_session_id_context(context, (const unsigned char *)"tests", 5);
	set_cipher();
	if (SSL_CTX_use_certificate_chain_file(context, options.cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, options.key, SSL_FILETYPE_PEM) != 1)
		give_up("the certificate or its key");
	if (options.client_ca) {
		if (SSL_CTX_load_verify_file(context, options.client_ca) != 1)
			give_up("the clients' CA");
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   NULL);
	}
	if (options.padding > 1)
		SSL_CTX_set_block_padding(context, options.padding);
	if (!options.keylog)
		return;
	keylog_fd = open(options.keylog, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (keylog_fd < 0)
		give_up("the key log");
	SSL_CTX_set_keylog_callback(context, keep_secret);
}

/* --- one session -------------------------------------------------------------------------------- */

/* After a call of OpenSSL that did not succeed: what it wrote goes out, what it waits for comes in.
 * false: it will not succeed. */
static bool go_on(struct session *session, int result)
{
	int error = SSL_get_error(session->ssl, result);

	if (!wire_flush(&session->wire))
		return false;
	return error == SSL_ERROR_WANT_READ && wire_feed(&session->wire);
}

bool session_open(struct session *session, int fd, uint32_t number)
{
	int ret;

	memset(session, 0, sizeof(*session));
	session->ssl = SSL_new(context);
	if (!session->ssl)
		give_up("no session");
	SSL_set_accept_state(session->ssl);
	SSL_set_msg_callback(session->ssl, count_updates);
	SSL_set_msg_callback_arg(session->ssl, session);
	wire_open(&session->wire, session->ssl, fd, options.seed + number);
	while ((ret = SSL_accept(session->ssl)) != 1) {
		if (go_on(session, ret))
			continue;
		printf("handshake failed: %s\n",
		       ERR_reason_error_string(ERR_peek_last_error()) ?: "no reason");
		ERR_clear_error();
		return false;
	}
	return wire_flush(&session->wire);
}

void session_arm(struct session *session, uint32_t number)
{
	session->records_of_key = 0;
	session->wire.armed = true;
	session->wire.faulty = options.fault && number >= options.fault_from;
}

bool session_receive(struct session *session, void *place, size_t count)
{
	uint8_t *next = place;

	while (count > 0) {
		size_t n = 0;
		int ret = SSL_read_ex(session->ssl, next, count, &n);

		next += n;
		count -= n;
		if (ret != 1 && !go_on(session, ret))
			return false;
	}
	return true;
}

static bool by_chance(struct session *session, uint32_t one_of)
{
	return one_of && wire_random(&session->wire, one_of) == 0;
}

static bool update_key(struct session *session, bool asks)
{
	session->records_since_update = 0;
	session->updates_sent++;
	session->updates_asked += asks;
	return SSL_key_update(session->ssl, asks ? SSL_KEY_UPDATE_REQUESTED
						 : SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
	       SSL_do_handshake(session->ssl) == 1;
}

/* TLS 1.2: whatever the client makes of it, we go on as if it had not been. */
static void ask_for_hello(struct session *session)
{
	struct wire *wire = &session->wire;

	if (options.fault != FAULT_HELLO_REQUEST || !wire->faulty ||
	    wire->records < options.fault_at)
		return;
	wire->faulty = false;
	printf("fault: HelloRequest\n");
	SSL_renegotiate(session->ssl);
	SSL_do_handshake(session->ssl);
}

/* What a server may say in front of any record. */
static bool say_more(struct session *session)
{
	if (!session->wire.armed)
		return true;
	ask_for_hello(session);
	if (SSL_version(session->ssl) != TLS1_3_VERSION)
		return true;
	if (by_chance(session, options.tickets)) {
		session->tickets++;
		if (SSL_new_session_ticket(session->ssl) != 1 ||
		    SSL_do_handshake(session->ssl) != 1)
			return false;
	}
	if (by_chance(session, options.key_updates) &&
	    !update_key(session, wire_random(&session->wire, 2)))
		return false;
	if (options.rekey && ++session->records_since_update >= options.rekey)
		return update_key(session, true);
	return true;
}

static size_t record_size(struct session *session)
{
	uint32_t kind = options.shape == SHAPE_MIXED ? wire_random(&session->wire, 4) : 3;

	if (options.shape == SHAPE_TINY || kind == 0)
		return 1 + wire_random(&session->wire, TINY_BYTES_MAX);
	if (kind == 1)
		return 1 + wire_random(&session->wire, SSL3_RT_MAX_PLAIN_LENGTH);
	return SSL3_RT_MAX_PLAIN_LENGTH;
}

bool session_send(struct session *session, const uint8_t *bytes, size_t count)
{
	size_t unsent = 0, n;

	for (; count > 0; bytes += n, count -= n) {
		n = record_size(session);
		if (n > count)
			n = count;
		if (!say_more(session) || SSL_write(session->ssl, bytes, (int)n) != (int)n)
			return false;
		unsent += n;
		if (unsent < FLUSH_BYTES)
			continue;
		if (!wire_flush(&session->wire))
			return false;
		unsent = 0;
	}
	return wire_flush(&session->wire);
}

void session_close(struct session *session)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (!session->wire.over) {
		SSL_shutdown(session->ssl);
		wire_flush(&session->wire);
	}
	printf("end: records=%llu tickets=%u updates_sent=%u updates_asked=%u updates_heard=%u "
	       "records_of_key_max=%u error=%s\n",
	       (unsigned long long)session->wire.records, session->tickets, session->updates_sent,
	       session->updates_asked, session->updates_heard, session->records_of_key_max,
	       reason ? reason : "-");
	ERR_clear_error();
	SSL_free(session->ssl);
}
