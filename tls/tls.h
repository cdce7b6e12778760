/* SPDX-License-Identifier: MIT */
/*
 * tls.h - TLS over a connected socket: what the user asked for, the handshake, and the transport
 * that comes of it. OpenSSL does all cryptography and is the only one that ever holds a key.
 *
 * Safe by default and nothing opportunistic: the peer is verified (certificate and name, or PSK),
 * TLS is 1.2 or newer and never below the system's own OpenSSL policy, renegotiation is refused.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/transport.h"

#define TLS_PATH_BYTES_MAX     4096
#define TLS_HOSTNAME_BYTES_MAX 255
#define TLS_IDENTITY_BYTES_MAX 255
/* Room for a sentence that says what failed: every `sentence` of this folder has it. */
#define TLS_SENTENCE_BYTES 500

/* Certificates in a chain between the server's own and a trusted one. */
#define TLS_CHAIN_DEPTH_MAX 5

/* AES-GCM may protect 2^24.5 records under one key (RFC 8446, 5.5); renewed well before. */
#define TLS_REKEY_RECORDS_MAX (UINT32_C(1) << 23)

enum tls_ktls { TLS_KTLS_AUTO, TLS_KTLS_ON, TLS_KTLS_OFF };

/* "" where not given. Files are read at each handshake, so that they can be replaced. */
struct tls_options {
	char hostname[TLS_HOSTNAME_BYTES_MAX +
		      1];	       /* a DNS name or an IP address: must be in the certificate */
	char ca[TLS_PATH_BYTES_MAX];   /* file or directory of trusted CAs; "": the system's */
	char crl[TLS_PATH_BYTES_MAX];  /* revocation lists, PEM; then every certificate needs one */
	char cert[TLS_PATH_BYTES_MAX]; /* our own, PEM, with its chain */
	char key[TLS_PATH_BYTES_MAX];
	char passphrase_file[TLS_PATH_BYTES_MAX]; /* its first line opens the key */
	char psk_file[TLS_PATH_BYTES_MAX]; /* "identity:hexkey" lines, as psktool(1) writes them */
	char psk_identity[TLS_IDENTITY_BYTES_MAX + 1];
	bool no_verify; /* --tls-verify=no: encrypted, but to whomever */
	enum tls_ktls ktls;
	/* TLS 1.3: our sending key is renewed after so many records, 1..TLS_REKEY_RECORDS_MAX; 0: that.
	 * Lower for tests only. */
	uint32_t rekey_records;
};

/* What the handshake agreed on, for status and info. */
struct tls_description {
	char version[16]; /* "TLSv1.3" */
	char cipher[64];  /* "TLS_AES_256_GCM_SHA384" */
	char peer[320];	  /* the certificate's subject, or "PSK identity NAME" */
	bool verified;	  /* false: --tls-verify=no, and peer is what it says of itself */
	bool kernel_send, kernel_receive;
	bool resumed;
	bool certificate_wanted; /* the server asked for ours; false when resumed */
};

/*
 * Runs the handshake over fd, up to deadline_ms (CLOCK_MONOTONIC). 0: *out owns fd. Else a negative
 * errno with a sentence that says which certificate, name, file or version it is about, and what
 * to do; the caller keeps fd. -ETIMEDOUT; -ECONNRESET and the like for the connection; -EACCES for
 * trust that is missing; -EPROTO where no agreement was reached; -ENOENT, -EINVAL about files.
 * Never logs; a sentence never quotes a file's content. Any thread.
 */
int transport_tls_open(int fd, const struct tls_options *options, int64_t deadline_ms,
		       struct transport **out, char *sentence);

/* NULL for a transport that is no TLS. */
const struct tls_description *transport_tls_describe(const struct transport *transport);

/* After read() or write() failed: whether TLS itself was why, with a sentence; false for a transport
 * that is no TLS. TLS 1.3 lets a
 * server refuse our certificate only after our half of the handshake is done. */
bool transport_tls_failure(const struct transport *transport, char *sentence, size_t room);

#endif
