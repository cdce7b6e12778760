/* SPDX-License-Identifier: MIT */
/*
 * dial_list.h - the exports that a server lists, and what it says of each.
 */
#ifndef GATEWAY_COMMON_DIAL_LIST_H
#define GATEWAY_COMMON_DIAL_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/handshake.h"

/* An export as the server lists it. */
struct dial_listed {
	char *name, *description; /* raw bytes of the server, any; a NUL is added */
	size_t name_bytes, description_bytes;
	bool known; /* the fields below hold what the server says of it; else why says why not */
	uint64_t size_bytes;
	uint16_t flags;
	bool block_sizes_given;
	uint32_t block_minimum_bytes, block_preferred_bytes, payload_max_bytes;
	char *why; /* malloc()ed, or NULL */
};

#define DIAL_LIST_MAX	    10000
#define DIAL_LIST_BYTES_MAX (16u << 20) /* of all names and descriptions */
struct dial_list {
	struct dial_listed *entries;
	size_t count, room, bytes;
	bool cut; /* there were more than fit into the limits, or memory */
};

/* Whether NBD can ask for it by its name. */
bool dial_listed_can_be_asked(const struct dial_listed *entry);
/* What was negotiated about it is what is known. */
void dial_listed_take(struct dial_listed *entry, const struct nbd_export *export);

/* An nbd_listed_fn, whose context is a struct dial_list. */
void dial_list_add(void *context, const char *name, size_t name_bytes, const char *description,
		   size_t description_bytes);
/* The list and all it has; NULL does no harm. */
void dial_list_free(struct dial_list *list);

#endif
