/* SPDX-License-Identifier: MIT */
/*
 * The writing half of uri.h, apart from the reading half because the daemon has no uriparser.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/uri.h"

struct text {
	char *out;
	unsigned int room; /* with the NUL */
	unsigned int used;
	bool full;
};

static void text_put(struct text *text, char byte)
{
	if (text->used + 1 >= text->room) {
		text->full = true;
		return;
	}
	text->out[text->used++] = byte;
	text->out[text->used] = '\0';
}

static void text_add(struct text *text, const char *string)
{
	while (*string)
		text_put(text, *string++);
}

/* Percent-encodes all but RFC 3986's unreserved characters and those in also_plain. */
static void text_encode(struct text *text, const char *string, const char *also_plain)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *string; string++) {
		unsigned char byte = (unsigned char)*string;

		if ((byte < 0x80 && isalnum(byte)) || strchr("-._~", byte) ||
		    strchr(also_plain, byte)) {
			text_put(text, (char)byte);
			continue;
		}
		text_put(text, '%');
		text_put(text, digits[byte >> 4]);
		text_put(text, digits[byte & 15]);
	}
}

/* An IPv6 address goes into brackets, the '%' before its zone is written %25 (RFC 6874). */
static void text_add_host(struct text *text, const char *host)
{
	bool address = strchr(host, ':') != NULL;

	if (address)
		text_put(text, '[');
	text_encode(text, host, ":");
	if (address)
		text_put(text, ']');
}

static void text_add_authority(struct text *text, const struct nbd_uri *uri)
{
	char number[32];

	if (uri->user[0]) {
		text_encode(text, uri->user, "");
		text_put(text, '@');
	}
	if (uri->transport == NBD_TRANSPORT_TCP) {
		text_add_host(text, uri->host);
		snprintf(number, sizeof(number), "%d", NBD_PORT_DEFAULT);
		if (uri->port[0] && strcmp(uri->port, number)) {
			text_put(text, ':');
			text_add(text, uri->port);
		}
	}
	if (uri->transport == NBD_TRANSPORT_VSOCK) {
		snprintf(number, sizeof(number), "%u", uri->vsock_cid);
		text_add(text, number);
		if (uri->vsock_port != NBD_PORT_DEFAULT) {
			snprintf(number, sizeof(number), ":%u", uri->vsock_port);
			text_add(text, number);
		}
	}
}

static void text_add_parameter(struct text *text, char *separator, const char *name,
			       const char *value)
{
	if (!value[0])
		return;
	text_put(text, *separator);
	*separator = '&';
	text_add(text, name);
	text_put(text, '=');
	/* Not '+': others read it as a space. */
	text_encode(text, value, "/:@,");
}

static void text_add_query(struct text *text, const struct nbd_uri *uri)
{
	static const char *const verify[] = { "", "0", "1" };
	char separator = '?';

	if (uri->transport == NBD_TRANSPORT_UNIX)
		text_add_parameter(text, &separator, "socket", uri->socket_path);
	text_add_parameter(text, &separator, "tls-type", uri->tls_type);
	text_add_parameter(text, &separator, "tls-hostname", uri->tls_hostname);
	text_add_parameter(text, &separator, "tls-verify-peer", verify[uri->tls_verify_peer + 1]);
}

int nbd_uri_format(const struct nbd_uri *uri, char *out, unsigned int out_bytes)
{
	static const char *const transports[] = {
		[NBD_TRANSPORT_TCP] = "",
		[NBD_TRANSPORT_UNIX] = "+unix",
		[NBD_TRANSPORT_VSOCK] = "+vsock",
	};
	struct text text = { .out = out, .room = out_bytes };

	if (!out_bytes)
		return -E2BIG;
	out[0] = '\0';
	text_add(&text, uri->tls ? "nbds" : "nbd");
	text_add(&text, transports[uri->transport]);
	text_add(&text, "://");
	text_add_authority(&text, uri);
	text_put(&text, '/');
	text_encode(&text, uri->export_name, "/:@,=+;!$&'()*");
	text_add_query(&text, uri);
	return text.full ? -E2BIG : 0;
}
