/* SPDX-License-Identifier: MIT */
/*
 * refusal.h - what it means when a server answers an option with an error, in a sentence that says
 * what to do. Used by handshake.c alone.
 */
#ifndef PROTO_REFUSAL_H
#define PROTO_REFUSAL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/handshake.h"

/*
 * Writes to hs->error why the option of hs->state cannot be had: error is the NBD_REP_ERR_* value,
 * message the server's own words (message_bytes of them, untrusted, may be none), which are quoted.
 * Returns the positive errno that fits; sets nothing else.
 */
int nbd_refusal_explain(struct nbd_handshake *hs, uint32_t error, const char *message,
			size_t message_bytes);

/* The same for a connection that the server closed while hs->state lasted. */
int nbd_refusal_explain_close(struct nbd_handshake *hs);

#endif
