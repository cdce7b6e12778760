/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/output.h"
#include "gateway/cli/target.h"
#include "gateway/common/disk_config.h"

void target_options_init(struct target_options *wanted)
{
	*wanted = (struct target_options){ .connect_timeout_ms = DISK_CONNECT_TIMEOUT_MS };
}

bool target_option_take(const struct options *options, struct target_options *wanted, int option)
{
	struct disk_limit limit = disk_config_limit("connect_timeout_ms");

	switch (option) {
	case TARGET_OPTION_EXPORT:
		wanted->export_name = optarg;
		return true;
	case TARGET_OPTION_CONNECT_TIMEOUT:
		return option_duration_ms(options, "--connect-timeout", optarg, &limit,
					  &wanted->connect_timeout_ms);
	default:
		return target_tls_take(options, &wanted->tls, option);
	}
}

bool target_set_export(const struct options *options, const struct target_options *wanted,
		       struct nbd_uri *uri)
{
	const char *name = wanted->export_name;

	if (!name)
		return true;
	if (strlen(name) > NBD_STRING_BYTES_MAX) {
		output_error(options->verb, "--export: the name is longer than %d bytes",
			     NBD_STRING_BYTES_MAX);
		return false;
	}
	strcpy(uri->export_name, name);
	return true;
}

/* A path in the URI, and where in the user's text it begins. */
struct uri_path {
	const char *what;
	char *path;
	size_t path_bytes, at;
};

/* A relative path means the caller's directory, which the daemon does not have. An empty one, an
 * absolute one and an abstract socket's name stay. */
static bool make_absolute(const struct options *options, struct uri_path uri)
{
	char directory[PATH_MAX], full[2 * PATH_MAX];
	int bytes;

	if (!uri.path[0] || uri.path[0] == '/' || uri.path[0] == '@')
		return true;
	if (!getcwd(directory, sizeof(directory))) {
		output_error(options->verb,
			     "%s '%s' is relative to a directory that no longer exists: %s (at "
			     "character %zu)",
			     uri.what, uri.path, strerror(errno), uri.at);
		return false;
	}
	bytes = snprintf(full, sizeof(full), "%s/%s", strcmp(directory, "/") ? directory : "",
			 uri.path);
	if (bytes < 0 || (size_t)bytes >= uri.path_bytes) {
		output_error(options->verb,
			     "%s '%s' is too long once made absolute (%zu bytes at most): use a "
			     "shorter path (at character %zu)",
			     uri.what, uri.path, uri.path_bytes - 1, uri.at);
		return false;
	}
	strcpy(uri.path, full);
	return true;
}

static bool make_paths_absolute(const struct options *options, struct nbd_uri *uri)
{
	const struct uri_path paths[] = {
		{ "the socket", uri->socket_path, sizeof(uri->socket_path), uri->socket_at },
		{ "tls-certificates", uri->tls_certificates, sizeof(uri->tls_certificates),
		  uri->tls_certificates_at },
		{ "tls-psk-file", uri->tls_psk_file, sizeof(uri->tls_psk_file),
		  uri->tls_psk_file_at },
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!make_absolute(options, paths[i]))
			return false;
	}
	return true;
}

enum exit_code target_parse(const struct options *options, struct target_options *wanted,
			    const char *text, struct nbd_uri *uri)
{
	char error[600];

	if (nbd_uri_parse(uri, text, NBD_URI_ALLOW_FILES, error, sizeof(error))) {
		output_error(options->verb, "%s", error);
		return EXIT_CODE_USAGE;
	}
	if (!target_set_export(options, wanted, uri) || !make_paths_absolute(options, uri))
		return EXIT_CODE_USAGE;
	return target_tls_complete(options, &wanted->tls, uri);
}
