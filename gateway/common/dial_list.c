// SPDX-License-Identifier: MIT
#include "gateway/common/dial_list.h"

#include <stdlib.h>
#include <string.h>

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
