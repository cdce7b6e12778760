/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/look.h"
#include "gateway/cli/output.h"
#include "gateway/cli/server_command.h"
#include "gateway/cli/target_tls.h"
#include "gateway/common/dial_task.h"
#include "gateway/common/server_tag.h"
#include "gateway/common/target_text.h"

/* A server that refuses its own arguments closes the connection before it has ended. */
#define LOOK_END_MS 300

enum exit_code look_take_command(struct look *look, const struct options *options, int *argc,
				 char **argv)
{
	memset(look, 0, sizeof(*look));
	look->verb = options->verb;
	return server_command_take(look->verb, look->command, argc, argv) ? EXIT_CODE_OK
									  : EXIT_CODE_USAGE;
}

/* The server that is running, whose socket nobody but us removes. */
static const struct activation *volatile look_server;

static void remove_socket(int signal_number)
{
	if (look_server) {
		unlink(look_server->socket_path);
		rmdir(look_server->directory);
	}
	raise(signal_number); /* once more, and by then not caught; the server's minder ends it then */
}

static void remove_socket_at_signals(const struct activation *activation)
{
	const struct sigaction action = { .sa_handler = remove_socket, .sa_flags = SA_RESETHAND };

	look_server = activation;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static enum exit_code look_start(struct look *look)
{
	if (!activation_start(&look->activation, look->command, SERVER_TAG_NONE,
			      look->start_failure, sizeof(look->start_failure))) {
		remove_socket_at_signals(&look->activation);
		activation_target(&look->activation, &look->uri);
		return EXIT_CODE_OK;
	}
	if (look->reports_start)
		return EXIT_CODE_OK;
	output_error(look->verb, "%s", look->start_failure);
	return EXIT_CODE_UNREACHABLE;
}

enum exit_code look_open(struct look *look, const struct options *options,
			 struct target_options *wanted, int argc, char **argv)
{
	enum exit_code exit_code = EXIT_CODE_OK;
	int words = look->command[0] ? 0 : 1;

	look->connect_timeout_ms = wanted->connect_timeout_ms;
	if (!options_check_words(options, argc, words, words,
				 words ? "TARGET" : "either TARGET or [ COMMAND ]"))
		return EXIT_CODE_USAGE;
	if (words)
		exit_code = target_parse(options, wanted, argv[optind], &look->uri);
	else if (!target_set_export(options, wanted, &look->uri))
		exit_code = EXIT_CODE_USAGE;
	else
		exit_code = target_tls_complete(options, &wanted->tls, &look->uri);
	look->tls = wanted->tls.options;
	if (exit_code == EXIT_CODE_OK && look->command[0])
		exit_code = look_start(look);
	target_describe(&look->uri, look->command, look->described, sizeof(look->described));
	return exit_code;
}

bool look_server_has_ended(struct look *look, char *sentence, size_t sentence_bytes)
{
	struct pollfd ended = { .fd = look->activation.minder_fd, .events = POLLIN };

	if (look->activation.pid == 0)
		return false;
	poll(&ended, 1, LOOK_END_MS);
	return activation_has_ended(&look->activation, sentence, sentence_bytes);
}

int look_dial(struct look *look, struct dial_options *options, struct dial_result *result)
{
	char ended[sizeof(result->sentence)];

	options->target = &look->uri;
	options->tls = &look->tls;
	options->timeout_ms = look->connect_timeout_ms;
	if (!dial_run_bounded(options, result))
		return 0;
	/* "[ nbdkit nonsense ]": that it ended says more than that nobody listens. */
	if (result->exit_code == EXIT_CODE_UNREACHABLE &&
	    look_server_has_ended(look, ended, sizeof(ended)))
		memcpy(result->sentence, ended, sizeof(ended));
	return -result->error;
}

void look_close(struct look *look)
{
	activation_stop(&look->activation);
	look_server = NULL;
}

int look_command(const char *help, enum look_target target,
		 int (*run)(struct look *look, const struct options *options), int argc,
		 char **argv)
{
	static const struct option plain[] = { TARGET_OPTIONS, OPTIONS_COMMON, { 0 } };
	static const struct option timed[] = {
		TARGET_OPTIONS, { "timeout", required_argument, NULL, 't' }, OPTIONS_COMMON, { 0 }
	};
	const struct disk_limit limit = disk_config_limit("timeout_ms");
	struct options options = {
		.verb = argv[0],
		.help = help,
		.longs = target == LOOK_TARGET_OPTIONAL ? timed : plain,
	};
	struct target_options wanted;
	struct look look;
	int option, exit_code = look_take_command(&look, &options, &argc, argv);

	if (exit_code != EXIT_CODE_OK)
		return exit_code;
	target_options_init(&wanted);
	look.timeout_ms = DISK_TIMEOUT_MS;
	while ((option = options_next(&options, argc, argv)) >= 0)
		if (option == 't' ? !option_duration_ms(&options, "--timeout", optarg, &limit,
							&look.timeout_ms)
				  : !target_option_take(&options, &wanted, option))
			return EXIT_CODE_USAGE;
	if (option == OPTION_EXIT)
		return options.exit_code;
	look.reports_start = target == LOOK_TARGET_OPTIONAL;
	look.given = target == LOOK_TARGET_NEEDED || look.command[0] || optind < argc;
	if (look.given)
		exit_code = look_open(&look, &options, &wanted, argc, argv);
	if (exit_code == EXIT_CODE_OK)
		exit_code = run(&look, &options);
	look_close(&look);
	return exit_code;
}
