/* SPDX-License-Identifier: MIT */
/*
 * explain.h - why a TLS handshake failed, in a sentence a person can act on.
 */
#ifndef TLS_EXPLAIN_H
#define TLS_EXPLAIN_H

#include <openssl/ssl.h>

#include "tls/context.h"

/*
 * Looks at OpenSSL's error queue (and empties it), at what verification noted.
 * Returns the negative errno that fits: -EACCES for trust that is missing on either
 * side, -EPROTO where no agreement was reached, -ECONNRESET when the peer closed.
 */
int tls_explain(const struct tls_handshake *handshake, char *sentence);

#endif
