/* SPDX-License-Identifier: MIT */
/*
 * Goal: every form of target that the NBD URI specification, libnbd's vsock and our plain form
 * allow is understood as they say, and everything else is refused with a sentence that names the
 * offending part.
 * Method: a table of good texts with each field that differs from its default, formatted and parsed
 * again; a table of bad ones with the errno and a word of the sentence; the lengths at their limits.
 * Every refusal of every test must name a place: a character of the text, or its end.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/uri.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct good {
	const char *text;
	const char *canonical; /* NULL: same as text */
	/* NULL: the default ("", port 10809, cid 2) */
	const char *host, *port, *export, *user, *socket, *query;
	uint32_t cid, vsock_port;
};

/* query: "name=value" of one TLS parameter that is expected. */
static const struct good good[] = {
	/* tcp */
	{ "nbd://example.com", "nbd://example.com/", .host = "example.com" },
	{ "nbd://example.com/", NULL, .host = "example.com" },
	{ "nbd://example.com/disk", NULL, .host = "example.com", .export = "disk" },
	{ "nbd://example.com//disk", NULL, .host = "example.com", .export = "/disk" },
	{ "nbd://example.com/a/b/c", NULL, .host = "example.com", .export = "a/b/c" },
	{ "nbd://example.com/a/b/", NULL, .host = "example.com", .export = "a/b/" },
	{ "nbd://example.com//", NULL, .host = "example.com", .export = "/" },
	{ "nbd://example.com/../.", NULL, .host = "example.com", .export = "../." },
	{ "nbd://example.com/hello%20world", NULL, .host = "example.com", .export = "hello world" },
	{ "nbd://h/a+b", NULL, .host = "h", .export = "a+b" },
	{ "nbd://h/a%2Bb", "nbd://h/a+b", .host = "h", .export = "a+b" },
	{ "nbd://h/a%2Fb", "nbd://h/a/b", .host = "h", .export = "a/b" },
	{ "nbd://h/a%3Fb%23c", NULL, .host = "h", .export = "a?b#c" },
	{ "nbd://h/%c3%a9", "nbd://h/%C3%A9", .host = "h", .export = "\xc3\xa9" },
	{ "nbd://h/%F0%9F%92%BE", NULL, .host = "h", .export = "\xf0\x9f\x92\xbe" },
	{ "nbd://h/%0A%1b", "nbd://h/%0A%1B", .host = "h", .export = "\n\x1b" },
	/* no UTF-8: servers have such names, too */
	{ "nbd://h/%FF", NULL, .host = "h", .export = "\xff" },
	{ "nbd://h/%C0%80", NULL, .host = "h", .export = "\xc0\x80" },
	{ "nbd://h/%ED%A0%80", NULL, .host = "h", .export = "\xed\xa0\x80" },
	{ "nbd://h/%F4%90%80%80", NULL, .host = "h", .export = "\xf4\x90\x80\x80" },
	{ "nbd://h/%E2%82/%01%7F", NULL, .host = "h", .export = "\xe2\x82/\x01\x7f" },
	{ "nbd://h/%E2%80%A8", NULL, .host = "h", .export = "\xe2\x80\xa8" },
	{ "h/\xff", "nbd://h/%FF", .host = "h", .export = "\xff" },
	{ "nbd://h/100%25", NULL, .host = "h", .export = "100%" },
	{ "nbd://h/a:b@c,d;e=f", NULL, .host = "h", .export = "a:b@c,d;e=f" },
	{ "nbd://h:10809/x", "nbd://h/x", .host = "h", .export = "x" },
	{ "nbd://h:/x", "nbd://h/x", .host = "h", .export = "x" },
	{ "nbd://h:1/x", NULL, .host = "h", .port = "1", .export = "x" },
	{ "nbd://h:65535/", NULL, .host = "h", .port = "65535" },
	{ "nbd://h:0010809", "nbd://h/", .host = "h" },
	{ "nbd://h?", "nbd://h/", .host = "h" },
	{ "NBD://Host/X", "nbd://Host/X", .host = "Host", .export = "X" },
	{ "nbd://127.0.0.1:10810/", NULL, .host = "127.0.0.1", .port = "10810" },
	{ "nbd://a-b_c.d~e/", NULL, .host = "a-b_c.d~e" },
	{ "nbd://d%C3%BC/", NULL, .host = "d\xc3\xbc" },
	/* IPv6 */
	{ "nbd://[::1]", "nbd://[::1]/", .host = "::1" },
	{ "nbd://[::1]:10810/a/b", NULL, .host = "::1", .port = "10810", .export = "a/b" },
	{ "nbd://[0:0::0001]/", "nbd://[::1]/", .host = "::1" },
	{ "nbd://[2001:DB8::A]/", "nbd://[2001:db8::a]/", .host = "2001:db8::a" },
	{ "nbd://[::ffff:10.0.0.1]/", NULL, .host = "::ffff:10.0.0.1" },
	{ "nbd://[fe80::1%25eth0]/x", NULL, .host = "fe80::1%eth0", .export = "x" },
	{ "nbd://[fe80::1%25eth0.100]:9/", NULL, .host = "fe80::1%eth0.100", .port = "9" },
	{ "nbd://u@[fe80::1%252]/", NULL, .host = "fe80::1%2", .user = "u" },
	/* user */
	{ "nbd://alice@h/x", NULL, .host = "h", .user = "alice", .export = "x" },
	{ "nbd://@h/", "nbd://h/", .host = "h" },
	{ "nbds://al%3Aice%40x@h/", NULL, .host = "h", .user = "al:ice@x" },
	{ "nbds+unix://alice@/?socket=/s", NULL, .user = "alice", .socket = "/s" },
	/* unix */
	{ "nbd+unix:///?socket=/tmp/sock", NULL, .socket = "/tmp/sock" },
	{ "nbd+unix:///disk?socket=sock", NULL, .export = "disk", .socket = "sock" },
	{ "nbd+unix:///a/b/?socket=/s", NULL, .export = "a/b/", .socket = "/s" },
	{ "nbd+unix://?socket=/s", "nbd+unix:///?socket=/s", .socket = "/s" },
	{ "nbd+unix:///?&socket=/s&", "nbd+unix:///?socket=/s", .socket = "/s" },
	{ "nbd+unix:///?socket=/a%20b", NULL, .socket = "/a b" },
	{ "nbd+unix:///?socket=/a+b", "nbd+unix:///?socket=/a%2Bb", .socket = "/a+b" },
	{ "nbd+unix:///?socket=/a=b", "nbd+unix:///?socket=/a%3Db", .socket = "/a=b" },
	{ "nbd+unix:///?socket=/a?b", "nbd+unix:///?socket=/a%3Fb", .socket = "/a?b" },
	{ "nbd+unix:///?socket=/a%26b", NULL, .socket = "/a&b" },
	{ "nbd+unix:///?socket=@name", NULL, .socket = "@name" },
	{ "nbd+unix:///?socket=%40name", "nbd+unix:///?socket=@name", .socket = "@name" },
	{ "nbd+unix:///?socket=%00name", "nbd+unix:///?socket=@name", .socket = "@name" },
	{ "nbd+unix:///?s%6Fcket=/s", "nbd+unix:///?socket=/s", .socket = "/s" },
	{ "nbds+unix:///?socket=/s&tls-hostname=h.example", NULL, .socket = "/s",
	  .query = "tls-hostname=h.example" },
	/* vsock */
	{ "nbd+vsock:///", "nbd+vsock://2/", .cid = 2 },
	{ "nbd+vsock://", "nbd+vsock://2/", .cid = 2 },
	{ "nbd+vsock://3/x", NULL, .cid = 3, .export = "x" },
	{ "nbd+vsock://3:99/", NULL, .cid = 3, .vsock_port = 99 },
	{ "nbd+vsock://:99/", "nbd+vsock://2:99/", .cid = 2, .vsock_port = 99 },
	{ "nbd+vsock://4294967294:4294967294/", NULL, .cid = 4294967294u,
	  .vsock_port = 4294967294u },
	{ "nbds+vsock://1/", NULL, .cid = 1 },
	/* TLS parameters */
	{ "nbds://h/?tls-type=x509", NULL, .host = "h", .query = "tls-type=x509" },
	{ "nbds://h/?tls-type=psk", NULL, .host = "h", .query = "tls-type=psk" },
	{ "nbds://h/?tls-type=anon", NULL, .host = "h", .query = "tls-type=anon" },
	{ "nbds://h/?tls-verify-peer=0", NULL, .host = "h", .query = "tls-verify-peer=0" },
	{ "nbds://h/?tls-verify-peer=1", NULL, .host = "h", .query = "tls-verify-peer=1" },
	{ "nbds://h?tls-hostname=x", "nbds://h/?tls-hostname=x", .host = "h",
	  .query = "tls-hostname=x" },
	{ "nbds://h/?tls-certificates=/etc/pki", "nbds://h/", .host = "h",
	  .query = "tls-certificates=/etc/pki" },
	{ "nbds://h/?tls-psk-file=keys%2Fpsk", "nbds://h/", .host = "h",
	  .query = "tls-psk-file=keys/psk" },
	/* plain */
	{ "localhost", "nbd://localhost/", .host = "localhost" },
	{ "localhost/", "nbd://localhost/", .host = "localhost" },
	{ "h:10810", "nbd://h:10810/", .host = "h", .port = "10810" },
	{ "h:10809/x", "nbd://h/x", .host = "h", .export = "x" },
	{ "h/a/b%20+c?d#e", "nbd://h/a/b%2520+c%3Fd%23e", .host = "h", .export = "a/b%20+c?d#e" },
	{ "h//x", "nbd://h//x", .host = "h", .export = "/x" },
	{ "h/x:1", "nbd://h/x:1", .host = "h", .export = "x:1" },
	{ "h/\xc3\xa9", "nbd://h/%C3%A9", .host = "h", .export = "\xc3\xa9" },
	{ "10.0.0.1:1", "nbd://10.0.0.1:1/", .host = "10.0.0.1", .port = "1" },
	{ "[::1]", "nbd://[::1]/", .host = "::1" },
	{ "[::1]:10810/x/y", "nbd://[::1]:10810/x/y", .host = "::1", .port = "10810",
	  .export = "x/y" },
	{ "[::1]/x", "nbd://[::1]/x", .host = "::1", .export = "x" },
	{ "[fe80::1%eth0]:1/", "nbd://[fe80::1%25eth0]:1/", .host = "fe80::1%eth0", .port = "1" },
	{ "nbd", "nbd://nbd/", .host = "nbd" },
};

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* The value the URI holds for the parameter that expected ("name=value") names. */
static const char *uri_parameter(const struct nbd_uri *uri, const char *expected)
{
	static const char *const verify[] = { "", "0", "1" };

	if (!strncmp(expected, "tls-type=", 9))
		return uri->tls_type;
	if (!strncmp(expected, "tls-hostname=", 13))
		return uri->tls_hostname;
	if (!strncmp(expected, "tls-certificates=", 17))
		return uri->tls_certificates;
	if (!strncmp(expected, "tls-psk-file=", 13))
		return uri->tls_psk_file;
	return verify[uri->tls_verify_peer + 1];
}

static void check_tls(const struct nbd_uri *uri, const struct good *want)
{
	const char *expected = want->query;

	assert_int_equal(uri->tls, !strncasecmp(want->text, "nbds", 4));
	if (expected)
		assert_string_equal(uri_parameter(uri, expected), strchr(expected, '=') + 1);
	if (!expected || strncmp(expected, "tls-verify-peer=", 16))
		assert_int_equal(uri->tls_verify_peer, -1);
	if (!expected)
		assert_string_equal(uri->tls_type, "");
}

static void check_fields(const struct nbd_uri *uri, const struct good *want)
{
	enum nbd_transport transport = want->socket ? NBD_TRANSPORT_UNIX
				       : want->cid  ? NBD_TRANSPORT_VSOCK
						    : NBD_TRANSPORT_TCP;
	const char *port = transport == NBD_TRANSPORT_TCP ? "10809" : "";
	uint32_t vsock_port = transport == NBD_TRANSPORT_VSOCK ? NBD_PORT_DEFAULT : 0;

	assert_int_equal(uri->transport, transport);
	assert_string_equal(uri->host, or_empty(want->host));
	assert_string_equal(uri->port, want->port ? want->port : port);
	assert_string_equal(uri->export_name, or_empty(want->export));
	assert_string_equal(uri->user, or_empty(want->user));
	assert_string_equal(uri->socket_path, or_empty(want->socket));
	assert_int_equal(uri->vsock_cid, want->cid);
	assert_int_equal(uri->vsock_port, want->vsock_port ? want->vsock_port : vsock_port);
	check_tls(uri, want);
}

static void test_good(void **state)
{
	char out[32768], again[32768], error[400];
	struct nbd_uri uri;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		const struct good *want = &good[i];
		const char *canonical = want->canonical ? want->canonical : want->text;

		print_message("  %s\n", want->text);
		error[0] = '\0';
		if (nbd_uri_parse(&uri, want->text, NBD_URI_ALLOW_FILES, error, sizeof(error)))
			fail_msg("refused: %s", error);
		check_fields(&uri, want);
		assert_int_equal(nbd_uri_format(&uri, out, sizeof(out)), 0);
		assert_string_equal(out, canonical);
		assert_int_equal(nbd_uri_parse(&uri, out, 0, error, sizeof(error)), 0);
		assert_int_equal(nbd_uri_format(&uri, again, sizeof(again)), 0);
		assert_string_equal(again, out);
	}
}

static const struct bad {
	const char *text;
	int error;
	const char *word; /* in the sentence */
} bad[] = {
	/* form and scheme */
	{ "", -EINVAL, "has no host" },
	{ "/run/nbd.sock", -EINVAL, "nbd+unix:///?socket=PATH" },
	{ "http://h/", -EINVAL, "'http://'" },
	{ "nbd+tcp://h/", -EINVAL, "'nbd+tcp://'" },
	{ "nbdx://h/", -EINVAL, "'nbdx://'" },
	{ "://h", -EINVAL, "has no scheme" },
	{ "nbd:h/x", -EINVAL, "no '//'" },
	{ "nbd+unix:/x?socket=/s", -EINVAL, "no '//'" },
	{ "nbd:unix:/run/s", -EINVAL, "no '//'" },
	{ "nbd:a://b", -EINVAL, "has no scheme" },
	{ "host/a://b", -EINVAL, "has no scheme" },
	{ "nbd://h/#x", -EINVAL, "'#x'" },
	{ "nbd://h/a b", -EINVAL,
	  "' b': the character ' ' must be written as %20 (at character 10)" },
	{ "nbd://h/\xc3\xa9", -EINVAL, "must be written as %XX (at character 9)" },
	{ "nbd://h/%zz", -EINVAL,
	  "not followed by two hex digits (a '%' itself is written %25) (at character 9)" },
	{ "nbd://h/%4", -EINVAL,
	  "not followed by two hex digits (a '%' itself is written %25) (at character 9)" },
	{ "nbd://h/a[b", -EINVAL, "'[b'" },
	/* host, port, user */
	{ "nbd:///x", -EINVAL, "has no host" },
	{ "nbd://", -EINVAL, "has no host" },
	{ "nbd://:10809/", -EINVAL, "has no host" },
	{ "nbd://h:0/", -EINVAL, "'0'" },
	{ "nbd://h:65536/", -EINVAL, "'65536'" },
	{ "nbd://h:99999999999999999999/", -EINVAL, "1 to 65535" },
	{ "nbd://h:x/", -EINVAL, "'h:x' has no port" },
	{ "nbd://h%00/", -EINVAL, "%00" },
	{ "nbd://a%2Fb/", -EINVAL, "host names cannot have" },
	{ "nbd://a,b/", -EINVAL, "host names cannot have" },
	{ "nbd://%FF/", -EINVAL, "UTF-8" },
	{ "nbd://[::1", -EINVAL, "'[::1' is not an IPv6 address" },
	{ "nbd://[::g]/", -EINVAL, "'[::g]' is not an IPv6 address" },
	{ "nbd://[v1.x]/", -EINVAL, "not an IPv6 address" },
	{ "nbd://[fe80::1%eth0]/", -EINVAL, "written %25" },
	{ "nbd://[fe80::1%25]/", -EINVAL, "1 to 15" },
	{ "nbd://[fe80::1%250123456789abcdef]/", -EINVAL, "1 to 15" },
	{ "nbd://[fe80::1%25a%2F]/", -EINVAL, "zone" },
	{ "nbd://alice:secret@h/", -EINVAL, "password" },
	{ "nbd://alice:secret@h:x/", -EINVAL, "has no port" },
	{ "nbd://alice:a secret@h/", -EINVAL, "user name" },
	{ "nbd://alice:%secret@h/", -EINVAL, "user name" },
	{ "nbd://alice:secret@[::g]/", -EINVAL, "'[::g]'" },
	{ "nbd://al\xc3\xa9:secret@h/", -EINVAL, "user name" },
	{ "nbd://%00@h/", -EINVAL, "%00" },
	/* export */
	{ "nbd://h/a%00b", -EINVAL, "export name 'a%00b' contains %00" },
	/* unix */
	{ "nbd+unix:///x", -EINVAL, "needs its socket" },
	{ "nbd+unix:///?socket", -EINVAL, "no value" },
	{ "nbd+unix:///?socket=", -EINVAL, "no value" },
	{ "nbd+unix:///?socket=@", -EINVAL, "has no name" },
	{ "nbd+unix:///?socket=%00", -EINVAL, "has no name" },
	{ "nbd+unix:///?socket=/a%00b", -EINVAL, "%00" },
	{ "nbd+unix:///?socket=%00a%00b", -EINVAL, "%00" },
	{ "nbd+unix://h/?socket=/s", -EINVAL, "'h'" },
	{ "nbd+unix://tmp/sock", -EINVAL, "three slashes" },
	{ "nbd+unix://:1/?socket=/s", -EINVAL, "'1'" },
	/* vsock */
	{ "nbd+vsock://host/", -EINVAL, "CID" },
	{ "nbd+vsock://4294967295/", -EINVAL, "CID" },
	{ "nbd+vsock://-1/", -EINVAL, "CID" },
	{ "nbd+vsock://2:0/", -EINVAL, "vsock port '0'" },
	{ "nbd+vsock://2:4294967295/", -EINVAL, "vsock port" },
	{ "nbd+vsock://[::1]/", -EINVAL, "CID" },
	/* parameters */
	{ "nbd://h/?socket=/s", -EINVAL, "'socket' belongs to nbd+unix" },
	{ "nbd+vsock://2/?socket=/s", -EINVAL, "'socket' belongs to nbd+unix" },
	{ "nbd+unix:///?socket=/a&socket=/b", -EINVAL, "'socket' is given twice" },
	{ "nbds://h/?tls-type=psk&tls-type=psk", -EINVAL, "'tls-type' is given twice" },
	{ "nbd://h/?foo=bar", -EINVAL, "'foo' is unknown" },
	{ "nbd://h/?x-mine=1", -EINVAL, "'x-mine' is unknown" },
	{ "nbd://h/?Socket=/s", -EINVAL, "'Socket' is unknown" },
	{ "nbd://h/?=x", -EINVAL, "'' is unknown" },
	{ "nbd://h/?tls-hostname=x", -EINVAL, "nbds://" },
	{ "nbd+unix:///?socket=/s&tls-psk-file=/k", -EINVAL, "nbds" },
	{ "nbds://h/?tls-type=none", -EINVAL, "'none'" },
	{ "nbds://h/?tls-verify-peer=2", -EINVAL, "0 or 1" },
	{ "nbds://h/?tls-verify-peer=true", -EINVAL, "0 or 1" },
	{ "nbds://h/?tls-hostname=a%00", -EINVAL, "%00" },
	/* plain */
	{ "::1", -EINVAL, "brackets" },
	{ "fe80::1:10809", -EINVAL, "brackets" },
	{ "h:", -EINVAL, "without a port" },
	{ "h:/x", -EINVAL, "without a port" },
	{ "h:nbd", -EINVAL, "'nbd'" },
	{ "h:0", -EINVAL, "1 to 65535" },
	{ ":10809", -EINVAL, "has no host" },
	{ "u@h", -EINVAL, "host names cannot have" },
	{ "a b", -EINVAL, "host names cannot have" },
	{ "[::1", -EINVAL, "without its ']'" },
	{ "[::1]x", -EINVAL, "follows the ']'" },
	{ "[::1]:", -EINVAL, "without a port" },
	{ "[h]", -EINVAL, "not an IPv6 address" },
	{ "[]", -EINVAL, "not an IPv6 address" },
	{ "[fe80::1%]", -EINVAL, "1 to 15" },
	{ "\xff", -EINVAL, "UTF-8" },
};

static size_t characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

/* The sentence ends with a place that the text has. */
static void check_place(const char *text, const char *error)
{
	const char *place = strrchr(error, '(');
	size_t position = 0;
	char exact[48];

	if (place)
		sscanf(place, "(at character %zu)", &position);
	snprintf(exact, sizeof(exact), "(at character %zu)", position);
	if (!place || strcmp(place, exact) || position < 1 || position > characters(text) + 1)
		fail_msg("no place in: %s", error);
}

/* Parses what must be refused; the errno. */
static int refuse(const char *text, unsigned int flags, char *error, unsigned int error_bytes)
{
	struct nbd_uri uri;
	int got;

	error[0] = '\0';
	got = nbd_uri_parse(&uri, text, flags, error, error_bytes);
	if (!got)
		fail_msg("taken: %.80s", text);
	check_place(text, error);
	return got;
}

static void test_bad(void **state)
{
	char error[400];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		int got = refuse(bad[i].text, NBD_URI_ALLOW_FILES, error, sizeof(error));

		print_message("  %s: %s\n", bad[i].text, error);
		assert_int_equal(got, bad[i].error);
		if (!strstr(error, bad[i].word))
			fail_msg("no \"%s\" in: %s", bad[i].word, error);
		assert_null(strstr(error, "secret"));
	}
}

/* The place is that of the user's text, in characters, whatever was cut out of it or decoded. */
static void test_places(void **state)
{
	static const struct {
		const char *text, *word;
	} rows[] = {
		{ "http://h/", "(at character 1)" },
		{ "nbd://h:65536/", "(at character 9)" },
		{ "nbd://h%2Fx/", "(at character 7)" },
		{ "nbd://h/ab%00", "(at character 11)" },
		{ "nbd://h/a#frag", "(at character 11)" },
		{ "nbd://h/x?socket=/s", "(at character 11)" },
		{ "nbd://h/x?foo=1", "(at character 11)" },
		{ "nbds://h/x?tls-type=psk&tls-type=psk", "(at character 25)" },
		{ "nbds://h/x?tls-type", "(at character 12)" },
		{ "nbd://[fe80::1%25eth0]:70000/", "(at character 24)" },
		{ "nbd://[fe80::1%25eth0]/a b", "(at character 25)" },
		{ "nbd://[fe80::1%25eth0]/?foo=1", "(at character 25)" },
		{ "nbd+vsock://me/", "(at character 13)" },
		{ "nbd+unix://me/?socket=/s", "(at character 12)" },
		{ "a,b", "(at character 2)" },
		{ "d\xc3\xbc,b", "(at character 3)" },
		{ "d\xc3\xbc:x", "(at character 4)" },
		{ "[::1]:x", "(at character 7)" },
		{ "[::1]x", "(at character 6)" },
		{ "", "(at character 1)" },
		{ ":10809", "(at character 1)" },
		{ "nbd://", "(at character 7)" },
		{ "nbd:///x", "(at character 7)" },
		{ "nbd://:10809/", "(at character 7)" },
		{ "nbd://al:secret@h/", "(at character 7)" },
		{ "nbd+unix:///x", "(at character 1)" },
		{ "nbd+unix:///?socket=@", "(at character 21)" },
		{ "nbd+unix:///?socket=%00", "(at character 24)" },
		{ "nbds://h/?tls-type=none", "(at character 20)" },
		{ "nbds://h/?tls-verify-peer=2", "(at character 27)" },
		{ "nbds://h/?tls-verify-peer=no&tls-type=psk", "(at character 27)" },
		{ "nbd://[fe80::1%25]/", "(at character 18)" },
		{ "nbd://[fe80::1%250123456789abcdef]/", "(at character 18)" },
		{ "nbd://[fe80::1%25a%2F]/", "(at character 18)" },
		{ "nbd://[fe80::1%25\xc3\xbc]/", "(at character 18)" },
		{ "nbd://[fe80::1%25\xc3\xbc]:0/", "(at character 21)" },
		{ "[fe80::1%]", "(at character 10)" },
	};
	char error[400];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(refuse(rows[i].text, NBD_URI_ALLOW_FILES, error, sizeof(error)),
				 -EINVAL);
		if (!strstr(error, rows[i].word))
			fail_msg("no \"%s\" in: %s", rows[i].word, error);
	}
}

/* count times what, after prefix and before suffix; freed by the caller. */
static char *repeat(const char *prefix, const char *what, size_t count, const char *suffix)
{
	char *text = malloc(strlen(prefix) + strlen(what) * count + strlen(suffix) + 1);
	char *end = text;

	assert_non_null(text);
	end = stpcpy(end, prefix);
	while (count--)
		end = stpcpy(end, what);
	strcpy(end, suffix);
	return text;
}

static const struct limit {
	const char *prefix, *what, *suffix;
	size_t fits; /* that many repetitions do, one more does not */
} limits[] = {
	{ "nbd://h/", "a", "", NBD_STRING_BYTES_MAX },
	{ "nbd://h/", "%41", "", NBD_STRING_BYTES_MAX },
	{ "nbd://h/", "/", "", NBD_STRING_BYTES_MAX },
	{ "h/", "a", "", NBD_STRING_BYTES_MAX },
	{ "nbd://", "a", "/", NBD_HOST_BYTES_MAX },
	{ "", "a", "/", NBD_HOST_BYTES_MAX },
	{ "nbd://", "a", "@h/", 255 },
	{ "nbd+unix:///?socket=", "a", "", 107 },
	{ "nbd+unix:///?socket=%00", "a", "", 106 },
	{ "nbds://h/?tls-certificates=", "a", "", NBD_PATH_BYTES_MAX - 1 },
	{ "nbds://h/?tls-hostname=", "a", "", NBD_HOST_BYTES_MAX },
};

static void test_limits(void **state)
{
	struct nbd_uri uri;
	char error[400], longer[48];

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++) {
		const struct limit *limit = &limits[i];
		char *fits = repeat(limit->prefix, limit->what, limit->fits, limit->suffix);
		char *over = repeat(limit->prefix, limit->what, limit->fits + 1, limit->suffix);

		print_message("  %s%s x %zu%s\n", limit->prefix, limit->what, limit->fits,
			      limit->suffix);
		assert_int_equal(nbd_uri_parse(&uri, fits, 1, error, sizeof(error)), 0);
		assert_int_equal(refuse(over, 1, error, sizeof(error)), -E2BIG);
		snprintf(longer, sizeof(longer), "is longer than %zu bytes", limit->fits);
		assert_non_null(strstr(error, longer));
		free(fits);
		free(over);
	}
}

/* The limit is the whole name's, in whichever of its segments it is passed. */
static void test_long_path(void **state)
{
	static const char *const suffixes[] = { "", "/", "/b", "/b/c" };
	char error[400];

	(void)state;
	for (size_t i = 0; i < COUNT(suffixes); i++) {
		char *text = repeat("nbd://h/b/", "a", NBD_STRING_BYTES_MAX - 1, suffixes[i]);

		assert_int_equal(refuse(text, 0, error, sizeof(error)), -E2BIG);
		assert_string_equal(error,
				    "the export name is longer than 4096 bytes (at character 9)");
		free(text);
	}
}

/* More path segments, or more bytes, than we keep room for: refused, not crashed. */
static void test_too_much(void **state)
{
	static const char *const prefixes[] = { "nbd://h/", "nbd://", "nbd://h/?", "nbd://[", "" };
	char error[400];

	(void)state;
	for (size_t i = 0; i < COUNT(prefixes); i++) {
		for (size_t count = 39000; count <= 60000; count += 21000) {
			char *text = repeat(prefixes[i], "/", count, "");

			assert_true(refuse(text, 0, error, sizeof(error)) < 0);
			free(text);
		}
	}
}

static void test_files_not_allowed(void **state)
{
	struct nbd_uri uri;
	char error[400];

	(void)state;
	assert_int_equal(refuse("nbds://h/?tls-psk-file=/k", 0, error, sizeof(error)), -EPERM);
	assert_non_null(strstr(error, "'tls-psk-file'"));
	assert_int_equal(refuse("nbds://h/?tls-certificates=/k", 0, error, sizeof(error)), -EPERM);
	/* A socket is where the server is, not a file that is read. */
	assert_int_equal(nbd_uri_parse(&uri, "nbd+unix:///?socket=/s", 0, error, sizeof(error)), 0);
}

/* Every room for the canonical form: exact is enough, one byte less is -E2BIG and nothing beyond
 * is touched. */
static void test_format_room(void **state)
{
	static const char text[] = "nbds+unix://al%20ice@/a%23b?socket=/s&tls-type=psk";
	struct nbd_uri uri;
	char out[sizeof(text) + 1], error[400];

	(void)state;
	assert_int_equal(nbd_uri_parse(&uri, text, 1, error, sizeof(error)), 0);
	for (unsigned int room = 0; room <= sizeof(text); room++) {
		memset(out, 'X', sizeof(out));
		assert_int_equal(nbd_uri_format(&uri, out, room), room < sizeof(text) ? -E2BIG : 0);
		assert_int_equal(out[room], 'X');
	}
	assert_string_equal(out, text);
}

/* An error buffer of any size, none included, is kept within. */
static void test_error_room(void **state)
{
	struct nbd_uri uri;
	char error[64];

	(void)state;
	for (unsigned int room = 0; room < sizeof(error); room++) {
		memset(error, 'X', sizeof(error));
		assert_int_equal(nbd_uri_parse(&uri, "nbd://h/?foo=1", 0, error, room), -EINVAL);
		assert_int_equal(error[room], 'X');
		assert_true(!room || memchr(error, '\0', room));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_files_not_allowed),
		cmocka_unit_test(test_format_room),
		cmocka_unit_test(test_error_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
