/* SPDX-License-Identifier: MIT */
/*
 * tls_json.h - what a handshake agreed on, as `info` and `status` show it with -o json.
 */
#ifndef GATEWAY_COMMON_TLS_JSON_H
#define GATEWAY_COMMON_TLS_JSON_H

#include <jansson.h>

#include "tls/tls.h"

/* A new object: version, cipher, peer, verified, send and receive ("kernel", "userspace"), resumed.
 * NULL without memory. */
json_t *tls_json_describe(const struct tls_description *tls);

#endif
