// SPDX-License-Identifier: MIT
/* What a server exports: its list, then INFO about each, on one connection. Nothing is opened. */
#include "gateway/common/dial_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text.h"
#include "proto/wire.h"

static char *copy_bytes(const char *bytes, size_t count)
{
	char *copy = malloc(count + 1);

	if (copy) {
		memcpy(copy, bytes, count);
		copy[count] = '\0';
	}
	return copy;
}

static struct dial_listed *list_grow(struct dial_list *list)
{
	size_t room = list->room ? list->room * 2 : 16;
	struct dial_listed *entries;

	if (list->count < list->room)
		return &list->entries[list->count];
	entries = realloc(list->entries, room * sizeof(*entries));
	if (!entries)
		return NULL;
	list->entries = entries;
	list->room = room;
	return &entries[list->count];
}

void dial_list_add(void *context, const char *name, size_t name_bytes, const char *description,
		   size_t description_bytes)
{
	struct dial_list *list = context;
	size_t bytes = name_bytes + description_bytes;
	struct dial_listed *entry = NULL;

	if (list->count < DIAL_LIST_MAX && bytes <= DIAL_LIST_BYTES_MAX - list->bytes)
		entry = list_grow(list);
	list->cut |= !entry;
	if (!entry)
		return;
	*entry = (struct dial_listed){
		.name = copy_bytes(name, name_bytes),
		.name_bytes = name_bytes,
		.description = copy_bytes(description, description_bytes),
		.description_bytes = description_bytes,
	};
	if (entry->name && entry->description) {
		list->bytes += bytes;
		list->count++;
		return;
	}
	free(entry->name);
	free(entry->description);
	list->cut = true;
}

void dial_list_free(struct dial_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].name);
		free(list->entries[i].description);
		free(list->entries[i].why);
	}
	free(list->entries);
	free(list);
}

void dial_listed_take(struct dial_listed *entry, const struct nbd_export *export)
{
	entry->known = true;
	entry->size_bytes = export->size_bytes;
	entry->flags = export->flags;
	entry->block_sizes_given = export->block_sizes_given;
	entry->block_minimum_bytes = export->block_minimum_bytes;
	entry->block_preferred_bytes = export->block_preferred_bytes;
	entry->payload_max_bytes = export->payload_max_bytes;
}

bool dial_listed_can_be_asked(const struct dial_listed *entry)
{
	return strlen(entry->name) == entry->name_bytes &&
	       entry->name_bytes <= NBD_STRING_BYTES_MAX;
}

/* One question. False when the connection bears no other. */
static bool ask(struct dial *dial, struct transport *transport, struct dial_listed *entry)
{
	struct nbd_handshake *hs = dial->handshake;
	char text[160];
	int error;

	nbd_text_printable(text, sizeof(text), entry->name, entry->name_bytes);
	snprintf(dial->result->sentence, sizeof(dial->result->sentence),
		 "asking about export \"%s\"", text);
	dial_report(dial, DIAL_HANDSHAKE, 0, dial->result->sentence);
	nbd_handshake_ask(hs, entry->name);
	error = dial_converse(dial, transport);
	if (error == -ECONNRESET || error == -EPIPE)
		nbd_handshake_closed(hs);
	if (nbd_handshake_status(hs) == NBD_HANDSHAKE_ACTIVE)
		entry->why = strdup(error == -ETIMEDOUT ? "the server did not answer in time"
							: strerror(-error));
	else if (hs->error_errno)
		entry->why = strdup(hs->error);
	else
		dial_listed_take(entry, &hs->export);
	/* Who does not know INFO knows it no better for the next, and may have left its data unread. */
	return nbd_handshake_status(hs) == NBD_HANDSHAKE_IDLE &&
	       hs->option_error != NBD_REP_ERR_UNSUP;
}

void dial_list_ask(struct dial *dial, struct transport *transport)
{
	struct dial_list *list = dial->result->list;
	bool goes_on = true;

	if (nbd_handshake_status(dial->handshake) != NBD_HANDSHAKE_IDLE)
		return;
	dial->share_ms = dial->deadline_ms; /* this address is the right one */
	for (size_t i = 0; i < list->count && goes_on; i++)
		if (dial_listed_can_be_asked(&list->entries[i]))
			goes_on = ask(dial, transport, &list->entries[i]);
		else
			list->entries[i].why =
				strdup("nobody can ask for it: its name holds a NUL, "
				       "or is longer than NBD allows");
	if (nbd_handshake_status(dial->handshake) == NBD_HANDSHAKE_IDLE)
		nbd_handshake_leave(dial->handshake);
	else /* the list is there: what ended it afterwards stands beside the export */
		dial->handshake->state = NBD_HS_DONE;
}
