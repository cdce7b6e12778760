/* SPDX-License-Identifier: MIT */
/*
 * Three layers: the text (which of the two forms; a zone is taken out, for RFC 3986's grammar and
 * uriparser have none), uriparser (is it a URI, where are its parts), and what the parts mean.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uriparser/Uri.h>

#include "proto/text.h"
#include "proto/uri.h"

/* Three times the longest export name, and room for every parameter. */
#define URI_TEXT_BYTES_MAX (40u << 10)
/* uriparser takes 32 bytes for each path segment; an export name has at most 4097. */
#define URI_ARENA_BYTES (272u << 10)
/* How much of the user's text an error quotes. */
#define QUOTE_BYTES_MAX 80
#define ZONE_BYTES_MAX	15 /* IFNAMSIZ - 1 */

/* A stretch of the text; first is NULL when the URI has no such part. */
struct span {
	const char *first;
	size_t bytes;
};

/* What one call of nbd_uri_parse() works with. */
struct parse {
	struct nbd_uri *uri;
	unsigned int flags;
	char *error;
	unsigned int error_bytes;
	/* The user's text, in which an error tells the place. zone was cut out of it in front of cut, with the
	 * "%25" before it; NULL: nothing was. */
	const char *text, *cut, *zone;
	size_t cut_characters;
};

/* --- errors --------------------------------------------------------------------------------------- */

static size_t characters_in(const char *first, const char *end)
{
	size_t characters = 0;

	for (; first < end; first++)
		characters += ((unsigned char)*first & 0xc0) != 0x80;
	return characters;
}

/* Which of the user's characters stands at place, which is in the text, at its end, or in the zone. */
static size_t position_of(const struct parse *parse, const char *place)
{
	size_t position;

	if (parse->zone && place >= parse->zone && place <= parse->zone + ZONE_BYTES_MAX + 1)
		return 1 + characters_in(parse->text, parse->cut) + strlen("%25") +
		       characters_in(parse->zone, place);
	position = 1 + characters_in(parse->text, place);
	return position + (parse->cut && place >= parse->cut ? parse->cut_characters : 0);
}

/* Writes the sentence, and behind it at which of the user's characters the part begins. */
__attribute__((format(printf, 4, 5))) static int
fail_at(const struct parse *parse, struct span span, int code, const char *format, ...)
{
	va_list arguments;
	size_t used;

	if (!parse->error_bytes)
		return code;
	va_start(arguments, format);
	vsnprintf(parse->error, parse->error_bytes, format, arguments);
	va_end(arguments);
	used = strlen(parse->error);
	snprintf(parse->error + used, parse->error_bytes - used, " (at character %zu)",
		 position_of(parse, span.first));
	return code;
}

struct quote {
	char text[QUOTE_BYTES_MAX + 4];
};

/* The part as it was written, cut when it is long, and harmless to a terminal. */
static struct quote quote_span(struct span span)
{
	struct quote quote;
	size_t bytes = span.bytes < QUOTE_BYTES_MAX ? span.bytes : QUOTE_BYTES_MAX;

	for (size_t i = 0; i < bytes; i++) {
		unsigned char byte = (unsigned char)span.first[i];

		quote.text[i] = byte < 0x20 || byte >= 0x7f ? '?' : (char)byte;
	}
	strcpy(quote.text + bytes, bytes < span.bytes ? "..." : "");
	return quote;
}

static struct span span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

#define QUOTED(span) (quote_span(span).text)

/* --- strings --------------------------------------------------------------------------------------- */

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit = (char)tolower((unsigned char)digit);
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* One byte of raw, decoded; *used says how many it took. -1: a '%' without two hex digits. */
static int decode_byte(struct span raw, size_t at, size_t *used)
{
	int high, low;

	*used = 1;
	if (raw.first[at] != '%')
		return (unsigned char)raw.first[at];
	if (at + 2 >= raw.bytes)
		return -1;
	*used = 3;
	high = hex_value(raw.first[at + 1]);
	low = hex_value(raw.first[at + 2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/*
 * Percent-decodes raw into out, NUL-terminated: any bytes but NUL. '+' stays '+': that it is a space is
 * HTML's rule, not RFC 3986's. what names the part in errors.
 */
static int decode_bytes(const struct parse *parse, const char *what, struct span raw, char *out,
			size_t out_bytes)
{
	size_t bytes = 0, used;

	for (size_t i = 0; i < raw.bytes; i += used) {
		int byte = decode_byte(raw, i, &used);

		if (byte < 0)
			return fail_at(parse, (struct span){ raw.first + i, 0 }, -EINVAL,
				       "%s: a '%%' in '%s' is not followed by two hex digits", what,
				       QUOTED(raw));
		if (byte == 0)
			return fail_at(parse, (struct span){ raw.first + i, 0 }, -EINVAL,
				       "%s '%s' contains %%00, which is not allowed there", what,
				       QUOTED(raw));
		if (bytes + 1 >= out_bytes)
			return fail_at(parse, raw, -E2BIG, "%s '%s' is longer than %zu bytes", what,
				       QUOTED(raw), out_bytes - 1);
		out[bytes++] = (char)byte;
	}
	out[bytes] = '\0';
	return 0;
}

/* The same where it must be text. */
static int decode(const struct parse *parse, const char *what, struct span raw, char *out,
		  size_t out_bytes)
{
	int error = decode_bytes(parse, what, raw, out, out_bytes);

	if (error)
		return error;
	if (!nbd_text_is_string(out, strlen(out)))
		return fail_at(parse, raw, -EINVAL, "%s '%s' is not UTF-8 text", what, QUOTED(raw));
	return 0;
}

/* Decimal digits only, low..high. */
static bool decimal(struct span span, uint64_t low, uint64_t high, uint64_t *value)
{
	*value = 0;
	if (!span.bytes)
		return false;
	for (size_t i = 0; i < span.bytes; i++) {
		if (span.first[i] < '0' || span.first[i] > '9')
			return false;
		*value = *value * 10 + (uint64_t)(span.first[i] - '0');
		if (*value > high)
			return false;
	}
	return *value >= low;
}

/* --- host and port --------------------------------------------------------------------------------- */

static int take_port(const struct parse *parse, struct span port)
{
	uint64_t number = NBD_PORT_DEFAULT;

	if (port.bytes && !decimal(port, 1, 65535, &number))
		return fail_at(parse, port, -EINVAL,
			       "the port '%s' is not a number from 1 to 65535", QUOTED(port));
	snprintf(parse->uri->port, sizeof(parse->uri->port), "%u", (unsigned int)number);
	return 0;
}

static bool host_byte_allowed(unsigned char byte)
{
	return byte >= 0x80 || isalnum(byte) || strchr("-._~", byte);
}

/* A name or an IPv4 address, as it is. */
static int take_host_name(const struct parse *parse, struct span host)
{
	char *out = parse->uri->host;
	int error = decode(parse, "the host", host, out, sizeof(parse->uri->host));

	if (error)
		return error;
	for (; *out; out++) {
		if (!host_byte_allowed((unsigned char)*out))
			return fail_at(
				parse, host, -EINVAL,
				"the host '%s' contains a character that host names cannot have",
				QUOTED(host));
	}
	return 0;
}

/* An IPv6 address without its brackets, and its zone; both go into host in one spelling. */
static int take_host_ipv6(const struct parse *parse, struct span address, struct span zone)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr binary;

	if (address.bytes >= sizeof(text))
		return fail_at(parse, address, -EINVAL, "'%s' is not an IPv6 address",
			       QUOTED(address));
	memcpy(text, address.first, address.bytes);
	text[address.bytes] = '\0';
	if (strlen(text) != address.bytes || inet_pton(AF_INET6, text, &binary) != 1)
		return fail_at(parse, address, -EINVAL, "'%s' is not an IPv6 address",
			       QUOTED(address));
	inet_ntop(AF_INET6, &binary, text, sizeof(text));
	if (!zone.first) {
		strcpy(parse->uri->host, text);
		return 0;
	}
	for (size_t i = 0; i < zone.bytes; i++) {
		unsigned char byte = (unsigned char)zone.first[i];

		if (byte >= 0x80 || !host_byte_allowed(byte))
			return fail_at(parse, zone, -EINVAL,
				       "the zone '%s' is not the name of a network interface",
				       QUOTED(zone));
	}
	if (!zone.bytes || zone.bytes > ZONE_BYTES_MAX)
		return fail_at(parse, zone, -EINVAL, "the zone '%s' is not 1 to %d characters long",
			       QUOTED(zone), ZONE_BYTES_MAX);
	snprintf(parse->uri->host, sizeof(parse->uri->host), "%s%%%.*s", text, (int)zone.bytes,
		 zone.first);
	return 0;
}

/* --- the plain form: host[:port][/export], nothing is decoded --------------------------------------- */

/* Splits "[address%zone]rest"; *rest is what follows the bracket. */
static int take_plain_bracket(const struct parse *parse, const char *text, const char **rest)
{
	const char *close = strchr(text, ']');
	const char *percent;
	struct span address, zone = { NULL, 0 };

	if (!close)
		return fail_at(parse, span_of(text), -EINVAL, "'%s' has a '[' without its ']'",
			       QUOTED(span_of(text)));
	address = (struct span){ text + 1, (size_t)(close - text - 1) };
	percent = memchr(address.first, '%', address.bytes);
	if (percent) {
		zone = (struct span){ percent + 1, (size_t)(close - percent - 1) };
		address.bytes = (size_t)(percent - address.first);
	}
	*rest = close + 1;
	return take_host_ipv6(parse, address, zone);
}

static int take_plain_host(const struct parse *parse, struct span host)
{
	struct nbd_uri *uri = parse->uri;

	if (!host.bytes)
		return fail_at(parse, host, -EINVAL,
			       "the target has no host: write host[:port][/export], or for a unix "
			       "socket nbd+unix:///?socket=PATH");
	if (host.bytes > NBD_HOST_BYTES_MAX)
		return fail_at(parse, host, -E2BIG, "the host '%s' is longer than %d bytes",
			       QUOTED(host), NBD_HOST_BYTES_MAX);
	for (size_t i = 0; i < host.bytes; i++) {
		if (!host_byte_allowed((unsigned char)host.first[i]))
			return fail_at(
				parse, (struct span){ host.first + i, 0 }, -EINVAL,
				"the host '%s' contains a character that host names cannot have",
				QUOTED(host));
	}
	if (!nbd_text_is_string(host.first, host.bytes))
		return fail_at(parse, host, -EINVAL, "the host '%s' is not UTF-8 text",
			       QUOTED(host));
	memcpy(uri->host, host.first, host.bytes);
	uri->host[host.bytes] = '\0';
	return 0;
}

static int take_plain_export(const struct parse *parse, const char *name)
{
	if (strlen(name) > NBD_STRING_BYTES_MAX)
		return fail_at(parse, span_of(name), -E2BIG,
			       "the export name is longer than %d bytes", NBD_STRING_BYTES_MAX);
	strcpy(parse->uri->export_name, name);
	return 0;
}

static int parse_plain(const struct parse *parse, const char *text)
{
	const char *rest = text;
	struct span host = { text, strcspn(text, ":/") };
	size_t port_bytes;
	int error;

	if (text[0] == '[')
		error = take_plain_bracket(parse, text, &rest);
	else if (strchr(text + host.bytes, ':') != strrchr(text + host.bytes, ':') &&
		 !strchr(text, '/'))
		return fail_at(
			parse, span_of(text), -EINVAL,
			"'%s' has more than one ':': put an IPv6 address into brackets, as in "
			"[::1]:10809; a URI begins with nbd://",
			QUOTED(span_of(text)));
	else
		error = take_plain_host(parse, host);
	if (error)
		return error;
	if (rest == text)
		rest = text + host.bytes;
	if (*rest && *rest != ':' && *rest != '/')
		return fail_at(parse, span_of(rest), -EINVAL,
			       "'%s' follows the ']': only :port or /export may",
			       QUOTED(span_of(rest)));
	port_bytes = *rest == ':' ? strcspn(rest, "/") : 0;
	if (port_bytes == 1)
		return fail_at(parse, span_of(text), -EINVAL,
			       "'%s' has a ':' without a port after it", QUOTED(span_of(text)));
	error = take_port(parse, (struct span){ rest + !!port_bytes, port_bytes - !!port_bytes });
	if (error)
		return error;
	rest += port_bytes;
	return take_plain_export(parse, *rest ? rest + 1 : rest);
}

/* --- scheme ------------------------------------------------------------------------------------------ */

static int take_scheme(const struct parse *parse, struct span scheme)
{
	static const struct {
		const char *name;
		enum nbd_transport transport;
		bool tls;
	} schemes[] = {
		{ "nbd", NBD_TRANSPORT_TCP, false },
		{ "nbds", NBD_TRANSPORT_TCP, true },
		{ "nbd+unix", NBD_TRANSPORT_UNIX, false },
		{ "nbds+unix", NBD_TRANSPORT_UNIX, true },
		{ "nbd+vsock", NBD_TRANSPORT_VSOCK, false },
		{ "nbds+vsock", NBD_TRANSPORT_VSOCK, true },
	};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strlen(schemes[i].name) != scheme.bytes ||
		    strncasecmp(schemes[i].name, scheme.first, scheme.bytes))
			continue;
		parse->uri->transport = schemes[i].transport;
		parse->uri->tls = schemes[i].tls;
		return 0;
	}
	return fail_at(
		parse, scheme, -EINVAL,
		"'%s://' is not an NBD scheme: nbd, nbd+unix, nbd+vsock, and nbds, nbds+unix, "
		"nbds+vsock with TLS are",
		QUOTED(scheme));
}

/* --- query parameters --------------------------------------------------------------------------------- */

struct parameter {
	const char *name;
	char *out; /* in the uri */
	size_t out_bytes;
	bool tls;	   /* only with nbds */
	bool file;	   /* names a file that would be read: only with NBD_URI_ALLOW_FILES */
	struct span value; /* as it was written, once the parameter was read */
};

enum {
	PARAMETER_SOCKET,
	PARAMETER_CERTIFICATES,
	PARAMETER_PSK_FILE,
	PARAMETER_TYPE,
	PARAMETER_HOSTNAME,
	PARAMETER_VERIFY,
	PARAMETERS,
};
enum { PARAMETER_VERIFY_BYTES = 8 };

static int take_socket(const struct parse *parse, struct span raw)
{
	char *path = parse->uri->socket_path;
	size_t room = sizeof(parse->uri->socket_path);
	bool nul = raw.bytes >= 3 && !strncmp(raw.first, "%00", 3);
	int error;

	/* The specification writes an abstract name's first byte as %00, people write '@'. */
	if (nul) {
		*path++ = '@';
		room--;
		raw.first += 3;
		raw.bytes -= 3;
	}
	error = decode(parse, "the socket", raw, path, room);
	if (!error && !strcmp(parse->uri->socket_path, "@"))
		return fail_at(parse, raw, -EINVAL,
			       "the abstract socket has no name after its '@'");
	return error;
}

static struct parameter *parameter_find(struct parameter *parameters, const char *name)
{
	for (size_t i = 0; i < PARAMETERS; i++) {
		if (!strcmp(parameters[i].name, name))
			return &parameters[i];
	}
	return NULL;
}

static int parameter_check(const struct parse *parse, const struct parameter *parameter,
			   struct span pair)
{
	const char *name = parameter->name;
	bool is_socket = parameter->out == parse->uri->socket_path;

	if (parameter->value.first)
		return fail_at(parse, pair, -EINVAL, "the parameter '%s' is given twice", name);
	if (is_socket && parse->uri->transport != NBD_TRANSPORT_UNIX)
		return fail_at(
			parse, pair, -EINVAL,
			"the parameter 'socket' belongs to nbd+unix:// and nbds+unix:// alone");
	if (parameter->tls && !parse->uri->tls)
		return fail_at(
			parse, pair, -EINVAL,
			"the parameter '%s' is for TLS, which nbd:// does not use: write nbds:// "
			"(nbds+unix://, nbds+vsock://)",
			name);
	if (parameter->file && !(parse->flags & NBD_URI_ALLOW_FILES))
		return fail_at(
			parse, pair, -EPERM,
			"the parameter '%s' names a file, which only a URI on the command line may",
			name);
	return 0;
}

/* One "name=value". */
static int take_parameter(const struct parse *parse, struct parameter *parameters, struct span pair)
{
	const char *equals = memchr(pair.first, '=', pair.bytes);
	struct span raw_name = { pair.first, equals ? (size_t)(equals - pair.first) : pair.bytes };
	struct span value = { NULL, 0 };
	struct parameter *parameter;
	char name[64];
	int error;

	if (raw_name.bytes >= sizeof(name))
		return fail_at(parse, raw_name, -EINVAL, "the parameter '%s' is unknown",
			       QUOTED(raw_name));
	error = decode(parse, "the parameter", raw_name, name, sizeof(name));
	if (error)
		return error;
	parameter = parameter_find(parameters, name);
	if (!parameter)
		return fail_at(
			parse, raw_name, -EINVAL,
			"the parameter '%s' is unknown: socket, tls-certificates, tls-psk-file, "
			"tls-type, tls-hostname, tls-verify-peer are",
			QUOTED(raw_name));
	error = parameter_check(parse, parameter, pair);
	if (error)
		return error;
	if (equals)
		value = (struct span){ equals + 1, pair.bytes - raw_name.bytes - 1 };
	if (!value.bytes)
		return fail_at(parse, pair, -EINVAL,
			       "the parameter '%s' has no value: write %s=VALUE", name, name);
	parameter->value = value;
	if (parameter->out == parse->uri->socket_path)
		return take_socket(parse, value);
	return decode(parse, name, value, parameter->out, parameter->out_bytes);
}

/* At which of the user's characters the value begins; 0: there is none. */
static size_t parameter_at(const struct parse *parse, const struct parameter *parameter)
{
	return parameter->value.first ? position_of(parse, parameter->value.first) : 0;
}

/* What the parameters must be once all are read. */
static int check_parameters(const struct parse *parse, const struct parameter *parameters)
{
	const struct parameter *type = &parameters[PARAMETER_TYPE];
	const struct parameter *verify = &parameters[PARAMETER_VERIFY];
	struct nbd_uri *uri = parse->uri;

	if (uri->transport == NBD_TRANSPORT_UNIX && !uri->socket_path[0])
		return fail_at(parse, span_of(parse->text), -EINVAL,
			       "nbd+unix:// needs its socket: nbd+unix:///export?socket=PATH");
	if (type->out[0] && strcmp(type->out, "x509") && strcmp(type->out, "psk") &&
	    strcmp(type->out, "anon"))
		return fail_at(parse, type->value, -EINVAL,
			       "tls-type is '%s': it may be x509, psk or anon",
			       QUOTED(type->value));
	if (verify->out[0] && strcmp(verify->out, "0") && strcmp(verify->out, "1"))
		return fail_at(parse, verify->value, -EINVAL,
			       "tls-verify-peer is '%s': it may be 0 or 1", QUOTED(verify->value));
	if (verify->out[0])
		uri->tls_verify_peer = verify->out[0] - '0';
	uri->socket_at = parameter_at(parse, &parameters[PARAMETER_SOCKET]);
	uri->tls_certificates_at = parameter_at(parse, &parameters[PARAMETER_CERTIFICATES]);
	uri->tls_psk_file_at = parameter_at(parse, &parameters[PARAMETER_PSK_FILE]);
	return 0;
}

static int take_query(const struct parse *parse, struct span query)
{
	struct nbd_uri *uri = parse->uri;
	char verify[PARAMETER_VERIFY_BYTES] = "";
	struct parameter parameters[PARAMETERS] = {
		[PARAMETER_SOCKET] = { .name = "socket",
				       .out = uri->socket_path,
				       .out_bytes = sizeof(uri->socket_path) },
		[PARAMETER_CERTIFICATES] = { .name = "tls-certificates",
					     .out = uri->tls_certificates,
					     .out_bytes = sizeof(uri->tls_certificates),
					     .tls = true,
					     .file = true },
		[PARAMETER_PSK_FILE] = { .name = "tls-psk-file",
					 .out = uri->tls_psk_file,
					 .out_bytes = sizeof(uri->tls_psk_file),
					 .tls = true,
					 .file = true },
		[PARAMETER_TYPE] = { .name = "tls-type",
				     .out = uri->tls_type,
				     .out_bytes = sizeof(uri->tls_type),
				     .tls = true },
		[PARAMETER_HOSTNAME] = { .name = "tls-hostname",
					 .out = uri->tls_hostname,
					 .out_bytes = sizeof(uri->tls_hostname),
					 .tls = true },
		[PARAMETER_VERIFY] = { .name = "tls-verify-peer",
				       .out = verify,
				       .out_bytes = sizeof(verify),
				       .tls = true },
	};

	while (query.bytes) {
		const char *end = memchr(query.first, '&', query.bytes);
		size_t bytes = end ? (size_t)(end - query.first) : query.bytes;
		size_t step = end ? bytes + 1 : bytes;
		int error = 0;

		if (bytes)
			error = take_parameter(parse, parameters,
					       (struct span){ query.first, bytes });
		if (error)
			return error;
		query.first += step;
		query.bytes -= step;
	}
	return check_parameters(parse, parameters);
}

/* --- authority and path ------------------------------------------------------------------------------- */

static struct span span_of_range(const UriTextRangeA *range)
{
	if (!range->first)
		return (struct span){ NULL, 0 };
	return (struct span){ range->first, (size_t)(range->afterLast - range->first) };
}

/* What follows "://", up to the path, the query, the fragment or the end. */
static struct span authority_of(const struct parse *parse)
{
	const char *authority = strstr(parse->text, "://") + 3;

	return (struct span){ authority, strcspn(authority, "/?#") };
}

static int take_user(const struct parse *parse, struct span user)
{
	/* Not quoted: what follows the ':' may be somebody's password. */
	if (user.first && memchr(user.first, ':', user.bytes))
		return fail_at(parse, user, -EINVAL,
			       "the user name is followed by ':' and a password: NBD has no "
			       "passwords, leave "
			       "it out "
			       "(a ':' in the name itself is written %%3A)");
	return decode(parse, "the user name", user, parse->uri->user, sizeof(parse->uri->user));
}

static int take_vsock(const struct parse *parse, struct span host, struct span port)
{
	uint64_t cid = 2, number = NBD_PORT_DEFAULT;

	/* UINT32_MAX is VMADDR_CID_ANY and VMADDR_PORT_ANY: nothing to connect to. */
	if (host.bytes && !decimal(host, 0, UINT32_MAX - 1, &cid))
		return fail_at(
			parse, host, -EINVAL,
			"the vsock address '%s' is not a number: it is the other side's CID, 2 for "
			"the host of this virtual machine",
			QUOTED(host));
	if (port.bytes && !decimal(port, 1, UINT32_MAX - 1, &number))
		return fail_at(parse, port, -EINVAL,
			       "the vsock port '%s' is not a number from 1 to %u", QUOTED(port),
			       UINT32_MAX - 1);
	parse->uri->vsock_cid = (uint32_t)cid;
	parse->uri->vsock_port = (uint32_t)number;
	return 0;
}

static int take_tcp(const struct parse *parse, const UriUriA *parts, struct span zone)
{
	struct span host = span_of_range(&parts->hostText);
	int error;

	if (!host.bytes)
		return fail_at(parse, authority_of(parse), -EINVAL,
			       "the URI has no host: write nbd://localhost/ for this machine, or "
			       "nbd+unix:///export?socket=PATH for a unix socket");
	if (parts->hostData.ipFuture.first)
		return fail_at(parse, host, -EINVAL, "'[%s]' is not an IPv6 address", QUOTED(host));
	error = take_port(parse, span_of_range(&parts->portText));
	if (error)
		return error;
	if (parts->hostData.ip6)
		return take_host_ipv6(parse, host, zone);
	return take_host_name(parse, host);
}

static int take_authority(const struct parse *parse, const UriUriA *parts, struct span zone)
{
	struct span host = span_of_range(&parts->hostText);
	struct span port = span_of_range(&parts->portText);
	int error = take_user(parse, span_of_range(&parts->userInfo));

	if (error)
		return error;
	if (parse->uri->transport == NBD_TRANSPORT_TCP)
		return take_tcp(parse, parts, zone);
	if (parse->uri->transport == NBD_TRANSPORT_VSOCK)
		return take_vsock(parse, host, port);
	if (host.bytes || port.first)
		return fail_at(
			parse, host.bytes ? host : port, -EINVAL,
			"'%s' is where a host would be, and a unix socket has no host: write "
			"nbd+unix:///export?socket=PATH, with three slashes",
			QUOTED(host.bytes ? host : port));
	return 0;
}

static int fail_long_name(const struct parse *parse)
{
	struct span authority = authority_of(parse);

	return fail_at(parse, span_of(authority.first + authority.bytes + 1), -E2BIG,
		       "the export name is longer than %d bytes", NBD_STRING_BYTES_MAX);
}

/* The path less its first '/': uriparser has cut it at each. */
static int take_path(const struct parse *parse, const UriPathSegmentA *segment)
{
	char *out = parse->uri->export_name;
	size_t used = 0;

	for (; segment; segment = segment->next) {
		int error = decode_bytes(parse, "the export name", span_of_range(&segment->text),
					 out + used, sizeof(parse->uri->export_name) - used);

		if (error == -E2BIG)
			return fail_long_name(parse);
		if (error)
			return error;
		used += strlen(out + used);
		if (!segment->next)
			break;
		if (used + 2 > sizeof(parse->uri->export_name))
			return fail_long_name(parse);
		out[used++] = '/';
		out[used] = '\0';
	}
	return 0;
}

/* --- uriparser, on memory of ours ------------------------------------------------------------------- */

struct arena {
	UriMemoryManager manager;
	size_t used;
	_Alignas(16) unsigned char bytes[URI_ARENA_BYTES];
};

/* Each piece is preceded by its size, for realloc. */
#define ARENA_HEAD_BYTES 16

static void *arena_malloc(UriMemoryManager *manager, size_t bytes)
{
	struct arena *arena = manager->userData;
	size_t room = sizeof(arena->bytes) - arena->used;
	unsigned char *piece = arena->bytes + arena->used;

	if (bytes > room || room - bytes < (size_t)2 * ARENA_HEAD_BYTES)
		return NULL;
	memcpy(piece, &bytes, sizeof(bytes));
	arena->used += ARENA_HEAD_BYTES + ((bytes + 15) & ~(size_t)15);
	return piece + ARENA_HEAD_BYTES;
}

static void *arena_calloc(UriMemoryManager *manager, size_t count, size_t bytes)
{
	void *piece = NULL;

	if (!__builtin_mul_overflow(count, bytes, &bytes))
		piece = arena_malloc(manager, bytes);
	return piece ? memset(piece, 0, bytes) : NULL;
}

static void *arena_realloc(UriMemoryManager *manager, void *old, size_t bytes)
{
	void *piece = arena_malloc(manager, bytes);
	size_t old_bytes;

	if (!piece || !old)
		return piece;
	memcpy(&old_bytes, (unsigned char *)old - ARENA_HEAD_BYTES, sizeof(old_bytes));
	return memcpy(piece, old, old_bytes < bytes ? old_bytes : bytes);
}

static void *arena_reallocarray(UriMemoryManager *manager, void *old, size_t count, size_t bytes)
{
	return __builtin_mul_overflow(count, bytes, &bytes) ? NULL
							    : arena_realloc(manager, old, bytes);
}

static void arena_free(UriMemoryManager *manager, void *piece)
{
	(void)manager; /* all of it goes when nbd_uri_parse() returns */
	(void)piece;
}

static int take_parts(const struct parse *parse, const UriUriA *parts, struct span zone)
{
	int error = take_scheme(parse, span_of_range(&parts->scheme));

	if (error)
		return error;
	if (parts->fragment.first)
		return fail_at(
			parse, span_of_range(&parts->fragment), -EINVAL,
			"'#%s' is a fragment, which NBD URIs do not have: a '#' in a name is "
			"written %%23",
			QUOTED(span_of_range(&parts->fragment)));
	error = take_authority(parse, parts, zone);
	if (!error)
		error = take_path(parse, parts->pathHead);
	if (!error)
		error = take_query(parse, span_of_range(&parts->query));
	return error;
}

/* Why uriparser stops at where. It takes the grammar of RFC 3986 and says no more than the place. */
static int fail_syntax(const struct parse *parse, const char *where)
{
	struct span authority = authority_of(parse);
	const char *end = authority.first + authority.bytes;
	const char *user_end = memrchr(authority.first, '@', authority.bytes);
	const char *host = user_end ? user_end + 1 : authority.first;
	const char *percent = where;
	struct span place = { where, strlen(where) };
	struct span whole = { host, (size_t)(end - host) };
	unsigned char byte = (unsigned char)*where;

	/* Not quoted: it may be somebody's password. */
	if (where < host)
		return fail_at(
			parse, place, -EINVAL,
			"the user name contains a character that must be written as %%XX (a ':' as "
			"%%3A; NBD has no password)");
	if (where <= end && memchr(host, '[', whole.bytes))
		return fail_at(parse, whole, -EINVAL,
			       "'%s' is not an IPv6 address in brackets with only a :port "
			       "after it (the '%%' of a zone is written %%25)",
			       QUOTED(whole));
	while (percent > host && percent > where - 2 && *percent != '%')
		percent--;
	if (*percent == '%')
		return fail_at(parse, span_of(percent), -EINVAL,
			       "'%s': the '%%' is not followed by two hex digits (a '%%' itself is "
			       "written %%25)",
			       QUOTED(span_of(percent)));
	if (where <= end && memchr(host, ':', whole.bytes))
		return fail_at(parse, whole, -EINVAL,
			       "'%s' has no port, a number from 1 to 65535, after its ':'",
			       QUOTED(whole));
	if (byte >= 0x80)
		return fail_at(parse, place, -EINVAL,
			       "'%s': each byte of a letter outside ASCII must be written as %%XX",
			       QUOTED(place));
	return fail_at(parse, place, -EINVAL, "'%s': the character '%c' must be written as %%%02X",
		       QUOTED(place), byte < 0x20 || byte == 0x7f ? '?' : byte, byte);
}

static int parse_split(const struct parse *parse, const char *text, struct span zone)
{
	struct arena arena; /* its bytes are as they come: most are never touched */
	const char *where = NULL;
	UriUriA parts;

	arena.used = 0;
	arena.manager = (UriMemoryManager){
		.malloc = arena_malloc,
		.calloc = arena_calloc,
		.realloc = arena_realloc,
		.reallocarray = arena_reallocarray,
		.free = arena_free,
		.userData = &arena,
	};
	switch (uriParseSingleUriExMmA(&parts, text, text + strlen(text), &where, &arena.manager)) {
	case URI_SUCCESS:
		return take_parts(parse, &parts, zone);
	case URI_ERROR_MALLOC:
		return fail_long_name(parse); /* only its '/' take so much room */
	default:
		return fail_syntax(parse, where ? where : text + strlen(text));
	}
}

/* --- the text ------------------------------------------------------------------------------------------ */

/* Moves "%25zone" out of "[address%25zone]" (RFC 6874), for uriparser does not know it. */
static struct span zone_cut(struct parse *parse, char *text, char *zone, size_t zone_bytes)
{
	char *authority = strstr(text, "://") + 3;
	char *end = authority + strcspn(authority, "/?#");
	char *open = memchr(authority, '[', (size_t)(end - authority));
	char *close = open ? memchr(open, ']', (size_t)(end - open)) : NULL;
	char *percent = close ? memchr(open, '%', (size_t)(close - open)) : NULL;
	size_t bytes;

	if (!percent || strncmp(percent, "%25", 3))
		return (struct span){ NULL, 0 };
	bytes = (size_t)(close - percent - 3);
	if (bytes >= zone_bytes)
		bytes = zone_bytes - 1;
	memcpy(zone, percent + 3, bytes);
	parse->cut = percent;
	parse->cut_characters = characters_in(percent, close);
	parse->zone = zone;
	memmove(percent, close, strlen(close) + 1);
	return (struct span){ zone, bytes };
}

static int parse_uri(struct parse *parse, const char *text)
{
	char copy[URI_TEXT_BYTES_MAX + 1], zone[ZONE_BYTES_MAX + 2];
	struct span cut;
	int error;

	/* "://" further on, in "host/a://b" or "nbd:a://b", is neither form. */
	if (text[0] == ':' || text + strcspn(text, ":/?#[@") != strstr(text, "://"))
		return fail_at(parse, span_of(text), -EINVAL, "'%s' has no scheme before its '://'",
			       QUOTED(span_of(text)));
	strcpy(copy, text);
	parse->text = copy;
	cut = zone_cut(parse, copy, zone, sizeof(zone));
	error = parse_split(parse, copy, cut);
	parse->text = parse->cut = parse->zone = NULL; /* they end here */
	return error;
}

int nbd_uri_parse(struct nbd_uri *uri, const char *text, unsigned int flags, char *error,
		  unsigned int error_bytes)
{
	struct parse parse = {
		.uri = uri,
		.flags = flags,
		.error = error,
		.error_bytes = error_bytes,
		.text = text,
	};

	memset(uri, 0, sizeof(*uri));
	uri->tls_verify_peer = -1;
	if (strlen(text) > URI_TEXT_BYTES_MAX)
		return fail_at(&parse, span_of(text + URI_TEXT_BYTES_MAX), -E2BIG,
			       "the target is longer than %u bytes", URI_TEXT_BYTES_MAX);
	if (strstr(text, "://"))
		return parse_uri(&parse, text);
	if (!strncasecmp(text, "nbd:", 4) || !strncasecmp(text, "nbd+", 4) ||
	    !strncasecmp(text, "nbds:", 5) || !strncasecmp(text, "nbds+", 5))
		return fail_at(&parse, span_of(text), -EINVAL,
			       "'%s' has no '//' after its scheme: write nbd://host:port/export or "
			       "nbd+unix:///export?socket=PATH",
			       QUOTED(span_of(text)));
	return parse_plain(&parse, text);
}
