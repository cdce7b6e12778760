/* SPDX-License-Identifier: MIT */
#include "gateway/cli/target_tls.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/output.h"
#include "gateway/common/disk_config.h"
#include "gateway/common/tls_library.h"
#include "tls/address.h"
#include "tls/protect.h"

static bool take_text(const struct options *options, const char *option, char *out,
		      size_t out_bytes)
{
	if (strlen(optarg) >= out_bytes || !*optarg) {
		output_error(options->verb, "%s: the value is %s", option,
			     *optarg ? "too long" : "empty");
		return false;
	}
	strcpy(out, optarg);
	return true;
}

static bool take_verify(const struct options *options, struct target_tls *wanted)
{
	if (strcmp(optarg, "yes") && strcmp(optarg, "no")) {
		output_error(options->verb, "--tls-verify: '%s' is neither yes nor no", optarg);
		return false;
	}
	wanted->options.no_verify = !strcmp(optarg, "no");
	return true;
}

static bool take_ktls(const struct options *options, struct target_tls *wanted)
{
	if (!disk_ktls_parse(optarg, &wanted->options.ktls))
		return true;
	output_error(options->verb, "--ktls: '%s' is not auto, on or off", optarg);
	return false;
}

static bool take_rekey(const struct options *options, struct target_tls *wanted)
{
	static const struct disk_limit limit = { .minimum = 1, .maximum = TLS_REKEY_RECORDS_MAX };

	return option_number(options, "--tls-rekey-records", optarg, &limit,
			     &wanted->options.rekey_records);
}

bool target_tls_take(const struct options *options, struct target_tls *wanted, int option)
{
	struct tls_options *tls = &wanted->options;

	if (option < TARGET_TLS_OPTION || option >= TARGET_TLS_OPTION_LAST)
		return true;
	wanted->option_given = true;
	switch (option) {
	case TARGET_TLS_OPTION:
		wanted->required = true;
		return true;
	case TARGET_TLS_OPTION_CA:
		return take_text(options, "--tls-ca", tls->ca, sizeof(tls->ca));
	case TARGET_TLS_OPTION_CRL:
		return take_text(options, "--tls-crl", tls->crl, sizeof(tls->crl));
	case TARGET_TLS_OPTION_CERT:
		return take_text(options, "--tls-cert", tls->cert, sizeof(tls->cert));
	case TARGET_TLS_OPTION_KEY:
		return take_text(options, "--tls-key", tls->key, sizeof(tls->key));
	case TARGET_TLS_OPTION_PASSPHRASE_FILE:
		return take_text(options, "--tls-passphrase-file", tls->passphrase_file,
				 sizeof(tls->passphrase_file));
	case TARGET_TLS_OPTION_CERTIFICATES:
		return take_text(options, "--tls-certificates", wanted->certificates,
				 sizeof(wanted->certificates));
	case TARGET_TLS_OPTION_HOSTNAME:
		return take_text(options, "--tls-hostname", tls->hostname, sizeof(tls->hostname));
	case TARGET_TLS_OPTION_PSK:
		return take_text(options, "--tls-psk", tls->psk_file, sizeof(tls->psk_file));
	case TARGET_TLS_OPTION_USER:
		return take_text(options, "--tls-user", tls->psk_identity,
				 sizeof(tls->psk_identity));
	case TARGET_TLS_OPTION_VERIFY:
		return take_verify(options, wanted);
	case TARGET_TLS_OPTION_REKEY_RECORDS:
		return take_rekey(options, wanted);
	default:
		return take_ktls(options, wanted);
	}
}

/* A file that the daemon, whose working directory is another, must find too. */
static bool settle_file(const struct options *options, const char *what, char *path)
{
	char full[PATH_MAX];

	if (!*path)
		return true;
	if (*path != '/') {
		if (!getcwd(full, sizeof(full)) || strlen(full) + strlen(path) + 2 > sizeof(full)) {
			output_error(options->verb, "%s: '%s' cannot be made absolute", what, path);
			return false;
		}
		strcat(strcat(full, "/"), path);
		strcpy(path, full);
	}
	if (access(path, R_OK) < 0) {
		output_error(options->verb, "%s: %s cannot be read: %m", what, path);
		return false;
	}
	return true;
}

/* One of the files of a certificates directory; a path given by itself counts more. What is not there
 * need not be; what is there and cannot be read is complained of by settle_file(). */
static bool take_from_directory(const struct options *options, const char *directory,
				const char *name, char *path, bool required)
{
	struct stat st;
	int n;

	if (*path)
		return true;
	n = snprintf(path, TLS_PATH_BYTES_MAX, "%s/%s", directory, name);
	if (n < TLS_PATH_BYTES_MAX && (lstat(path, &st) == 0 || errno != ENOENT))
		return true;
	if (required || n >= TLS_PATH_BYTES_MAX) {
		output_error(options->verb, "the certificates' directory %s has no %s", directory,
			     name);
		return false;
	}
	*path = '\0';
	return true;
}

static bool take_directory(const struct options *options, struct target_tls *wanted,
			   const struct nbd_uri *uri)
{
	struct tls_options *tls = &wanted->options;
	const char *directory =
		*wanted->certificates ? wanted->certificates : uri->tls_certificates;

	if (!*directory)
		return true;
	return take_from_directory(options, directory, "ca-cert.pem", tls->ca, true) &&
	       take_from_directory(options, directory, "ca-crl.pem", tls->crl, false) &&
	       take_from_directory(options, directory, "client-cert.pem", tls->cert, false) &&
	       take_from_directory(options, directory, "client-key.pem", tls->key, false);
}

static bool settle_files(const struct options *options, struct tls_options *tls)
{
	if (!*tls->cert != !*tls->key) {
		output_error(options->verb, "--tls-cert and --tls-key go together: one is missing");
		return false;
	}
	if (*tls->passphrase_file && !*tls->key) {
		output_error(options->verb,
			     "--tls-passphrase-file opens a key, but no key is given: "
			     "give it with --tls-key");
		return false;
	}
	return settle_file(options, "--tls-ca", tls->ca) &&
	       settle_file(options, "--tls-crl", tls->crl) &&
	       settle_file(options, "--tls-cert", tls->cert) &&
	       settle_file(options, "--tls-key", tls->key) &&
	       settle_file(options, "--tls-passphrase-file", tls->passphrase_file) &&
	       settle_file(options, "--tls-psk", tls->psk_file);
}

static bool settle_verification(const struct options *options, struct target_tls *wanted,
				const struct nbd_uri *uri)
{
	if (uri->tls_verify_peer == 0 && !wanted->options.no_verify) {
		output_error(options->verb, "tls-verify-peer=0 in the URI alone is not enough: to "
					    "trust any server that "
					    "answers, add --tls-verify=no");
		return false;
	}
	if (!wanted->options.no_verify)
		return true;
	if (*wanted->options.psk_file) {
		output_error(options->verb, "--tls-verify=no makes no sense with a PSK: the key "
					    "verifies the server");
		return false;
	}
	output_warning(
		options->verb,
		"--tls-verify=no: the server is NOT verified; anyone on the network path can read "
		"and change everything");
	return true;
}

/* "[::1]", as it stands in a URI, and "fe80::1%eth0": a certificate has neither brackets nor zones. */
static void strip_address(char *name)
{
	size_t bytes = strlen(name);
	char *zone = strchr(name, '%');

	if (bytes > 2 && name[0] == '[' && name[bytes - 1] == ']' && strchr(name, ':')) {
		memmove(name, name + 1, bytes - 2);
		name[bytes - 2] = '\0';
		zone = strchr(name, '%');
	}
	if (zone && strchr(name, ':'))
		*zone = '\0';
}

/* What may not stand in a name that is sent to the server and compared with its certificate. */
static bool settle_name(const struct options *options, char *name)
{
	size_t bytes, plain;

	strip_address(name);
	if (tls_is_address(name))
		return true;
	bytes = strlen(name);
	if (bytes > 1 && name[bytes - 1] == '.') /* the root's, which certificates leave out */
		name[--bytes] = '\0';
	plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");
	if (plain == bytes && name[0] != '.')
		return true;
	output_error(
		options->verb,
		"--tls-hostname: '%s' is not a host name or an IP address (at character %zu): a "
		"name "
		"has letters, digits, '-' and '.', other letters as xn--...; no port, no scheme",
		name, plain == bytes ? 1 : plain + 1);
	return false;
}

/* The name the certificate must be for: as said, or the host of the target. */
static bool settle_hostname(const struct options *options, struct tls_options *tls,
			    const struct nbd_uri *uri)
{
	if (!*tls->hostname && *uri->tls_hostname)
		strcpy(tls->hostname, uri->tls_hostname);
	if (*tls->hostname && !settle_name(options, tls->hostname))
		return false;
	if (!*tls->hostname && uri->transport == NBD_TRANSPORT_TCP) {
		strcpy(tls->hostname, uri->host);
		strip_address(tls->hostname);
		if (strlen(tls->hostname) > 1 && tls->hostname[strlen(tls->hostname) - 1] == '.')
			tls->hostname[strlen(tls->hostname) - 1] = '\0';
	}
	if (*tls->hostname || *tls->psk_file || tls->no_verify)
		return true;
	output_error(options->verb,
		     "a unix or vsock socket has no host name that a certificate could be checked "
		     "for: say it with --tls-hostname");
	return false;
}

static bool settle_psk(const struct options *options, struct target_tls *wanted,
		       const struct nbd_uri *uri)
{
	struct tls_options *tls = &wanted->options;

	if (!*tls->psk_file && *uri->tls_psk_file)
		strcpy(tls->psk_file, uri->tls_psk_file);
	if (*tls->psk_identity && !*tls->psk_file) {
		output_error(options->verb, "--tls-user names a PSK's identity, but there is no "
					    "PSK: give its file with --tls-psk");
		return false;
	}
	if (!*tls->psk_identity && *uri->user && strlen(uri->user) < sizeof(tls->psk_identity))
		strcpy(tls->psk_identity, uri->user);
	if (!strcmp(uri->tls_type, "anon")) {
		output_error(options->verb, "tls-type=anon is refused: it verifies nobody");
		return false;
	}
	if (!strcmp(uri->tls_type, "psk") && !*tls->psk_file) {
		output_error(options->verb, "tls-type=psk needs --tls-psk FILE");
		return false;
	}
	if (*tls->psk_file && !*tls->psk_identity) {
		output_error(options->verb, "--tls-psk needs the identity: --tls-user NAME, or "
					    "nbds://NAME@host/");
		return false;
	}
	if (*tls->psk_file && (*tls->cert || *tls->key || *tls->ca || *tls->crl ||
			       *wanted->certificates || *uri->tls_certificates)) {
		output_error(options->verb, "a PSK and certificates exclude each other");
		return false;
	}
	return true;
}

enum exit_code target_tls_complete(const struct options *options, struct target_tls *wanted,
				   struct nbd_uri *uri)
{
	struct tls_options *tls = &wanted->options;
	char sentence[TLS_SENTENCE_BYTES];

	uri->tls |= wanted->required;
	if (!uri->tls) {
		if (!wanted->option_given)
			return EXIT_CODE_OK;
		output_error(options->verb,
			     "TLS options, but no TLS: use nbds:// (nbds+unix://, nbds+vsock://), "
			     "or --tls");
		return EXIT_CODE_USAGE;
	}
	if (!settle_psk(options, wanted, uri) ||
	    (!*tls->psk_file && !take_directory(options, wanted, uri)) ||
	    !settle_files(options, tls) || !settle_verification(options, wanted, uri) ||
	    !settle_hostname(options, tls, uri))
		return EXIT_CODE_USAGE;
	if (!tls_library_load(sentence)) {
		output_error(options->verb, "%s", sentence);
		return EXIT_CODE_TLS;
	}
	tls_protect_process();
	return EXIT_CODE_OK;
}
