/* SPDX-License-Identifier: MIT */
/*
 * target_tls.h - the TLS options of a TARGET, and what they mean together with its URI.
 */
#ifndef GATEWAY_CLI_TARGET_TLS_H
#define GATEWAY_CLI_TARGET_TLS_H

#include <stdbool.h>

#include "gateway/cli/options.h"
#include "gateway/common/exit_code.h"
#include "proto/uri.h"
#include "tls/tls.h"

enum target_tls_option {
	TARGET_TLS_OPTION = OPTION_TARGET,
	TARGET_TLS_OPTION_CA,
	TARGET_TLS_OPTION_CRL,
	TARGET_TLS_OPTION_CERT,
	TARGET_TLS_OPTION_KEY,
	TARGET_TLS_OPTION_PASSPHRASE_FILE,
	TARGET_TLS_OPTION_CERTIFICATES,
	TARGET_TLS_OPTION_HOSTNAME,
	TARGET_TLS_OPTION_PSK,
	TARGET_TLS_OPTION_USER,
	TARGET_TLS_OPTION_VERIFY,
	TARGET_TLS_OPTION_REKEY_RECORDS,
	TARGET_TLS_OPTION_KTLS,
	TARGET_TLS_OPTION_LAST, /* target.h's own begin here */
};

/* clang-format off */
#define TARGET_TLS_OPTIONS                                                                         \
	{ "tls", no_argument, NULL, TARGET_TLS_OPTION },                                           \
	{ "tls-ca", required_argument, NULL, TARGET_TLS_OPTION_CA },                               \
	{ "tls-crl", required_argument, NULL, TARGET_TLS_OPTION_CRL },                             \
	{ "tls-cert", required_argument, NULL, TARGET_TLS_OPTION_CERT },                           \
	{ "tls-key", required_argument, NULL, TARGET_TLS_OPTION_KEY },                             \
	{ "tls-passphrase-file", required_argument, NULL, TARGET_TLS_OPTION_PASSPHRASE_FILE },     \
	{ "tls-certificates", required_argument, NULL, TARGET_TLS_OPTION_CERTIFICATES },           \
	{ "tls-hostname", required_argument, NULL, TARGET_TLS_OPTION_HOSTNAME },                   \
	{ "tls-psk", required_argument, NULL, TARGET_TLS_OPTION_PSK },                             \
	{ "tls-user", required_argument, NULL, TARGET_TLS_OPTION_USER },                           \
	{ "tls-verify", required_argument, NULL, TARGET_TLS_OPTION_VERIFY },                       \
	{ "tls-rekey-records", required_argument, NULL, TARGET_TLS_OPTION_REKEY_RECORDS },         \
	{ "ktls", required_argument, NULL, TARGET_TLS_OPTION_KTLS }
/* clang-format on */

struct target_tls {
	bool required;			       /* --tls */
	bool option_given;		       /* any of them */
	char certificates[TLS_PATH_BYTES_MAX]; /* --tls-certificates */
	struct tls_options options; /* after target_tls_complete(); counts where the URI has tls */
};

/* Takes option (its value in optarg) when it is one of TARGET_TLS_OPTIONS; true for any other too.
 * False: it has complained. */
bool target_tls_take(const struct options *options, struct target_tls *wanted, int option);

/*
 * Completes wanted->options from the URI, whose tls becomes true with --tls: files made absolute and
 * found to be readable, the name that the certificate must be for. From then on this process is one
 * that may hold keys (protect.h). EXIT_CODE_OK, or
 * EXIT_CODE_USAGE, having complained: an option without TLS, a certificate without its key, a
 * socket without --tls-hostname, tls-type=anon, tls-verify-peer=0 without --tls-verify=no.
 */
enum exit_code target_tls_complete(const struct options *options, struct target_tls *wanted,
				   struct nbd_uri *uri);

#endif
