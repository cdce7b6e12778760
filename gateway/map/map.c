/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd map: which parts of an export hold data, as the server's block status (context
 * base:allocation) says; nothing is read of the disk itself. A picture and a table for people, an
 * array for programs.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/output.h"
#include "gateway/common/json_text.h"
#include "gateway/map/extents.h"
#include "gateway/map/map.h"
#include "gateway/map/session.h"

/* Asked for in one request. Servers look at a file's holes one by one: more would only be slow. */
#define ASK_BYTES_MAX (1u << 30)
/* Requests; the deadline usually comes first. */
#define ASKS_MAX       (1u << 20)
#define MAP_TIMEOUT_MS 120000
#define BAR_COLUMNS    72
#define ROWS_MAX       200

static const struct disk_limit timeout_limit = { .field = "timeout",
						 .minimum = 1,
						 .maximum = 24 * 3600 * 1000 };

static const char help[] =
	"Usage: ublk-nbd map [OPTION...] TARGET\n"
	"       ublk-nbd map [OPTION...] [ COMMAND WORD... ]\n"
	"Which parts of an export hold data, drawn and as a table.\n"
	"\n"
	"      --export NAME           the export, instead of the one in TARGET\n"
	"  -t, --timeout TIME          for all of it together (120s); what is known by\n"
	"                              then is shown\n"
	"      --connect-timeout TIME  for name, dial and handshake (30s)\n"
	"      --tls, --tls-..., --ktls  TLS: see ublk-nbd-connect(1)\n"
	"  -o, --output FORMAT         text or json\n"
	"  -v, --verbose               say what is being done\n"
	"  -h, --help                  this\n"
	"\n"
	"Example: ublk-nbd map nbd://server/disk\n"
	"See ublk-nbd-map(1).\n";

struct map {
	struct look *look;
	uint32_t timeout_ms;
	uint64_t size_bytes;
	struct extents extents;
	int add_error; /* of the last answer: -errno of extents_add() */
};

/* libnbd's extent callback: pairs of length and flags, from offset on. */
static int map_take(void *context, const char *metacontext, uint64_t offset, uint32_t *entries,
		    size_t count, int *error)
{
	struct map *map = context;
	uint64_t left_bytes;

	(void)error;
	if (strcmp(metacontext, LIBNBD_CONTEXT_BASE_ALLOCATION) || offset != map->extents.end_bytes)
		return 0;
	for (size_t i = 0; i + 1 < count && !map->add_error; i += 2) {
		/* The last one may reach beyond what was asked for; never beyond the disk. */
		left_bytes = map->size_bytes - map->extents.end_bytes;
		map->add_error = extents_add(&map->extents,
					     entries[i] < left_bytes ? entries[i] : left_bytes,
					     entries[i + 1]);
	}
	return 0;
}

/* EXIT_CODE_OK when all is known, else another, having complained. */
static enum exit_code map_ask(struct map *map, struct session *session)
{
	struct extents *extents = &map->extents;
	uint64_t before, left_bytes;

	for (uint32_t asks = 0; extents->end_bytes < map->size_bytes && asks < ASKS_MAX; asks++) {
		const nbd_extent_callback callback = { .callback = map_take, .user_data = map };

		before = extents->end_bytes;
		left_bytes = map->size_bytes - before;
		if (nbd_block_status(session->nbd,
				     left_bytes < ASK_BYTES_MAX ? left_bytes : ASK_BYTES_MAX,
				     before, callback, 0))
			return session_fail(session, "asking for the block status failed");
		if (map->add_error)
			break;
		if (extents->end_bytes == before) {
			output_error(map->look->verb,
				     "the server answered a block status request with nothing: it "
				     "breaks the protocol");
			return EXIT_CODE_REFUSED;
		}
	}
	if (extents->end_bytes == map->size_bytes)
		return EXIT_CODE_OK;
	output_error(map->look->verb,
		     "this disk is in too many pieces: mapped the first %zu of them",
		     extents->count);
	return EXIT_CODE_FAILURE;
}

static enum exit_code map_refuse(struct session *session)
{
	bool structured =
		!session->simple && nbd_get_structured_replies_negotiated(session->nbd) == 1;

	output_error(session->look->verb,
		     "%s does not say where its data is: %s; there is nothing to map",
		     session->look->described,
		     structured ? "it offers no block status (base:allocation)"
				: "it knows simple replies only, which carry no block status");
	return EXIT_CODE_REFUSED;
}

static enum exit_code map_open(struct map *map, struct session *session)
{
	enum exit_code exit_code = session_open(session, map->look, map->timeout_ms);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	if (nbd_add_meta_context(session->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return session_fail(session, "cannot prepare libnbd");
	exit_code = session_connect(session);
	if (session->simple)
		return map_refuse(session);
	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	map->size_bytes = (uint64_t)nbd_get_size(session->nbd);
	if (nbd_can_meta_context(session->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
		return map_refuse(session);
	return EXIT_CODE_OK;
}

/* --- output ------------------------------------------------------------------------------------- */

static uint64_t map_holes(const struct map *map)
{
	return map->extents.totals[EXTENT_HOLE] + map->extents.totals[EXTENT_HOLE_ZERO];
}

static int map_print_json(const struct map *map)
{
	const struct extents *extents = &map->extents;
	const char *name = map->look->uri.export_name;
	json_t *totals =
		json_pack("{s:I, s:I, s:I}", "data_bytes", (json_int_t)extents->totals[EXTENT_DATA],
			  "hole_bytes", (json_int_t)map_holes(map), "zero_bytes",
			  (json_int_t)extents->totals[EXTENT_ZERO]);

	return output_json(map->look->verb,
			   json_pack("{s:s, s:o, s:I, s:b, s:I, s:o, s:o}", "target",
				     map->look->described, "export", json_text(name, strlen(name)),
				     "size_bytes", (json_int_t)map->size_bytes, "complete",
				     (int)(extents->end_bytes == map->size_bytes), "mapped_bytes",
				     (json_int_t)extents->end_bytes, "extents",
				     extents_to_json(extents), "totals", totals));
}

static void map_print_total(const struct map *map, const char *name, uint64_t bytes)
{
	char size[64];

	if (bytes > 0)
		printf("%-6s %-12s %5.1f %%\n", name, output_size(size, sizeof(size), bytes),
		       100.0 * (double)bytes / (double)map->size_bytes);
}

static void map_print_picture(const struct map *map)
{
	char bar[BAR_COLUMNS + 1], size[64], target[sizeof(map->look->described)];

	output_size(size, sizeof(size), map->size_bytes);
	printf("%s: %s\n", output_text(target, sizeof(target), map->look->described), size);
	if (map->size_bytes == 0)
		return;
	extents_draw(&map->extents, map->size_bytes, bar, BAR_COLUMNS);
	printf("\n[%s]\n 0%*s\n", bar, BAR_COLUMNS - 1, size);
	printf(" # data   + some data   - zeroes   . hole%s\n\n",
	       map->extents.end_bytes < map->size_bytes ? "   ? not known" : "");
	map_print_total(map, "data", map->extents.totals[EXTENT_DATA]);
	map_print_total(map, "zero", map->extents.totals[EXTENT_ZERO]);
	map_print_total(map, "hole", map_holes(map));
	map_print_total(map, "?", map->size_bytes - map->extents.end_bytes);
}

static int map_print(const struct map *map)
{
	const struct extents *extents = &map->extents;
	char size[64];

	map_print_picture(map);
	if (extents->count > 0)
		printf("\n%20s %20s  %-5s\n", "OFFSET", "LENGTH", "TYPE");
	for (size_t i = 0; i < extents->count && i < ROWS_MAX; i++)
		printf("%20llu %20llu  %-5s (%s)\n",
		       (unsigned long long)extents->list[i].offset_bytes,
		       (unsigned long long)extents->list[i].length_bytes,
		       extent_name(extents->list[i].kind),
		       output_size(size, sizeof(size), extents->list[i].length_bytes));
	if (extents->count > ROWS_MAX)
		printf("... and %zu more: -o json shows all\n", extents->count - ROWS_MAX);
	return output_finish(map->look->verb);
}

/* What is known is shown even when not all is. */
static int map_run(struct map *map, const struct options *options)
{
	struct session session;
	int asked, printed = EXIT_CODE_OK;

	asked = map_open(map, &session);
	if (asked == EXIT_CODE_OK) {
		asked = map_ask(map, &session);
		printed = options->json ? map_print_json(map) : map_print(map);
	}
	session_close(&session);
	extents_clear(&map->extents);
	return asked == EXIT_CODE_OK ? printed : asked;
}

static bool map_option_take(const struct options *options, struct target_options *wanted,
			    struct map *map, int option)
{
	if (option == 't')
		return option_duration_ms(options, "--timeout", optarg, &timeout_limit,
					  &map->timeout_ms);
	return target_option_take(options, wanted, option);
}

int map_command(int argc, char **argv)
{
	static const struct option longs[] = {
		TARGET_OPTIONS, { "timeout", required_argument, NULL, 't' }, OPTIONS_COMMON, { 0 }
	};
	struct options options = { .verb = argv[0], .help = help, .longs = longs };
	struct map map = { .timeout_ms = MAP_TIMEOUT_MS };
	struct target_options wanted;
	struct look look;
	int option, exit_code = look_take_command(&look, &options, &argc, argv);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	map.look = &look;
	target_options_init(&wanted);
	while ((option = options_next(&options, argc, argv)) >= 0)
		if (!map_option_take(&options, &wanted, &map, option))
			return EXIT_CODE_USAGE;
	if (option == OPTION_EXIT)
		return options.exit_code;
	exit_code = look_open(&look, &options, &wanted, argc, argv);
	if (exit_code == EXIT_CODE_OK)
		exit_code = map_run(&map, &options);
	look_close(&look);
	return exit_code;
}
