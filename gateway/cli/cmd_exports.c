/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd exports: what a server has to offer: the list, and what each export is like (NBD_OPT_LIST,
 * NBD_OPT_INFO), by the handshake of connect, without opening any of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/features.h"
#include "gateway/cli/output.h"
#include "gateway/cli/look.h"
#include "gateway/common/dial.h"
#include "gateway/common/json_text.h"
#include "proto/text.h"
#include "proto/wire.h"
#include "tls/clock.h"

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

static void forget(struct dial_listed *entry, const char *why)
{
	free(entry->why);
	entry->known = false;
	entry->why = strdup(why);
}

/* By the handshake of `info`, at the address that gave the list: it gets along with servers that do not know
 * INFO. nbd-server says 0 bytes until an export is opened: it does that, for a moment. */
static void entry_ask_again(const struct look *look, const struct dial_result *result,
			    struct dial_listed *entry, int64_t deadline_ms)
{
	int64_t left_ms = deadline_ms - clock_now_ms();
	struct nbd_uri *uri = malloc(sizeof(*uri));
	const struct dial_options options = {
		.target = uri,
		.tls = &look->tls,
		.goal = NBD_GOAL_INFO,
		.timeout_ms = left_ms > 0 ? (uint32_t)left_ms : 0,
		.addresses = &result->peer,
		.addresses_count = 1,
	};
	struct dial_result again;

	if (!uri) {
		forget(entry, "out of memory");
		return;
	}
	*uri = look->uri;
	strcpy(uri->export_name, entry->name);
	if (dial_run(&options, &again))
		forget(entry, again.sentence);
	else
		dial_listed_take(entry, again.export);
	dial_result_clear(&again);
	free(uri);
}

static void ask_again(const struct look *look, const struct dial_result *result,
		      int64_t deadline_ms)
{
	uint32_t again = 0;
	char text[80];

	snprintf(text, sizeof(text), "not asked: %d exports before it gave no size",
		 EXPORTS_ASKED_AGAIN_MAX);
	if (result->list->cut)
		output_warning(look->verb, "the list is cut after %zu exports",
			       result->list->count);
	for (size_t i = 0; i < result->list->count; i++) {
		struct dial_listed *entry = &result->list->entries[i];

		if ((entry->known && entry->size_bytes > 0) || !dial_listed_can_be_asked(entry))
			continue;
		if (again++ < EXPORTS_ASKED_AGAIN_MAX)
			entry_ask_again(look, result, entry, deadline_ms);
		else if (entry->known || !entry->why)
			forget(entry, text); /* 0 may be said of one that cannot be opened */
	}
}

/* --- output ------------------------------------------------------------------------------------- */

static json_t *json_unless(bool unknown, uint64_t value)
{
	return unknown ? json_null() : json_integer((json_int_t)value);
}

static json_t *entry_to_json(const struct dial_listed *entry)
{
	bool unknown = !entry->known, no_blocks = unknown || !entry->block_sizes_given;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?}", "name",
			 json_text(entry->name, entry->name_bytes), "name_hex",
			 json_text_hex(entry->name, entry->name_bytes), "description",
			 json_text(entry->description, entry->description_bytes), "size_bytes",
			 json_unless(unknown, entry->size_bytes), "read_only",
			 unknown ? json_null() : json_boolean(entry->flags & NBD_FLAG_READ_ONLY),
			 "features", unknown ? json_null() : features_to_json(entry->flags),
			 "block_minimum_bytes", json_unless(no_blocks, entry->block_minimum_bytes),
			 "block_preferred_bytes",
			 json_unless(no_blocks, entry->block_preferred_bytes), "payload_max_bytes",
			 json_unless(no_blocks, entry->payload_max_bytes), "error",
			 unknown ? entry->why : NULL);
}

static int print_json(const struct look *look, const struct dial_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, entry_to_json(&list->entries[i]));
	return output_json(look->verb,
			   json_pack("{s:s, s:o}", "target", look->described, "exports", array));
}

/* The name as a person may see it; "\"\"" for the one that is empty. */
static const char *entry_shown(const struct dial_listed *entry, char *out, size_t out_bytes)
{
	return entry->name_bytes
		       ? nbd_text_printable(out, out_bytes, entry->name, entry->name_bytes)
		       : "\"\"";
}

/* Where the name cannot be typed as it is shown: what can. Each byte but NUL can stand in a URI. */
static void print_handle(const struct look *look, const struct dial_listed *entry,
			 const char *shown, int columns)
{
	bool as_shown = !strcmp(entry->name_bytes ? entry->name : "\"\"", shown) &&
			(!entry->name_bytes || strcmp(shown, "\"\"")) && entry->name[0] != ' ' &&
			shown[strlen(shown) - 1] != ' ';
	struct nbd_uri *uri;
	char *text;

	if (as_shown || strlen(entry->name) < entry->name_bytes ||
	    entry->name_bytes > NBD_STRING_BYTES_MAX)
		return;
	uri = malloc(sizeof(*uri));
	text = malloc(sizeof(look->described));
	if (uri && text) {
		*uri = look->uri;
		strcpy(uri->export_name, entry->name);
		if (look->command[0]) /* its socket is gone with it: what to write as --export */
			printf("%*s  --export %s\n", columns, "",
			       output_quoted(text, sizeof(look->described), entry->name));
		else if (!nbd_uri_format(uri, text, sizeof(look->described)))
			printf("%*s  %s\n", columns, "", text);
	}
	free(text);
	free(uri);
}

static void print_entry(const struct look *look, const struct dial_listed *entry, int columns)
{
	char name[512], size[64], features[256], text[1024];
	const char *shown = entry_shown(entry, name, sizeof(name));

	if (entry->known)
		printf("%-*s  %-12s  %-10s  %s\n", columns, shown,
		       output_size(size, sizeof(size), entry->size_bytes),
		       entry->flags & NBD_FLAG_READ_ONLY ? "read-only" : "read-write",
		       features_to_text(features, sizeof(features), entry->flags));
	else
		printf("%-*s  %-12s  %-10s  %s\n", columns, shown, "?", "?",
		       output_text(text, sizeof(text),
				   entry->why ? entry->why : "the server does not tell"));
	if (entry->description_bytes)
		printf("%*s  %s\n", columns, "",
		       nbd_text_printable(text, sizeof(text), entry->description,
					  entry->description_bytes));
	print_handle(look, entry, shown, columns);
}

static int print_table(const struct look *look, const struct dial_list *list)
{
	char text[512];
	size_t columns = strlen("NAME");

	if (list->count == 0)
		printf("%s exports nothing\n", output_text(text, sizeof(text), look->described));
	for (size_t i = 0; i < list->count; i++) {
		size_t len = strlen(entry_shown(&list->entries[i], text, sizeof(text)));

		if (len > columns && len <= NAME_COLUMNS_MAX)
			columns = len;
	}
	if (list->count > 0)
		printf("%-*s  %-12s  %-10s  %s\n", (int)columns, "NAME", "SIZE", "ACCESS",
		       "FEATURES");
	for (size_t i = 0; i < list->count; i++)
		print_entry(look, &list->entries[i], (int)columns);
	return output_finish(look->verb);
}

static void exports_progress(void *context, enum dial_stage stage, int error, const char *sentence)
{
	const struct look *look = context;

	(void)stage;
	if (!error)
		output_progress(true, look->verb, "%s", sentence);
}

static int exports_run(struct look *look, const struct options *options)
{
	int64_t deadline_ms = clock_now_ms() + look->connect_timeout_ms;
	struct dial_options dial = {
		.goal = NBD_GOAL_LIST,
		.progress = options->verbose ? exports_progress : NULL,
		.context = look,
	};
	struct dial_result result;
	int exit_code;

	if (look_dial(look, &dial, &result)) {
		output_error(look->verb, "%s", result.sentence);
		return result.exit_code;
	}
	ask_again(look, &result, deadline_ms);
	exit_code = options->json ? print_json(look, result.list) : print_table(look, result.list);
	dial_result_clear(&result);
	return exit_code;
}

int cmd_exports(int argc, char **argv)
{
	return look_command(help, LOOK_TARGET_NEEDED, exports_run, argc, argv);
}
