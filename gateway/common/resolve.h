/* SPDX-License-Identifier: MIT */
/*
 * resolve.h - from a target to the addresses that it may be reached at.
 */
#ifndef GATEWAY_COMMON_RESOLVE_H
#define GATEWAY_COMMON_RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/uri.h"

#define DIAL_ADDRESSES_MAX   32
#define DIAL_PEER_TEXT_BYTES 160

struct dial_address {
	struct sockaddr_storage address;
	socklen_t address_bytes;
};

/* 0 or -errno with a sentence. *count in: room; out: how many. An address
 * written in numbers never blocks; a name does, without a deadline. */
int dial_resolve(const struct nbd_uri *target, struct dial_address *addresses, uint32_t *count,
		 char *sentence, size_t sentence_bytes);

/* "127.0.0.1:10809", "[::1]:10809", "unix:/path", "unix:@abstract", "vsock:2:10809". */
void dial_address_text(const struct dial_address *address, char *out, size_t out_bytes);

#endif
