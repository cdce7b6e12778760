/* SPDX-License-Identifier: MIT */
/*
 * transport_tls.h - what only tests ask of a TLS transport.
 */
#ifndef TLS_TRANSPORT_TLS_H
#define TLS_TRANSPORT_TLS_H

#include <stdint.h>

#include "tls/transport.h"

/* Renews the sending key of a TLS 1.3 transport after this many records (at least 1), instead of
 * 2^23. Before the transport is detached; any thread. */
void transport_tls_set_records_per_key(struct transport *transport, uint64_t records);

#endif
