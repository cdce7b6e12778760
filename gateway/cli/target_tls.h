/* SPDX-License-Identifier: MIT */
/*
 * target_tls.h - the TLS options of a TARGET, and what they mean together with its URI.
 */
#ifndef GATEWAY_CLI_TARGET_TLS_H
#define GATEWAY_CLI_TARGET_TLS_H

#include "gateway/cli/target.h"

/* Takes option (its value in optarg) when it is one of TARGET_TLS_OPTIONS; true for any other too.
 * False: it has complained. */
bool target_tls_take(const struct options *options, struct target_options *wanted, int option);

/*
 * Completes wanted->tls from the URI, whose tls becomes true with --tls: files made absolute and
 * found to be readable, the name that the certificate must be for. From then on this process is one
 * that may hold keys (protect.h). EXIT_CODE_OK, or
 * EXIT_CODE_USAGE, having complained: an option without TLS, a certificate without its key, a
 * socket without --tls-hostname, tls-type=anon, tls-verify-peer=0 without --tls-verify=no.
 */
enum exit_code target_tls_complete(const struct options *options, struct target_options *wanted,
				   struct nbd_uri *uri);

#endif
