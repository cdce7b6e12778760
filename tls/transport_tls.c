/* SPDX-License-Identifier: MIT */
/*
 * transport_tls.c - TLS on a connected socket. Two lives, as transport.h has them: while
 * connections are made, an SSL object on the socket with a deadline around each wait; then, for the
 * queue's ring, the same SSL object on two buffers (userspace TLS), or the socket itself (kernel
 * TLS), each direction on its own.
 *
 * Kernel TLS is left to OpenSSL and only asked for where the direction never has to change its
 * keys: TLS 1.2. OpenSSL 3 cannot rekey a TLS 1.3 direction once the kernel has it, and GnuTLS
 * renews its keys every 2^24 records. By itself (auto) only receiving is left to the kernel: that is
 * the cheaper one there, sending is not (tests/bench).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/buffer_bio.h"
#include "tls/clock.h"
#include "tls/context.h"
#include "tls/explain.h"
#include "tls/session.h"
#include "tls/tls.h"

struct tls_transport {
	struct transport base;
	SSL *ssl;
	struct tls_description description;
	struct tls_options options;
	struct tls_session_terms terms;	  /* the SSL object's application data */
	struct tls_buffers buffers;	  /* once detached */
	uint64_t records_sealed;	  /* under the present key */
	char failure[TLS_SENTENCE_BYTES]; /* "" while TLS itself has not failed */
};

static struct tls_transport *tls_of(const struct transport *transport)
{
	return (struct tls_transport *)transport;
}

static void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* --- on the socket ------------------------------------------------------------------------------- */

/* Waits for what the SSL call that returned ret wants. 0, -ETIMEDOUT, or -errno when it wants
 * nothing that waiting can give. */
static int wait_for(SSL *ssl, int ret, int64_t deadline_ms)
{
	int error = SSL_get_error(ssl, ret);
	struct pollfd fd = { .fd = SSL_get_fd(ssl),
			     .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN };
	int64_t left_ms;

	if (error == SSL_ERROR_SYSCALL)
		return errno ? -errno : -ECONNRESET;
	if (error == SSL_ERROR_ZERO_RETURN)
		return -ECONNRESET;
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return -EPROTO;
	do {
		left_ms = deadline_ms - clock_now_ms();
		if (left_ms <= 0)
			return -ETIMEDOUT;
	} while (poll(&fd, 1, left_ms > 60000 ? 60000 : (int)left_ms) <= 0);
	return 0;
}

/* Keeps the words for a failure of TLS itself; the error stays what it is, or becomes better. */
static int note_failure(struct tls_transport *tls, int error)
{
	struct tls_handshake handshake = { .options = &tls->options };

	if (error != -EPROTO)
		return error;
	return tls_explain(&handshake, tls->failure);
}

static ssize_t tls_read(struct transport *transport, void *buf, size_t len, int64_t deadline_ms)
{
	SSL *ssl = tls_of(transport)->ssl;

	for (;;) {
		size_t n = 0;
		int ret, wait;

		ERR_clear_error();
		errno = 0;
		ret = SSL_read_ex(ssl, buf, len, &n);
		if (ret == 1)
			return (ssize_t)n;
		if (SSL_get_error(ssl, ret) == SSL_ERROR_ZERO_RETURN)
			return 0;
		wait = wait_for(ssl, ret, deadline_ms);
		if (wait < 0)
			return note_failure(tls_of(transport), wait);
	}
}

static int tls_write(struct transport *transport, const void *buf, size_t len, int64_t deadline_ms)
{
	SSL *ssl = tls_of(transport)->ssl;

	for (;;) {
		size_t n = 0;
		int ret, wait;

		ERR_clear_error();
		errno = 0;
		ret = SSL_write_ex(ssl, buf, len, &n);
		if (ret == 1)
			return 0; /* all of it: partial writes are not enabled */
		wait = wait_for(ssl, ret, deadline_ms);
		if (wait < 0)
			return note_failure(tls_of(transport), wait);
	}
}

static void tls_close(struct transport *transport)
{
	struct tls_transport *tls = tls_of(transport);

	/* A word of farewell if the socket takes it at once; nobody waits for an answer. Where the
	 * ring had the stream, SSL_shutdown() leaves it behind in pending. */
	SSL_shutdown(tls->ssl);
	if (tls->buffers.pending_bytes)
		send(transport->fd, tls->buffers.pending, tls->buffers.pending_bytes,
		     MSG_DONTWAIT | MSG_NOSIGNAL);
	SSL_free(tls->ssl);
	ERR_clear_error();
	close(transport->fd);
	OPENSSL_cleanse(&tls->buffers, sizeof(tls->buffers));
	free(tls);
}

/* --- on buffers ---------------------------------------------------------------------------------- */

/* Renews the sending key in time; TLS 1.2 has no such thing. */
static void renew_key(struct tls_transport *tls, size_t len)
{
	size_t records = len / SSL3_RT_MAX_PLAIN_LENGTH + 1;

	tls->records_sealed += records;
	if (tls->records_sealed < tls->options.rekey_records ||
	    SSL_version(tls->ssl) != TLS1_3_VERSION)
		return;
	if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
		tls->records_sealed = records; /* these leave under the new one */
}

static ssize_t tls_seal(struct transport *transport, const void *buf, size_t len, void *out,
			size_t out_bytes)
{
	struct tls_transport *tls = tls_of(transport);
	struct tls_buffers *buffers = &tls->buffers;
	size_t n = 0;
	ssize_t result;

	if (out_bytes < buffers->pending_bytes)
		return -ENOSPC;
	memcpy(out, buffers->pending, buffers->pending_bytes);
	buffers->out = out;
	buffers->out_bytes = out_bytes;
	buffers->out_used_bytes = buffers->pending_bytes;
	buffers->pending_bytes = 0;
	renew_key(tls, len);
	ERR_clear_error();
	if (SSL_write_ex(tls->ssl, buf, len, &n) != 1 || n != len)
		result = buffers->overflow ? -ENOSPC : -EPROTO;
	else
		result = (ssize_t)buffers->out_used_bytes;
	buffers->out = NULL;
	return result;
}

/* After an SSL_read_ex() that will never give any more. */
static int why_over(struct tls_transport *tls, int ret)
{
	unsigned long error = ERR_peek_last_error();
	int reason = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;

	if (SSL_get_error(tls->ssl, ret) == SSL_ERROR_ZERO_RETURN)
		return -ECONNRESET;
	ERR_clear_error();
	/* OpenSSL's reasons are 1000 and an alert's number, for those that the peer has sent. */
	return ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= 0 && reason <= UINT8_MAX
		       ? -ECONNABORTED
		       : -EBADMSG;
}

static ssize_t tls_open(struct transport *transport, const void *buf, size_t len, void *out,
			size_t out_bytes)
{
	struct tls_transport *tls = tls_of(transport);
	size_t used_bytes = 0;
	int ret = 1;

	if (transport->over)
		return transport->over;
	tls->buffers.in = buf;
	tls->buffers.in_bytes = len;
	ERR_clear_error();
	while (used_bytes < out_bytes) {
		size_t n = 0;

		ret = SSL_read_ex(tls->ssl, (uint8_t *)out + used_bytes, out_bytes - used_bytes,
				  &n);
		if (ret != 1)
			break;
		used_bytes += n;
	}
	if (ret == 1) /* room for all of len's plain bytes is the caller's to give */
		return tls->buffers.in_bytes || SSL_pending(tls->ssl) ? -ENOSPC
								      : (ssize_t)used_bytes;
	if (SSL_get_error(tls->ssl, ret) != SSL_ERROR_WANT_READ || tls->buffers.overflow)
		transport->over = why_over(tls, ret);
	return used_bytes || !transport->over ? (ssize_t)used_bytes : transport->over;
}

/* Directions that the kernel does not handle leave the socket for the buffers. */
static int tls_detach(struct transport *transport)
{
	struct tls_transport *tls = tls_of(transport);
	BIO *bio;

	set_blocking(transport->fd, true); /* io_uring waits by itself */
	transport->direct_tx = tls->description.kernel_send;
	transport->direct_rx = tls->description.kernel_receive;
	transport->send_flags = transport->direct_tx ? 0 : MSG_WAITALL;
	if (SSL_has_pending(tls->ssl))
		return -EPROTO; /* bytes behind the handshake that nobody asked for */
	if (transport->direct_tx && transport->direct_rx)
		return 0;
	bio = buffer_bio_new(&tls->buffers);
	if (!bio)
		return -ENOMEM;
	if (!transport->direct_rx) {
		BIO_up_ref(bio);
		SSL_set0_rbio(tls->ssl, bio);
	}
	if (!transport->direct_tx) {
		BIO_up_ref(bio);
		SSL_set0_wbio(tls->ssl, bio);
	}
	BIO_free(bio);
	return 0;
}

/* --- the handshake -------------------------------------------------------------------------------- */

static const struct tls_description *tls_describe(const struct transport *transport)
{
	return &tls_of(transport)->description;
}

static bool tls_failure(const struct transport *transport, char *sentence, size_t room)
{
	if (!*tls_of(transport)->failure)
		return false;
	snprintf(sentence, room, "%s", tls_of(transport)->failure);
	return true;
}

static const struct transport_ops tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.detach = tls_detach,
	.seal = tls_seal,
	.open = tls_open,
	.describe = tls_describe,
	.failure = tls_failure,
	.close = tls_close,
};

/* Called at each step. Both directions: as soon as the version is known, and before its keys are used. */
static void ask_kernel(const SSL *ssl, int where, int ret)
{
	(void)ret;
	if (where & SSL_CB_LOOP && SSL_get_state(ssl) == TLS_ST_CR_SRVR_HELLO &&
	    SSL_version(ssl) == TLS1_2_VERSION)
		SSL_set_options((SSL *)ssl, SSL_OP_ENABLE_KTLS);
}

/* Receiving alone: while that direction's keys come into use, and not while the other's do. A full
 * handshake changes the client's keys first, a resumed one the server's. */
static void ask_kernel_to_receive(const SSL *ssl, int where, int ret)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);
	bool resumed = SSL_session_reused(ssl);

	(void)ret;
	if (!(where & SSL_CB_LOOP) || SSL_version(ssl) != TLS1_2_VERSION)
		return;
	if (state == (resumed ? TLS_ST_CR_SRVR_HELLO : TLS_ST_CW_FINISHED))
		SSL_set_options((SSL *)ssl, SSL_OP_ENABLE_KTLS);
	else if (state == TLS_ST_CR_FINISHED)
		SSL_clear_options((SSL *)ssl, SSL_OP_ENABLE_KTLS);
}

static void (*const kernel_askers[])(const SSL *ssl, int where, int ret) = {
	[TLS_KTLS_AUTO] = ask_kernel_to_receive,
	[TLS_KTLS_ON] = ask_kernel,
	[TLS_KTLS_OFF] = NULL,
};

static int run_handshake(SSL *ssl, const struct tls_handshake *handshake, int64_t deadline_ms,
			 char *sentence)
{
	for (;;) {
		int ret, wait;

		ERR_clear_error();
		errno = 0;
		ret = SSL_connect(ssl);
		if (ret == 1)
			return 0;
		wait = wait_for(ssl, ret, deadline_ms);
		if (wait == -EPROTO)
			return tls_explain(handshake, sentence);
		if (wait == -ETIMEDOUT)
			snprintf(sentence, TLS_SENTENCE_BYTES,
				 "the server fell silent in the middle of the TLS handshake: see "
				 "its log, "
				 "or give it more time");
		else if (wait < 0)
			snprintf(sentence, TLS_SENTENCE_BYTES,
				 "the connection broke in the middle of the TLS handshake: %s",
				 strerror(-wait));
		if (wait < 0)
			return wait;
	}
}

/* A PSK was asked for: nothing else will do. */
static int check_psk(SSL *ssl, const struct tls_handshake *handshake, char *sentence)
{
	bool used = handshake->psk_used && !SSL_get0_peer_certificate(ssl);

	if (!*handshake->options->psk_file)
		return 0;
	if (used && SSL_version(ssl) == TLS1_3_VERSION)
		used = SSL_session_reused(ssl) == 1;
	else if (used)
		used = SSL_CIPHER_get_auth_nid(SSL_get_current_cipher(ssl)) == NID_auth_psk;
	if (used)
		return 0;
	snprintf(sentence, TLS_SENTENCE_BYTES,
		 "the handshake was completed without the PSK: the server is not the one that "
		 "shares it");
	return -EACCES;
}

static void describe(struct tls_transport *tls)
{
	struct tls_description *description = &tls->description;
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

	snprintf(description->version, sizeof(description->version), "%s",
		 SSL_get_version(tls->ssl));
	snprintf(description->cipher, sizeof(description->cipher), "%s",
		 SSL_get_cipher_name(tls->ssl));
	description->kernel_send = BIO_get_ktls_send(SSL_get_wbio(tls->ssl));
	description->kernel_receive = BIO_get_ktls_recv(SSL_get_rbio(tls->ssl));
	description->resumed = SSL_session_reused(tls->ssl) && !*tls->options.psk_file;
	description->verified = !tls->options.no_verify;
	if (*tls->options.psk_file)
		snprintf(description->peer, sizeof(description->peer), "PSK identity %s",
			 tls->options.psk_identity);
	else if (certificate)
		X509_NAME_oneline(X509_get_subject_name(certificate), description->peer,
				  sizeof(description->peer));
	for (char *c = description->peer; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static int handshake_on(struct tls_transport *tls, int fd, int64_t deadline_ms, char *sentence)
{
	struct tls_handshake handshake;
	int ret;

	tls_session_terms_set(&tls->terms, &tls->options);
	ret = tls_context_open(&handshake, &tls->options, &tls->ssl, sentence);
	if (ret < 0)
		return ret;
	if (SSL_set_fd(tls->ssl, fd) != 1 || SSL_set_app_data(tls->ssl, &tls->terms) != 1) {
		ret = -ENOMEM;
	} else {
		tls_session_offer(&tls->terms, tls->ssl);
		SSL_set_info_callback(tls->ssl, kernel_askers[tls->options.ktls]);
		ret = run_handshake(tls->ssl, &handshake, deadline_ms, sentence);
	}
	if (ret == 0)
		ret = check_psk(tls->ssl, &handshake, sentence);
	if (ret == 0)
		tls_session_verified(&tls->terms, tls->ssl);
	SSL_set_info_callback(tls->ssl, NULL);
	tls->description.certificate_wanted = handshake.certificate_wanted;
	tls_context_forget(tls->ssl, &handshake);
	return ret;
}

int transport_tls_open(int fd, const struct tls_options *options, int64_t deadline_ms,
		       struct transport **out, char *sentence)
{
	struct tls_transport *tls = calloc(1, sizeof(*tls));
	int ret;

	if (!tls) {
		snprintf(sentence, TLS_SENTENCE_BYTES, "out of memory");
		return -ENOMEM;
	}
	tls->base.ops = &tls_ops;
	tls->base.fd = fd;
	tls->options = *options;
	if (!tls->options.rekey_records)
		tls->options.rekey_records = TLS_REKEY_RECORDS_MAX;
	set_blocking(fd, false); /* OpenSSL's calls come back, and the deadline is kept here */
	ret = handshake_on(tls, fd, deadline_ms, sentence);
	if (ret < 0) {
		set_blocking(fd, true);
		SSL_free(tls->ssl);
		free(tls);
		return ret;
	}
	describe(tls);
	*out = &tls->base;
	return 0;
}
