/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/connect_options.h"
#include "gateway/cli/device_name.h"
#include "gateway/cli/option_time.h"
#include "gateway/cli/output.h"
#include "gateway/cli/owner.h"
#include "gateway/cli/server_command.h"
#include "gateway/cli/target.h"
#include "gateway/cli/target_tls.h"

static const char help[] =
	"Usage: ublk-nbd connect [OPTION...] TARGET\n"
	"       ublk-nbd connect [OPTION...] [ PROGRAM ARGUMENT... ]\n"
	"       ublk-nbd connect [OPTION...] NAME | --all  as in ublk-nbd.conf(5)\n"
	"Makes a block device of an NBD export and prints its path once it is usable.\n"
	"      --export NAME          the export, instead of the one in TARGET\n"
	"      --device N             the device's number (default: the first free one)\n"
	"      --name NAME            its name: the link /dev/disk/by-ublk-nbd/NAME\n"
	"      --owner NAME           whose it is, for list and disconnect --all\n"
	"      --idempotent           print the device already connected like this\n"
	"  -r, --read-only            refuse writes\n"
	"  -t, --timeout TIME         what a request in flight may take (30s)\n"
	"      --connect-timeout TIME what name, dial and handshake may take (30s)\n"
	"      --retry-for TIME       how long to wait for a server that is not up (0)\n"
	"      --dead-timeout TIME|never  how long I/O waits for a lost server (10m)\n"
	"      --server-cache fail|stable, --quiet-time TIME  what a loss may mean\n"
	"      --connections N, --queue-depth N  1 to 16 (4), 1 to 4096 requests (128)\n"
	"      --block-size SIZE      logical block (512, or what the server needs)\n"
	"      --max-io-size SIZE, --payload HOW, --no-structured  tuning, odd servers\n"
	"      --tls, --tls-..., --ktls  TLS: see ublk-nbd-connect(1)\n"
	"      --config DIR, --foreground  read DIR; stay, and end with the device\n"
	"  -o, --output json|text     json: all about the device\n"
	"  -v, --verbose              tell each step\n"
	"  -h, --help                 this text; ublk-nbd-connect(1) has more\n"
	"TIME is 30, 500ms, 2m or 1h; SIZE is 4096, 64K or 1M.\n";

enum {
	DEVICE = OPTION_OWN,
	NAME,
	OWNER,
	IDEMPOTENT,
	DEAD_TIMEOUT,
	QUIET_TIME,
	RETRY_FOR,
	SERVER_CACHE,
	CONNECTIONS,
	QUEUE_DEPTH,
	BLOCK_SIZE,
	MAX_IO_SIZE,
	PAYLOAD,
	NO_STRUCTURED,
	FOREGROUND,
	ALL,
	CONFIG,
};

static const struct option longs[] = {
	TARGET_OPTIONS,
	{ "device", required_argument, NULL, DEVICE },
	{ "name", required_argument, NULL, NAME },
	{ "owner", required_argument, NULL, OWNER },
	{ "idempotent", no_argument, NULL, IDEMPOTENT },
	{ "read-only", no_argument, NULL, 'r' },
	{ "timeout", required_argument, NULL, 't' },
	{ "dead-timeout", required_argument, NULL, DEAD_TIMEOUT },
	{ "quiet-time", required_argument, NULL, QUIET_TIME },
	{ "retry-for", required_argument, NULL, RETRY_FOR },
	{ "server-cache", required_argument, NULL, SERVER_CACHE },
	{ "connections", required_argument, NULL, CONNECTIONS },
	{ "queue-depth", required_argument, NULL, QUEUE_DEPTH },
	{ "block-size", required_argument, NULL, BLOCK_SIZE },
	{ "max-io-size", required_argument, NULL, MAX_IO_SIZE },
	{ "payload", required_argument, NULL, PAYLOAD },
	{ "no-structured", no_argument, NULL, NO_STRUCTURED },
	{ "foreground", no_argument, NULL, FOREGROUND },
	{ "all", no_argument, NULL, ALL },
	{ "config", required_argument, NULL, CONFIG },
	OPTIONS_COMMON,
	{ 0 },
};

/* --- "[ PROGRAM ARGUMENT... ]" --------------------------------------------------------------------------- */

static bool command_take(struct connect_options *wanted, int *argc, char **argv)
{
	const char *verb = wanted->common.verb;
	char *words[DISK_COMMAND_ARGS_MAX + 1];

	if (!server_command_take(verb, words, argc, argv))
		return false;
	for (int i = 0; words[i]; i++) {
		json_t *text = json_string(words[i]);

		json_decref(text);
		if (!text) {
			output_error(verb, "a word between '[' and ']' is not UTF-8 text");
			return false;
		}
		wanted->config.command[i] = strdup(words[i]);
		if (!wanted->config.command[i]) {
			output_error(verb, "out of memory");
			return false;
		}
	}
	return true;
}

/* --- options --------------------------------------------------------------------------------------------- */

static bool take_device(struct connect_options *wanted)
{
	char error[400];
	uint32_t number;

	if (device_name_parse(optarg, &number, error, sizeof(error))) {
		output_error(wanted->common.verb, "--device: %s", error);
		return false;
	}
	wanted->config.device = (int32_t)number;
	return true;
}

static bool take_name(struct connect_options *wanted)
{
	if (disk_name_is_valid(optarg)) {
		strcpy(wanted->config.name, optarg);
		return true;
	}
	output_error(wanted->common.verb, "--name: '%s' is not a valid disk name: " DISK_NAME_RULE,
		     optarg);
	return false;
}

static bool take_payload(struct connect_options *wanted)
{
	if (!disk_payload_parse(optarg, &wanted->config.payload))
		return true;
	output_error(wanted->common.verb, "--payload: '%s' is not auto, mapped or user-copy",
		     optarg);
	return false;
}

static bool take_server_cache(struct connect_options *wanted)
{
	if (!disk_server_cache_parse(optarg, &wanted->config.server_cache))
		return true;
	output_error(wanted->common.verb, "--server-cache: '%s' is neither fail nor stable",
		     optarg);
	return false;
}

static bool take_number(struct connect_options *wanted, int option)
{
	const struct options *common = &wanted->common;
	struct disk_config *config = &wanted->config;
	struct disk_limit limit;

	switch (option) {
	case 't':
		limit = disk_config_limit("timeout_ms");
		return option_duration_ms(common, "--timeout", optarg, &limit, &config->timeout_ms);
	case CONNECTIONS:
		limit = disk_config_limit("connections");
		return option_number(common, "--connections", optarg, &limit, &config->connections);
	case QUEUE_DEPTH:
		limit = disk_config_limit("queue_depth");
		return option_number(common, "--queue-depth", optarg, &limit, &config->queue_depth);
	case BLOCK_SIZE:
		limit = disk_config_limit("block_size_bytes");
		return option_bytes(common, "--block-size", optarg, &limit,
				    &config->block_size_bytes);
	case MAX_IO_SIZE:
		limit = disk_config_limit("max_io_bytes");
		return option_bytes(common, "--max-io-size", optarg, &limit, &config->max_io_bytes);
	default:
		return true;
	}
}

static bool take_option(struct connect_options *wanted, int option)
{
	switch (option) {
	case 'r':
		wanted->config.read_only = true;
		return true;
	case IDEMPOTENT:
		wanted->idempotent = true;
		return true;
	case NO_STRUCTURED:
		wanted->config.no_structured = true;
		return true;
	case FOREGROUND:
		wanted->config.foreground = true;
		return true;
	case ALL:
		wanted->all = true;
		return true;
	case CONFIG:
		wanted->config_directory = optarg;
		return true;
	case DEVICE:
		return take_device(wanted);
	case NAME:
		return take_name(wanted);
	case OWNER:
		return owner_take(&wanted->common, optarg, wanted->config.owner);
	case PAYLOAD:
		return take_payload(wanted);
	case DEAD_TIMEOUT:
		return option_dead_timeout(&wanted->common, optarg,
					   &wanted->config.dead_timeout_ms);
	case QUIET_TIME:
		return option_quiet_time(&wanted->common, optarg, &wanted->config.quiet_time_ms);
	case RETRY_FOR:
		return option_retry_for(&wanted->common, optarg, &wanted->retry_for_ms);
	case SERVER_CACHE:
		return take_server_cache(wanted);
	default:
		return take_number(wanted, option);
	}
}

/* --- options of files -------------------------------------------------------------------------------------- */

const struct option *connect_options_table(void)
{
	return longs;
}

bool connect_option_is_key(const struct option *option)
{
	static const int commands[] = { NAME, IDEMPOTENT, FOREGROUND, ALL, CONFIG, 'o', 'v', 'h' };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (option->val == commands[i])
			return false;
	return true;
}

const struct option *connect_option_find(const char *key)
{
	for (const struct option *option = longs; option->name; option++)
		if (!strcmp(option->name, key) && connect_option_is_key(option))
			return option;
	return NULL;
}

bool connect_options_set(struct connect_options *wanted, const struct option *option,
			 const char *value)
{
	if (option->has_arg == no_argument) {
		if (!strcmp(value, "no"))
			return true;
		if (strcmp(value, "yes")) {
			output_error(wanted->common.verb, "--%s: '%s' is neither yes nor no",
				     option->name, value);
			return false;
		}
	}
	optarg = (char *)value; /* where getopt(3) leaves it */
	return target_option_take(&wanted->common, &wanted->target, option->val) &&
	       take_option(wanted, option->val);
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static int exit_with(struct connect_options *wanted, int exit_code)
{
	connect_options_clear(wanted);
	wanted->common.exit_code = exit_code;
	return OPTION_EXIT;
}

static int usage_exit(struct connect_options *wanted)
{
	return exit_with(wanted, EXIT_CODE_USAGE);
}

void connect_options_init(struct connect_options *wanted)
{
	memset(wanted, 0, sizeof(*wanted));
	wanted->common = (struct options){ .verb = "connect", .help = help, .longs = longs };
	disk_config_init(&wanted->config);
	target_options_init(&wanted->target);
}

/* The word after the options: TARGET, unless a command was there, or --all. */
static bool take_word(struct connect_options *wanted, int argc, char **argv)
{
	bool command = wanted->config.command[0] != NULL;

	if (wanted->all)
		return options_check_words(&wanted->common, argc, 0, 0, "");
	if (command && argc > optind) {
		output_error(wanted->common.verb,
			     "'%s' and a server to start: only one of them can be "
			     "the target",
			     argv[optind]);
		return false;
	}
	if (!command && !options_check_words(&wanted->common, argc, 1, 1, "TARGET"))
		return false;
	wanted->word = command ? NULL : argv[optind];
	return true;
}

int connect_options_parse(struct connect_options *wanted, int argc, char **argv)
{
	int option;

	if (!command_take(wanted, &argc, argv))
		return usage_exit(wanted);
	while ((option = options_next(&wanted->common, argc, argv)) >= 0) {
		wanted->disk_options |= option != ALL && option != CONFIG && option != IDEMPOTENT;
		if (!target_option_take(&wanted->common, &wanted->target, option) ||
		    !take_option(wanted, option))
			return usage_exit(wanted);
	}
	if (option == OPTION_EXIT)
		return exit_with(wanted, wanted->common.exit_code);
	if (wanted->idempotent && wanted->config.foreground) {
		output_error(wanted->common.verb,
			     "--foreground stays with a disk of its own, and --idempotent may find "
			     "one that is there: only one of them");
		return usage_exit(wanted);
	}
	if (wanted->all && (wanted->disk_options || wanted->config.command[0])) {
		output_error(wanted->common.verb,
			     "--all takes each disk's options from the configuration: only "
			     "--config, --idempotent, --output and --verbose go with it");
		return usage_exit(wanted);
	}
	return take_word(wanted, argc, argv) ? OPTION_END : usage_exit(wanted);
}

int connect_options_complete(struct connect_options *wanted)
{
	struct disk_config *config = &wanted->config;
	enum exit_code exit_code = EXIT_CODE_OK;

	if (wanted->word)
		exit_code = target_parse(&wanted->common, &wanted->target, wanted->word,
					 &config->target);
	else if (!target_set_export(&wanted->common, &wanted->target, &config->target))
		exit_code = EXIT_CODE_USAGE;
	else
		exit_code =
			target_tls_complete(&wanted->common, &wanted->target.tls, &config->target);
	if (exit_code != EXIT_CODE_OK)
		return exit_with(wanted, (int)exit_code);
	config->tls = wanted->target.tls.options;
	config->connect_timeout_ms = wanted->target.connect_timeout_ms;
	config->verbose = wanted->common.verbose;
	return OPTION_END;
}

void connect_options_clear(struct connect_options *wanted)
{
	disk_config_clear(&wanted->config);
}
