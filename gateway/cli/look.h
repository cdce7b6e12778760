/* SPDX-License-Identifier: MIT */
/*
 * look.h - the server that a verb which only looks (exports, map, info, doctor) talks to: a TARGET,
 * or one that is started for it, "[ nbdkit memory 1G ]". look_command() is all of such a verb's command
 * line, unless it has options of its own:
 *
 *	struct look look;
 *
 *	exit_code = look_take_command(&look, &options, &argc, argv);
 *	... options_next() until OPTION_END ...
 *	exit_code = look_open(&look, &options, &wanted, argc, argv);
 *	...
 *	look_close(&look);
 */
#ifndef GATEWAY_CLI_LOOK_H
#define GATEWAY_CLI_LOOK_H

#include "gateway/cli/options.h"
#include "gateway/cli/target.h"
#include "gateway/common/activation.h"
#include "gateway/common/dial_result.h"
#include "gateway/common/disk_config.h"

struct look {
	const char *verb;
	struct nbd_uri uri;	/* where to dial */
	struct tls_options tls; /* where uri.tls */
	uint32_t connect_timeout_ms;
	uint32_t timeout_ms; /* of one request, as connect's --timeout; set by look_command() */
	char *command[DISK_COMMAND_ARGS_MAX +
		      1]; /* borrowed from argv; command[0] NULL: a TARGET */
	struct activation activation;
	bool given;	    /* a TARGET or a command; set by look_command() */
	bool reports_start; /* that the command does not start is a finding: see start_failure */
	char start_failure[400]; /* why it did not, or "" */
	char described[8192];	 /* for people: the URI, or "[ nbdkit memory 1G ]" */
};

/*
 * Initialises *look, and takes "[ WORD... ]" out of argv, so that its words are not mistaken for
 * options. EXIT_CODE_OK, or EXIT_CODE_USAGE having complained.
 */
enum exit_code look_take_command(struct look *look, const struct options *options, int *argc,
				 char **argv);

/* Parses the TARGET, or starts the command. EXIT_CODE_OK, or another having complained; with
 * reports_start a command that does not start is EXIT_CODE_OK. To be closed in either case. */
enum exit_code look_open(struct look *look, const struct options *options,
			 struct target_options *wanted, int argc, char **argv);

/* Dials with these options (target and timeout_ms are filled in), bounded; a failure is completed
 * by what became of the started server. As dial_run(); complains about nothing. */
int look_dial(struct look *look, struct dial_options *options, struct dial_result *result);

/* When the started server has ended: how, into sentence. */
bool look_server_has_ended(struct look *look, char *sentence, size_t sentence_bytes);

/* Ends what was started. */
void look_close(struct look *look);

enum look_target { LOOK_TARGET_NEEDED, LOOK_TARGET_OPTIONAL };

/* A verb whose options are those of a target (and --timeout, where the target is optional): reads its command line (argv[0] is the verb), opens the look,
 * if it was given, runs and closes. Returns an exit code: run's, or another having complained. */
int look_command(const char *help, enum look_target target,
		 int (*run)(struct look *look, const struct options *options), int argc,
		 char **argv);

#endif
