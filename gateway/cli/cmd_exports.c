/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd exports: what a server has to offer. libnbd asks for the list, and for what each export
 * is like (NBD_OPT_LIST, NBD_OPT_INFO), without opening any of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/features.h"
#include "gateway/cli/output.h"
#include "gateway/cli/session.h"
#include "proto/wire.h"

/* A server that lists without end is stalling. */
#define EXPORTS_MAX 10000
/* How many exports with a size of 0, or of which nothing is told, are asked for again, each on a connection
 * of its own. */
#define EXPORTS_ASKED_AGAIN_MAX 32
#define NAME_COLUMNS_MAX	40

static const char help[] = "Usage: ublk-nbd exports [OPTION...] TARGET\n"
			   "       ublk-nbd exports [OPTION...] [ COMMAND WORD... ]\n"
			   "What a server exports: name, size, access, features, description.\n"
			   "\n"
			   "      --connect-timeout TIME  for all of it together (30s)\n"
			   "      --tls, --tls-..., --ktls  TLS: see ublk-nbd-connect(1)\n"
			   "  -o, --output FORMAT         text or json\n"
			   "  -v, --verbose               say what is being done\n"
			   "  -h, --help                  this\n"
			   "\n"
			   "Example: ublk-nbd exports nbd://server\n"
			   "See ublk-nbd-exports(1).\n";

struct listed {
	char *name, *description;
	bool known; /* the fields below hold what the server said of it */
	char why_not[sizeof(((struct dial_result *)0)->sentence)]; /* while it is not known */
	uint64_t size_bytes;
	uint16_t flags;
	uint32_t minimum_bytes, preferred_bytes, maximum_bytes; /* 0: not said */
};

struct list {
	struct listed *entries;
	size_t count, room;
	bool failed; /* no memory, or EXPORTS_MAX */
};

static void list_free(struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].name);
		free(list->entries[i].description);
	}
	free(list->entries);
}

static struct listed *list_grow(struct list *list)
{
	size_t room = list->room ? list->room * 2 : 16;
	struct listed *entries;

	if (list->count < list->room)
		return &list->entries[list->count];
	entries =
		list->count < EXPORTS_MAX ? realloc(list->entries, room * sizeof(*entries)) : NULL;
	if (!entries)
		return NULL;
	list->entries = entries;
	list->room = room;
	return &entries[list->count];
}

/* libnbd's list callback. */
static int list_add(void *context, const char *name, const char *description)
{
	struct list *list = context;
	struct listed *entry = list_grow(list);

	if (!entry) {
		list->failed = true;
		return 0;
	}
	memset(entry, 0, sizeof(*entry));
	entry->name = strdup(name);
	entry->description = strdup(description);
	if (entry->name && entry->description) {
		list->count++;
		return 0;
	}
	free(entry->name);
	free(entry->description);
	list->failed = true;
	return 0;
}

static uint16_t entry_flags(struct nbd_handle *nbd)
{
	const struct {
		int (*ask)(struct nbd_handle *nbd);
		uint16_t flag;
	} rows[] = {
		{ nbd_is_read_only, NBD_FLAG_READ_ONLY },
		{ nbd_can_flush, NBD_FLAG_SEND_FLUSH },
		{ nbd_can_fua, NBD_FLAG_SEND_FUA },
		{ nbd_is_rotational, NBD_FLAG_ROTATIONAL },
		{ nbd_can_trim, NBD_FLAG_SEND_TRIM },
		{ nbd_can_zero, NBD_FLAG_SEND_WRITE_ZEROES },
		{ nbd_can_df, NBD_FLAG_SEND_DF },
		{ nbd_can_multi_conn, NBD_FLAG_CAN_MULTI_CONN },
		{ nbd_can_cache, NBD_FLAG_SEND_CACHE },
		{ nbd_can_fast_zero, NBD_FLAG_SEND_FAST_ZERO },
	};
	uint16_t flags = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].ask(nbd) == 1)
			flags |= rows[i].flag;
	return flags;
}

static uint32_t entry_block(struct nbd_handle *nbd, int which)
{
	int64_t bytes = nbd_get_block_size(nbd, which);

	return bytes > 0 && bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

/* False when the server does not tell: it may be too old, or not let us in there. */
static bool entry_ask(struct session *session, struct listed *entry)
{
	struct nbd_handle *nbd = session->nbd;
	int64_t size_bytes;

	if (nbd_set_export_name(nbd, entry->name) || nbd_opt_info(nbd))
		return false;
	size_bytes = nbd_get_size(nbd);
	if (size_bytes < 0)
		return false;
	entry->known = true;
	entry->size_bytes = (uint64_t)size_bytes;
	entry->flags = entry_flags(nbd);
	entry->minimum_bytes = entry_block(nbd, LIBNBD_SIZE_MINIMUM);
	entry->preferred_bytes = entry_block(nbd, LIBNBD_SIZE_PREFERRED);
	entry->maximum_bytes = entry_block(nbd, LIBNBD_SIZE_MAXIMUM);
	return true;
}

/* Our own handshake tells why the server refuses an export. nbd-server says 0 bytes until one is opened: it
 * does that, for a moment. */
static void entry_ask_again(struct session *session, struct listed *entry)
{
	int64_t left_ms = session->deadline_ms - dial_now_ms();
	struct nbd_uri *uri = malloc(sizeof(*uri));
	const struct dial_options options = {
		.target = uri,
		.tls = &session->look->tls,
		.goal = NBD_GOAL_INFO,
		.timeout_ms = left_ms > 0 ? (uint32_t)left_ms : 0,
	};
	struct dial_result result;

	entry->known = false;
	snprintf(entry->why_not, sizeof(entry->why_not), "%s",
		 uri ? "its name is too long to ask for" : "out of memory");
	if (!uri)
		return;
	*uri = session->look->uri;
	if (snprintf(uri->export_name, sizeof(uri->export_name), "%s", entry->name) >=
	    (int)sizeof(uri->export_name)) {
		free(uri);
		return;
	}
	if (dial_run(&options, &result)) {
		snprintf(entry->why_not, sizeof(entry->why_not), "%s", result.sentence);
	} else {
		entry->known = true;
		entry->size_bytes = result.export->size_bytes;
		entry->flags = result.export->flags;
		if (result.export->block_sizes_given) {
			entry->minimum_bytes = result.export->block_minimum_bytes;
			entry->preferred_bytes = result.export->block_preferred_bytes;
			entry->maximum_bytes = result.export->payload_max_bytes;
		}
		dial_result_clear(&result);
	}
	free(uri);
}

static enum exit_code exports_ask(struct session *session, struct list *list, bool verbose)
{
	const nbd_list_callback callback = { .callback = list_add, .user_data = list };
	const char *verb = session->look->verb;
	uint32_t again = 0;

	if (nbd_opt_list(session->nbd, callback) < 0)
		return session_fail(session, "the server gives no list");
	if (list->failed)
		output_warning(verb, "the list is cut after %zu exports", list->count);
	for (size_t i = 0; i < list->count; i++) {
		struct listed *entry = &list->entries[i];

		output_progress(verbose, verb, "asking about export \"%s\"", entry->name);
		if (!entry_ask(session, entry) && nbd_aio_is_negotiating(session->nbd) != 1)
			return session_fail(session, "asking about the exports failed");
		if (entry->known && entry->size_bytes > 0)
			continue;
		if (again++ < EXPORTS_ASKED_AGAIN_MAX) {
			entry_ask_again(session, entry);
			continue;
		}
		/* 0 may be said of one that cannot be opened. */
		entry->known = false;
		snprintf(entry->why_not, sizeof(entry->why_not),
			 "not asked: %d exports before it gave no size", EXPORTS_ASKED_AGAIN_MAX);
	}
	return EXIT_CODE_OK;
}

/* --- output ------------------------------------------------------------------------------------- */

static json_t *json_unless(bool unknown, uint64_t value)
{
	return unknown ? json_null() : json_integer((json_int_t)value);
}

static json_t *entry_to_json(const struct listed *entry)
{
	bool unknown = !entry->known;

	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", entry->name, "description",
		entry->description, "size_bytes", json_unless(unknown, entry->size_bytes), "error",
		unknown ? json_string(entry->why_not) : json_null(), "read_only",
		unknown ? json_null() : json_boolean(entry->flags & NBD_FLAG_READ_ONLY), "features",
		unknown ? json_null() : features_to_json(entry->flags), "block_minimum_bytes",
		json_unless(!entry->minimum_bytes, entry->minimum_bytes), "block_preferred_bytes",
		json_unless(!entry->preferred_bytes, entry->preferred_bytes), "payload_max_bytes",
		json_unless(!entry->maximum_bytes, entry->maximum_bytes));
}

static int print_json(const struct look *look, const struct list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, entry_to_json(&list->entries[i]));
	return output_json(look->verb,
			   json_pack("{s:s, s:o}", "target", look->described, "exports", array));
}

static void print_entry(const struct listed *entry, int columns)
{
	char name[512], size[64], features[256], description[512], why_not[1024];

	output_text(name, sizeof(name), entry->name[0] ? entry->name : "\"\"");
	if (entry->known)
		printf("%-*s  %-12s  %-10s  %s\n", columns, name,
		       output_size(size, sizeof(size), entry->size_bytes),
		       entry->flags & NBD_FLAG_READ_ONLY ? "read-only" : "read-write",
		       features_to_text(features, sizeof(features), entry->flags));
	else
		printf("%-*s  %-12s  %-10s  %s\n", columns, name, "?", "?",
		       output_text(why_not, sizeof(why_not), entry->why_not));
	if (entry->description[0])
		printf("%*s  %s\n", columns, "",
		       output_text(description, sizeof(description), entry->description));
}

static int print_table(const struct look *look, const struct list *list)
{
	size_t columns = strlen("NAME");

	if (list->count == 0)
		printf("%s exports nothing\n", look->described);
	for (size_t i = 0; i < list->count; i++) {
		size_t len = strlen(list->entries[i].name);

		if (len > columns && len <= NAME_COLUMNS_MAX)
			columns = len;
	}
	if (list->count > 0)
		printf("%-*s  %-12s  %-10s  %s\n", (int)columns, "NAME", "SIZE", "ACCESS",
		       "FEATURES");
	for (size_t i = 0; i < list->count; i++)
		print_entry(&list->entries[i], (int)columns);
	return output_finish(look->verb);
}

static int exports_run(struct look *look, const struct options *options)
{
	struct list list = { 0 };
	struct session session;
	int exit_code = session_open(&session, look, look->connect_timeout_ms);

	if (exit_code == EXIT_CODE_OK)
		exit_code = session_connect(&session);
	if (exit_code == EXIT_CODE_OK)
		exit_code = exports_ask(&session, &list, options->verbose);
	if (exit_code == EXIT_CODE_OK)
		exit_code = options->json ? print_json(look, &list) : print_table(look, &list);
	session_close(&session);
	list_free(&list);
	return exit_code;
}

int cmd_exports(int argc, char **argv)
{
	return look_command(help, LOOK_TARGET_NEEDED, exports_run, argc, argv);
}
