/* SPDX-License-Identifier: MIT */
/*
 * sockets.h - the two ends of a connection, and the client's transport over its end: plain, or masked, where
 * the socket's bytes have to be made and opened as those of TLS in this process (tls/transport.h).
 */
#ifndef TESTS_MODEL_SOCKETS_H
#define TESTS_MODEL_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

#include "tests/model/plan.h"
#include "tls/transport.h"

/* Returns the server's end, which does not block. */
int sockets_connect(const struct plan *plan, struct transport **client);
/* Makes the socket's bytes of NBD's, and back. */
void sockets_mask(uint8_t *bytes, size_t len);

#endif
