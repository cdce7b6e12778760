/* SPDX-License-Identifier: MIT */
/*
 * uri.h - what a user writes to name an export: an NBD URI, or plain host[:port][/export].
 * "://" decides which it is.
 *
 *   nbd://host[:port]/[export]          nbds: TLS is required
 *   nbd+unix:///[export]?socket=PATH    a PATH that begins with '@' is an abstract socket's name
 *   nbd+vsock://[cid[:port]]/[export]   cid 2 (the host) and port 10809 when absent
 *   host, host:10809, [::1]:10809/export, host/export/with/slashes
 *
 * Source: the NBD URI specification (doc/uri.md of NetworkBlockDevice/nbd); vsock as in
 * nbd_connect_uri(3). uriparser splits the URI (RFC 3986); what the parts mean is ours.
 */
#ifndef PROTO_URI_H
#define PROTO_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

#define NBD_PORT_DEFAULT   10809

#define NBD_HOST_BYTES_MAX 255
#define NBD_PATH_BYTES_MAX 4096

enum nbd_transport {
	NBD_TRANSPORT_TCP,
	NBD_TRANSPORT_UNIX,
	NBD_TRANSPORT_VSOCK,
};

struct nbd_uri {
	enum nbd_transport transport;
	bool tls; /* nbds, nbds+unix, nbds+vsock */
	/* tcp: a name or an address, no brackets; may hold %zone */
	char host[NBD_HOST_BYTES_MAX + 1];
	char port[8]; /* tcp: decimal */
	uint32_t vsock_cid, vsock_port;
	char socket_path[108]; /* unix: NUL-terminated; an abstract name begins with '@' (the NUL of
				* sun_path is put there by whoever dials) */
	char export_name[NBD_STRING_BYTES_MAX + 1];
	char user[256]; /* "" when absent: the TLS-PSK identity */
	/* query parameters; "" when absent */
	char tls_certificates[NBD_PATH_BYTES_MAX];
	char tls_psk_file[NBD_PATH_BYTES_MAX];
	char tls_type[16]; /* "", "x509", "psk", "anon" */
	char tls_hostname[NBD_HOST_BYTES_MAX + 1];
	int tls_verify_peer; /* -1 absent, 0, 1 */
	/* At which character of the text the value of a parameter begins that names a file; 0 when absent.
	 * Only nbd_uri_parse() writes them, for the errors of whoever looks at the paths next. */
	size_t socket_at, tls_certificates_at, tls_psk_file_at;
};

enum nbd_uri_flags {
	NBD_URI_ALLOW_FILES = 1, /* the URI comes from the command line: file paths in it count */
};

/*
 * Parses text into *uri. Returns 0; -EINVAL (not understood), -E2BIG (a part is too long),
 * -EPERM (a file parameter without NBD_URI_ALLOW_FILES). error then holds one sentence that names or quotes
 * the offending part, never the content of a file, says what is allowed, and ends with at which character of
 * text the part begins: "(at character N)", counted from 1. *uri is then undefined. An export's name may be any bytes but NUL.
 */
int nbd_uri_parse(struct nbd_uri *uri, const char *text, unsigned int flags, char *error,
		  unsigned int error_bytes);

/* Writes the URI in canonical form (percent-encoded, default port left out): what status and
 * list show. No query parameter that names a file is in it. Returns 0 or -E2BIG. */
int nbd_uri_format(const struct nbd_uri *uri, char *out, unsigned int out_bytes);

#endif
