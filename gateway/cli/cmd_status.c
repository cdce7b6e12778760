/* SPDX-License-Identifier: MIT */
/* cmd_status.c - the verb "status": what a daemon tells of its device. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/device_find.h"
#include "gateway/cli/disk_state.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/options.h"
#include "gateway/cli/output.h"

#define VERB "status"

static const char help[] =
	"Usage: ublk-nbd status [OPTION...] DEVICE\n"
	"Shows all about a disk: what was negotiated, its connections, its counters.\n"
	"\n"
	"  -o, --output json|text  json: one object\n"
	"  -v, --verbose           tell each step\n"
	"  -h, --help              this text; ublk-nbd-status(1) has more\n"
	"\n"
	"DEVICE is 0, ublkb0, /dev/ublkb0 or a NAME. Exit status 0: its daemon answered;\n"
	"1: it does not (what is known is shown); 7: no such device.\n";

static const struct option longs[] = { OPTIONS_COMMON, { 0 } };

/* --- the page --------------------------------------------------------------------------------------------- */

static const char *string_of(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static uint64_t number_of(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

static void print_string(const json_t *status, const char *key, const char *label)
{
	const char *value = string_of(status, key);

	if (value[0])
		output_field(label, "%s", value);
}

static void print_link(const json_t *status)
{
	print_string(status, "link", "link");
	if (!string_of(status, "link")[0] && string_of(status, "link_shared_with")[0])
		output_field("link",
			     "none: %s has, or had, the same server, port and export; "
			     "'connect --name' tells them apart",
			     string_of(status, "link_shared_with"));
}

static void print_bytes(const json_t *status, const char *key, const char *label)
{
	uint64_t bytes = number_of(status, key);
	char size[32];

	if (!json_object_get(status, key))
		return;
	output_size(size, sizeof(size), bytes);
	if (bytes < 1024)
		output_field(label, "%s", size);
	else
		output_field(label, "%s (%" PRIu64 " bytes)", size, bytes);
}

static void print_features(const json_t *status)
{
	char line[512] = "";
	const json_t *feature;
	size_t i, used = 0;

	json_array_foreach(json_object_get(status, "features"), i, feature)
	{
		const char *name = json_string_value(feature);

		if (name && used + strlen(name) + 3 < sizeof(line))
			used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s",
						 used ? ", " : "", name);
	}
	if (used)
		output_field("server offers", "%s", line);
}

static void print_tls(const json_t *tls)
{
	if (tls)
		output_field("  TLS", "%s, %s, %s, %s%s; %s sends, %s receives",
			     string_of(tls, "version"), string_of(tls, "cipher"),
			     string_of(tls, "peer"),
			     json_is_true(json_object_get(tls, "verified")) ? "verified"
									    : "NOT verified",
			     json_is_true(json_object_get(tls, "resumed")) ? ", resumed" : "",
			     string_of(tls, "send"), string_of(tls, "receive"));
}

static void print_connections(const json_t *status)
{
	const json_t *connection;
	size_t i;

	json_array_foreach(json_object_get(status, "connections"), i, connection)
	{
		const char *reason = string_of(connection, "reason");

		output_field("connection",
			     "%s, %s, queue %" PRIu64 ", %s, %" PRIu64 " in flight%s%s",
			     string_of(connection, "peer"), string_of(connection, "transport"),
			     number_of(connection, "queue"), string_of(connection, "state"),
			     number_of(connection, "in_flight"), reason[0] ? ": " : "", reason);
		print_tls(json_object_get(connection, "tls"));
	}
}

/* Which CPUs have this queue, by the kernel: "0, 2". */
static const char *queue_cpus(const json_t *status, uint64_t queue, char *out, size_t out_bytes)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/ublkb%" PRIu64 "/mq/%" PRIu64 "/cpu_list",
		 number_of(status, "number"), queue);
	file = fopen(path, "re");
	if (!file || !fgets(out, (int)out_bytes, file))
		snprintf(out, out_bytes, "unknown");
	if (file)
		fclose(file);
	out[strcspn(out, "\n")] = '\0';
	return out;
}

static void print_queues_cut_off(const json_t *status)
{
	const json_t *queue;
	char cpus[200];
	size_t i;

	json_array_foreach(json_object_get(status, "queues_cut_off"), i, queue)
	{
		uint64_t id = (uint64_t)json_integer_value(queue);

		output_field("cut off", "queue %" PRIu64 " (CPUs %s) has no connection", id,
			     queue_cpus(status, id, cpus, sizeof(cpus)));
	}
}

/* Where the disk has lost its server: what that means for its I/O, and until when. */
static void print_server(const json_t *status)
{
	const json_t *server = json_object_get(status, "server"), *dead_in;
	const char *state = string_of(server, "state");

	if (!state[0])
		return;
	dead_in = json_object_get(server, "dead_in_ms");
	if (strcmp(state, "online"))
		output_field("server", "%s for %" PRIu64 " s: %s", state,
			     number_of(server, "since_ms") / 1000, string_of(server, "reason"));
	if (json_is_integer(dead_in))
		output_field("I/O fails in", "%" PRIu64 " s",
			     number_of(server, "dead_in_ms") / 1000);
	if (number_of(server, "waiting"))
		output_field("requests waiting", "%" PRIu64 ", the oldest for %" PRIu64 " s",
			     number_of(server, "waiting"),
			     number_of(server, "oldest_wait_ms") / 1000);
	if (strcmp(state, "online") && string_of(server, "last_error")[0])
		output_field("last attempt", "%s", string_of(server, "last_error"));
	if (json_is_true(json_object_get(server, "flush_fails")))
		output_field("FLUSH", "fails: acknowledged writes may be lost; 'ublk-nbd reconnect "
				      "--accept-loss' ends that");
}

/* Where writes of a lost connection may still take effect. */
static void print_holds(const json_t *status)
{
	const json_t *holds = json_object_get(status, "holds");
	char size[32];

	if (number_of(status, "unflushed_writes"))
		output_field("not flushed", "%" PRIu64 " writes",
			     number_of(status, "unflushed_writes"));
	if (number_of(holds, "ranges"))
		output_field("held", "%s in %" PRIu64 " ranges: newer writes there wait",
			     output_size(size, sizeof(size), number_of(holds, "bytes")),
			     number_of(holds, "ranges"));
}

/* "read_bytes" becomes "read bytes"; those that are still 0 say nothing and are left out. */
static void print_counters(const json_t *status)
{
	const json_t *value;
	const char *key;
	bool any = false;

	json_object_foreach(json_object_get(status, "stats"), key, value)
	{
		char label[64], size[32];
		size_t bytes = strlen(key);
		uint64_t count = (uint64_t)json_integer_value(value);

		if (!count || bytes >= sizeof(label))
			continue;
		for (size_t i = 0; i <= bytes; i++)
			label[i] = key[i] == '_' ? ' ' : key[i];
		if (!any)
			puts("Since it was connected:");
		any = true;
		if (bytes > 6 && !strcmp(key + bytes - 6, "_bytes"))
			output_field(label, "%s", output_size(size, sizeof(size), count));
		else
			output_field(label, "%" PRIu64, count);
	}
}

static int print_page(const json_t *status)
{
	output_field("device", "%s%s", string_of(status, "device"),
		     json_is_true(json_object_get(status, "read_only")) ? ", read-only" : "");
	output_field("state", "%s", disk_state_word(status));
	print_string(status, "name", "name");
	print_link(status);
	print_string(status, "target", "target");
	print_string(status, "export", "export");
	print_string(status, "description", "description");
	print_string(status, "owner", "owner");
	if (number_of(status, "pid"))
		output_field("daemon", "process %" PRIu64, number_of(status, "pid"));
	print_bytes(status, "size_bytes", "size");
	print_bytes(status, "logical_block_bytes", "logical block");
	print_bytes(status, "physical_block_bytes", "physical block");
	print_bytes(status, "max_io_bytes", "largest request");
	if (json_object_get(status, "queues"))
		output_field("queues", "%" PRIu64 " of %" PRIu64 " requests, payload %s",
			     number_of(status, "queues"), number_of(status, "queue_depth"),
			     string_of(status, "payload"));
	print_string(status, "framing", "replies");
	print_features(status);
	if (json_object_get(status, "timeout_ms"))
		output_field("timeout", "%g s", (double)number_of(status, "timeout_ms") / 1000);
	if (json_is_true(json_object_get(status, "swap")))
		output_field("in use as", "swap: short of memory, the machine may stand still; see "
					  "SWAP in ublk-nbd(1)");
	print_connections(status);
	print_server(status);
	print_holds(status);
	print_queues_cut_off(status);
	if (string_of(status, "last_error")[0])
		output_field("last error", "%s (%" PRIu64 " s ago)",
			     string_of(status, "last_error"),
			     number_of(status, "last_error_age_ms") / 1000);
	print_counters(status);
	return output_finish(VERB);
}

/* --- the verb --------------------------------------------------------------------------------------------- */

/* A monitor shall notice without reading anything. */
static int judge_connections(const json_t *status, const char *state, const char *device)
{
	if (!strcmp(state, "degraded")) {
		output_warning(VERB, "%s is degraded: it has lost %" PRIu64 " of %zu connections",
			       device, number_of(status, "connections_lost"),
			       json_array_size(json_object_get(status, "connections")));
		return EXIT_CODE_DEGRADED;
	}
	if (strcmp(state, "waiting") && strcmp(state, "failing") && strcmp(state, "refused"))
		return EXIT_CODE_OK;
	output_warning(VERB, "%s is %s: it has lost its server, and dials it again", device, state);
	return EXIT_CODE_AWAY;
}

/* Somebody answered, or the disk is not well: then a program shall notice. */
static int judge(const json_t *status)
{
	const char *state = string_of(status, "state");
	const char *device = string_of(status, "device");

	if (strcmp(state, "dead") && strcmp(state, "silent") && strcmp(state, "starting") &&
	    strcmp(state, "unseen"))
		return judge_connections(status, state, device);
	if (!strcmp(state, "dead"))
		output_error(VERB,
			     "the daemon of %s is dead, its I/O fails: 'ublk-nbd disconnect %s' "
			     "removes what is left",
			     device, device);
	else if (!strcmp(state, "silent"))
		output_error(VERB,
			     "the daemon of %s does not answer: 'ublk-nbd disconnect --force %s' "
			     "kills it; what is unwritten is lost then",
			     device, device);
	else if (!strcmp(state, "unseen"))
		output_error(VERB,
			     "the daemon of %s cannot be asked from here: it is in a container "
			     "perhaps, or has another runtime directory: ask there",
			     device);
	else
		output_error(VERB, "%s is still being connected", device);
	return EXIT_CODE_FAILURE;
}

static bool exists(uint32_t number)
{
	uint64_t tag;
	int error = disk_tag(number, &tag);

	return !error || (error != -ENXIO && disk_has_files(number));
}

static int show(const struct options *options, uint32_t number)
{
	json_t *status = disk_state_full(number);
	int exit_code, printed;

	if (!status)
		return output_json(VERB, NULL);
	exit_code = judge(status);
	if (options->json) {
		printed = output_json(VERB, status);
	} else {
		printed = print_page(status);
		json_decref(status);
	}
	return exit_code ? exit_code : printed;
}

int cmd_status(int argc, char **argv)
{
	struct options options = { .verb = VERB, .help = help, .longs = longs };
	enum exit_code exit_code;
	uint32_t number;

	if (options_next(&options, argc, argv) == OPTION_EXIT)
		return options.exit_code;
	if (!options_check_words(&options, argc, 1, 1, "DEVICE"))
		return EXIT_CODE_USAGE;
	exit_code = device_find(VERB, argv[optind], &number);
	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	if (exists(number))
		return show(&options, number);
	output_error(VERB,
		     "ublk-nbd made no device %u (or only root may see it): 'ublk-nbd list' shows "
		     "those there are",
		     number);
	return EXIT_CODE_NO_DEVICE;
}
