/* SPDX-License-Identifier: MIT */
/*
 * ublk-nbd info: what `connect` would get from a server, by the same handshake, without opening the
 * export (NBD_OPT_INFO; where a server does not know that, it is opened and left again).
 */
#include <sched.h>
#include <stdio.h>

#include "gateway/cli/commands.h"
#include "gateway/cli/features.h"
#include "gateway/cli/forecast.h"
#include "gateway/cli/look.h"
#include "gateway/cli/output.h"
#include "gateway/common/tls_json.h"
#include "proto/wire.h"

static const char help[] =
	"Usage: ublk-nbd info [OPTION...] TARGET\n"
	"       ublk-nbd info [OPTION...] [ COMMAND WORD... ]\n"
	"What connect would get: size, features, limits, and the disk made of them.\n"
	"\n"
	"      --export NAME           the export, instead of the one in TARGET\n"
	"      --connect-timeout TIME  for name, dial and handshake (30s)\n"
	"      --tls, --tls-..., --ktls  TLS: see ublk-nbd-connect(1)\n"
	"  -o, --output FORMAT         text or json\n"
	"  -v, --verbose               each step as it is done\n"
	"  -h, --help                  this\n"
	"\n"
	"Example: ublk-nbd info nbd://server/disk\n"
	"See ublk-nbd-info(1).\n";

static const char *framing_name(enum nbd_framing framing)
{
	switch (framing) {
	case NBD_FRAMING_EXTENDED:
		return "extended";
	case NBD_FRAMING_STRUCTURED:
		return "structured";
	default:
		return "simple";
	}
}

static json_t *forecast_to_json(const struct forecast *forecast)
{
	if (!forecast->possible)
		return json_pack("{s:b, s:s}", "possible", 0, "reason", forecast->why_not);
	return json_pack("{s:b, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:b}", "possible", 1,
			 "size_bytes", (json_int_t)forecast->disk.size_bytes, "tail_bytes",
			 (json_int_t)forecast->disk.tail_bytes, "logical_block_bytes",
			 (int)forecast->disk.logical_block_bytes, "physical_block_bytes",
			 (int)forecast->disk.physical_block_bytes, "max_io_bytes",
			 (int)forecast->disk.max_io_bytes, "requests_per_io",
			 (int)forecast->disk.parts_max, "connections",
			 (int)forecast->disk.connections, "read_only",
			 (int)forecast->disk.read_only);
}

static int info_print_json(const struct look *look, const struct dial_result *result,
			   const struct forecast *forecast)
{
	const struct nbd_export *export = result->export;
	json_t *object = json_pack(
		"{s:s, s:s, s:s, s:s, s:I, s:b, s:o, s:s, s:b}", "target", look->described, "peer",
		result->peer_text, "export", export->name, "description", export->description,
		"size_bytes", (json_int_t) export->size_bytes, "read_only",
		(int)(export->flags & NBD_FLAG_READ_ONLY), "features",
		features_to_json(export->flags), "framing", framing_name(export->framing),
		"block_sizes_given", (int)export->block_sizes_given);

	if (object && result->secured)
		json_object_set_new(object, "tls", tls_json_describe(&result->tls));
	if (object)
		json_object_update_new(
			object,
			json_pack("{s:I, s:I, s:I, s:o}", "block_minimum_bytes",
				  (json_int_t) export->block_minimum_bytes, "block_preferred_bytes",
				  (json_int_t) export->block_preferred_bytes, "payload_max_bytes",
				  (json_int_t) export->payload_max_bytes, "disk",
				  forecast_to_json(forecast)));
	return output_json(look->verb, object);
}

static void info_print_blocks(const struct nbd_export *export)
{
	char minimum[32], preferred[32], maximum[32];

	output_field("blocks", "%s smallest, %s preferred%s",
		     output_size(minimum, sizeof(minimum), export->block_minimum_bytes),
		     output_size(preferred, sizeof(preferred), export->block_preferred_bytes),
		     export->block_sizes_given ? "" : " (assumed: the server names none)");
	output_field("largest request", "%s",
		     output_size(maximum, sizeof(maximum), export->payload_max_bytes));
}

static void info_print_forecast(const struct forecast *forecast)
{
	char size[64], block[32], io[32];

	printf("\nconnect would make of it:\n");
	if (!forecast->possible) {
		output_field("no disk", "%s", forecast->why_not);
		return;
	}
	output_field("disk", "%s, %s", output_size(size, sizeof(size), forecast->disk.size_bytes),
		     forecast->disk.read_only ? "read-only" : "read-write");
	if (forecast->disk.tail_bytes > 0)
		output_field("left out",
			     "the last %llu bytes: the size is not a multiple of the block",
			     (unsigned long long)forecast->disk.tail_bytes);
	output_field("logical block", "%s",
		     output_size(block, sizeof(block), forecast->disk.logical_block_bytes));
	output_field("largest I/O", "%s, in %u request%s",
		     output_size(io, sizeof(io), forecast->disk.max_io_bytes),
		     forecast->disk.parts_max, forecast->disk.parts_max == 1 ? "" : "s");
	output_field("connections", "%u, with a queue each where the kernel grants it",
		     forecast->disk.connections);
	output_field("cache", "%s", forecast->cache);
}

static void info_print_tls(const struct tls_description *tls)
{
	output_field("TLS", "%s, %s", tls->version, tls->cipher);
	output_field("TLS peer", "%s, %s", tls->peer, tls->verified ? "verified" : "NOT verified");
	output_field("TLS by", "%s sends, %s receives", tls->kernel_send ? "kernel" : "userspace",
		     tls->kernel_receive ? "kernel" : "userspace");
}

static int info_print(const struct look *look, const struct dial_result *result,
		      const struct forecast *forecast)
{
	const struct nbd_export *export = result->export;
	char size[64], features[256], text[NBD_STRING_BYTES_MAX + 1];

	output_field("target", "%s", output_text(text, sizeof(text), look->described));
	output_field("peer", "%s", result->peer_text);
	if (result->secured)
		info_print_tls(&result->tls);
	output_field("export", "\"%s\"", output_text(text, sizeof(text), export->name));
	if (export->description[0])
		output_field("description", "%s",
			     output_text(text, sizeof(text), export->description));
	output_field("size", "%s (%llu bytes)", output_size(size, sizeof(size), export->size_bytes),
		     (unsigned long long)export->size_bytes);
	output_field("access", export->flags & NBD_FLAG_READ_ONLY ? "read-only" : "read-write");
	output_field("features", "%s", features_to_text(features, sizeof(features), export->flags));
	output_field("replies", "%s%s", framing_name(export->framing),
		     export->used_export_name ? " (an old server: GO is unknown to it)" : "");
	info_print_blocks(export);
	info_print_forecast(forecast);
	return output_finish(look->verb);
}

static void info_progress(void *context, enum dial_stage stage, int error, const char *sentence)
{
	const struct look *look = context;

	(void)stage;
	if (!error)
		output_progress(true, look->verb, "%s", sentence);
}

static uint32_t usable_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (uint32_t)CPU_COUNT(&set);
}

static int info_run(struct look *look, const struct options *options)
{
	struct dial_options dial = {
		.goal = NBD_GOAL_INFO,
		.progress = options->verbose ? info_progress : NULL,
		.context = look,
	};
	struct forecast forecast;
	struct dial_result result;
	int exit_code;

	if (look_dial(look, &dial, &result)) {
		output_error(look->verb, "%s", result.sentence);
		return result.exit_code;
	}
	forecast_make(&forecast, result.export, usable_cpus());
	exit_code = options->json ? info_print_json(look, &result, &forecast)
				  : info_print(look, &result, &forecast);
	dial_result_clear(&result);
	return exit_code;
}

int cmd_info(int argc, char **argv)
{
	return look_command(help, LOOK_TARGET_NEEDED, info_run, argc, argv);
}
