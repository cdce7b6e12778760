/* SPDX-License-Identifier: MIT */
/*
 * Goal: the handshake takes what the protocol allows and no more, sends exactly what it should,
 * falls back only where that is right, and tells a person what to do when it fails.
 * Method: each test writes what a server would send, and what the client must have sent by the
 * end. The server's bytes are fed whole, cut in two at every byte, and byte by byte; status, error,
 * bytes sent and what was learnt must be the same each time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/handshake.h"
#include "proto/refusal.h"
#include "proto/text.h"
#include "tests/unit/bytes.h"

static struct bytes server, client, sent;
static struct nbd_handshake hs;

#define FIXED	  NBD_FLAG_FIXED_NEWSTYLE
#define NO_ZEROES NBD_FLAG_NO_ZEROES
#define HAS	  NBD_FLAG_HAS_FLAGS

static const struct nbd_handshake_options go = { .export_name = "disk" };
static const struct nbd_handshake_options go_plain = { .export_name = "disk",
						       .no_structured = true };
static const struct nbd_handshake_options go_compact = { .export_name = "disk",
							 .no_extended = true };
static const struct nbd_handshake_options info = { .export_name = "disk",
						   .goal = NBD_GOAL_INFO,
						   .no_structured = true };
static const struct nbd_handshake_options tls = { .export_name = "disk", .tls = true };

/* Names and descriptions, each followed by a '|'. */
static struct bytes listed;

static void on_listed(void *context, const char *name, size_t name_bytes, const char *description,
		      size_t description_bytes)
{
	assert_ptr_equal(context, &listed);
	put_raw(&listed, name, name_bytes);
	put8(&listed, '|');
	put_raw(&listed, description, description_bytes);
	put8(&listed, '|');
}

static const struct nbd_handshake_options list = {
	.export_name = "", .goal = NBD_GOAL_LIST, .listed = on_listed, .context = &listed
};

/* --- what the server says ---------------------------------------------------------------------- */

static void greeting(uint16_t flags)
{
	put64(&server, NBD_MAGIC_INIT);
	put64(&server, NBD_MAGIC_OPTION);
	put16(&server, flags);
}

static void reply(uint32_t option, uint32_t type, uint32_t len)
{
	put64(&server, NBD_MAGIC_OPTION_REPLY);
	put32(&server, option);
	put32(&server, type);
	put32(&server, len);
}

static void ack(uint32_t option)
{
	reply(option, NBD_REP_ACK, 0);
}

static void error_reply(uint32_t option, uint32_t type, const char *message)
{
	reply(option, type, (uint32_t)strlen(message));
	put_text(&server, message);
}

static void info_export(uint64_t size_bytes, uint16_t flags)
{
	reply(NBD_OPT_GO, NBD_REP_INFO, 12);
	put16(&server, NBD_INFO_EXPORT);
	put64(&server, size_bytes);
	put16(&server, flags);
}

static void info_block_size(uint32_t minimum, uint32_t preferred, uint32_t payload)
{
	reply(NBD_OPT_GO, NBD_REP_INFO, 14);
	put16(&server, NBD_INFO_BLOCK_SIZE);
	put32(&server, minimum);
	put32(&server, preferred);
	put32(&server, payload);
}

static void info_text(uint16_t type, const char *text, uint32_t len)
{
	reply(NBD_OPT_GO, NBD_REP_INFO, 2 + len);
	put16(&server, type);
	put_raw(&server, text, len);
}

/* --- what the client must say ------------------------------------------------------------------ */

static void client_option(uint32_t option, uint32_t len)
{
	put64(&client, NBD_MAGIC_OPTION);
	put32(&client, option);
	put32(&client, len);
}

static void client_go(uint32_t option, const char *name)
{
	uint32_t name_bytes = (uint32_t)strlen(name);

	client_option(option, 4 + name_bytes + 2 + 6);
	put32(&client, name_bytes);
	put_text(&client, name);
	put16(&client, 3);
	put16(&client, NBD_INFO_BLOCK_SIZE);
	put16(&client, NBD_INFO_NAME);
	put16(&client, NBD_INFO_DESCRIPTION);
}

static void client_export_name(const char *name)
{
	client_option(NBD_OPT_EXPORT_NAME, (uint32_t)strlen(name));
	put_text(&client, name);
}

static void client_abort(void)
{
	client_option(NBD_OPT_ABORT, 0);
}

/* --- playing ----------------------------------------------------------------------------------- */

/* In steps: a short send is normal. */
static void send_all(void)
{
	for (;;) {
		size_t len;
		const uint8_t *bytes = nbd_handshake_output(&hs, &len);
		size_t n = (len + 1) / 2;

		if (len == 0)
			return;
		put_raw(&sent, bytes, n);
		nbd_handshake_sent(&hs, n);
	}
}

/* Feeds the server's bytes in pieces of at most piece, the first of at most first. */
static void play(const struct nbd_handshake_options *options, size_t first, size_t piece)
{
	size_t at = 0, left_of_piece = first;

	sent.len = listed.len = 0;
	assert_int_equal(nbd_handshake_init(&hs, options), 0);
	while (at < server.len) {
		size_t wanted = nbd_handshake_wanted(&hs);
		size_t n = wanted < left_of_piece ? wanted : left_of_piece;

		if (nbd_handshake_status(&hs) == NBD_HANDSHAKE_START_TLS) {
			nbd_handshake_tls_done(&hs);
			send_all();
			continue;
		}
		if (nbd_handshake_status(&hs) != NBD_HANDSHAKE_ACTIVE)
			break;
		assert_true(wanted > 0);
		if (n > server.len - at)
			n = server.len - at;
		nbd_handshake_feed(&hs, server.data + at, n);
		send_all();
		at += n;
		left_of_piece -= n;
		if (left_of_piece == 0)
			left_of_piece = piece;
	}
	assert_int_equal(nbd_handshake_feed(&hs, NULL, 0), nbd_handshake_status(&hs));
}

static void check(enum nbd_handshake_status status, int errnum, const char *error, size_t at)
{
	if (nbd_handshake_status(&hs) != status || hs.error_errno != errnum ||
	    (error ? !strstr(hs.error, error) : hs.error[0] != '\0'))
		fail_msg("cut %zu: status %d, errno %d, error \"%s\"; expected %d, %d, \"%s\"", at,
			 nbd_handshake_status(&hs), hs.error_errno, hs.error, status, errnum,
			 error ? error : "");
	if (sent.len != client.len || memcmp(sent.data, client.data, sent.len) != 0)
		fail_msg("cut %zu: the client sent %zu bytes, not the %zu expected", at, sent.len,
			 client.len);
	assert_true(nbd_text_is_string(hs.error, strlen(hs.error)));
}

static void expect(const struct nbd_handshake_options *options, enum nbd_handshake_status status,
		   int errnum, const char *error)
{
	size_t step = server.len / 400 + 1;

	for (size_t cut = 1; cut < server.len; cut += step) {
		play(options, cut, server.len);
		check(status, errnum, error, cut);
	}
	for (size_t piece = 1; piece <= 5; piece++) {
		play(options, piece, piece);
		check(status, errnum, error, piece);
	}
	play(options, server.len, server.len);
	check(status, errnum, error, 0);
	server.len = client.len = 0;
}

static void expect_done(const struct nbd_handshake_options *options)
{
	expect(options, NBD_HANDSHAKE_DONE, 0, NULL);
}

static void expect_failed(const struct nbd_handshake_options *options, int errnum,
			  const char *error)
{
	expect(options, NBD_HANDSHAKE_FAILED, errnum, error);
}

/* A connection that asks for nothing but the export, up to the answer to GO. */
static void begin_plain(void)
{
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	client_go(NBD_OPT_GO, "disk");
}

/* --- greeting ---------------------------------------------------------------------------------- */

static void no_nbd_server(void **state)
{
	(void)state;
	put_text(&server, "SSH-2.0-OpenSSH_9.2p1 Debian");
	expect_failed(&go, EPROTO, "not an NBD server");
	put_text(&server, "HTTP/1.");
	put_text(&server, "1 400 Bad Request\r\n");
	expect_failed(&go, EPROTO, "Is the port right?");
}

static void oldstyle_is_refused(void **state)
{
	(void)state;
	put64(&server, NBD_MAGIC_INIT);
	put64(&server, NBD_MAGIC_OLDSTYLE);
	put64(&server, 1 << 20);
	put32(&server, HAS);
	put_fill(&server, 0, 124);
	expect_failed(&go, EPROTONOSUPPORT, "oldstyle");
}

static void unknown_second_magic_is_refused(void **state)
{
	(void)state;
	put64(&server, NBD_MAGIC_INIT);
	put64(&server, NBD_MAGIC_OPTION ^ 1);
	put16(&server, FIXED);
	expect_failed(&go, EPROTO, "greeting is broken");
}

/* It knows one option, and has no way to say no but to close. */
static void newstyle_that_is_not_fixed_is_asked_by_name(void **state)
{
	(void)state;
	for (int zeroes = 0; zeroes < 2; zeroes++) {
		greeting(zeroes ? 0 : NO_ZEROES);
		put32(&client, zeroes ? 0 : NO_ZEROES);
		client_export_name("disk");
		put64(&server, 1 << 20);
		put16(&server, HAS | NBD_FLAG_READ_ONLY);
		put_fill(&server, 0, zeroes ? 124 : 0);
		expect_done(&go);
		assert_int_equal(hs.export.framing, NBD_FRAMING_SIMPLE);
		assert_int_equal(hs.export.flags, HAS | NBD_FLAG_READ_ONLY);
		assert_true(hs.export.used_export_name);
	}
	greeting(0);
	expect_failed(&tls, EPROTONOSUPPORT, "has no TLS");
	greeting(0);
	expect_failed(&info, EPROTONOSUPPORT, "cannot describe");
	greeting(NO_ZEROES);
	expect_failed(&list, EPROTONOSUPPORT, "cannot list");
}

static void export_name_only_asks_for_nothing_else(void **state)
{
	const struct nbd_handshake_options options = { .export_name = "disk",
						       .export_name_only = true };
	const struct nbd_handshake_options inside = { .export_name = "disk",
						      .tls = true,
						      .export_name_only = true };

	(void)state;
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	client_export_name("disk");
	put64(&server, 1 << 20);
	put16(&server, HAS);
	expect_done(&options);
	/* Never in front of TLS. */
	greeting(FIXED | NO_ZEROES);
	ack(NBD_OPT_STARTTLS);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_STARTTLS, 0);
	client_export_name("disk");
	put64(&server, 1 << 20);
	put16(&server, HAS);
	expect_done(&inside);
	greeting(FIXED | NO_ZEROES);
	error_reply(NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP, "");
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_STARTTLS, 0);
	client_abort();
	expect_failed(&inside, EOPNOTSUPP, "does not offer TLS");
}

static void idle_ends_behind_the_greeting(void **state)
{
	const struct nbd_handshake_options idle = { .export_name = "disk", .goal = NBD_GOAL_IDLE };

	(void)state;
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	expect(&idle, NBD_HANDSHAKE_IDLE, 0, NULL);
	greeting(0);
	put32(&client, 0);
	expect(&idle, NBD_HANDSHAKE_IDLE, 0, NULL);
}

static void no_zeroes_only_if_offered(void **state)
{
	(void)state;
	greeting(FIXED);
	put32(&client, FIXED);
	client_go(NBD_OPT_GO, "disk");
	expect(&go_plain, NBD_HANDSHAKE_ACTIVE, 0, NULL);
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	client_go(NBD_OPT_GO, "disk");
	expect(&go_plain, NBD_HANDSHAKE_ACTIVE, 0, NULL);
}

static void unknown_handshake_flags_are_ignored(void **state)
{
	(void)state;
	greeting(0xffff);
	put32(&client, FIXED | NO_ZEROES);
	client_go(NBD_OPT_GO, "disk");
	expect(&go_plain, NBD_HANDSHAKE_ACTIVE, 0, NULL);
}

/* --- framing ----------------------------------------------------------------------------------- */

static void extended_headers_imply_structured(void **state)
{
	(void)state;
	greeting(FIXED | NO_ZEROES);
	ack(NBD_OPT_EXTENDED_HEADERS);
	info_export(1 << 20, HAS | NBD_FLAG_SEND_DF);
	ack(NBD_OPT_GO);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_go(NBD_OPT_GO, "disk");
	expect_done(&go);
	assert_int_equal(hs.export.framing, NBD_FRAMING_EXTENDED);
	assert_int_equal(hs.export.flags, HAS | NBD_FLAG_SEND_DF);
}

static void any_error_to_extended_headers_leads_to_structured(void **state)
{
	static const uint32_t errors[] = { NBD_REP_ERR_UNSUP,	NBD_REP_ERR_POLICY,
					   NBD_REP_ERR_INVALID, NBD_REP_ERR_PLATFORM,
					   NBD_REP_ERR_TOO_BIG, 0x80000063,
					   UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		greeting(FIXED | NO_ZEROES);
		error_reply(NBD_OPT_EXTENDED_HEADERS, errors[i], "never heard of it");
		ack(NBD_OPT_STRUCTURED_REPLY);
		info_export(1 << 20, HAS);
		ack(NBD_OPT_GO);
		put32(&client, FIXED | NO_ZEROES);
		client_option(NBD_OPT_EXTENDED_HEADERS, 0);
		client_option(NBD_OPT_STRUCTURED_REPLY, 0);
		client_go(NBD_OPT_GO, "disk");
		expect_done(&go);
		assert_int_equal(hs.export.framing, NBD_FRAMING_STRUCTURED);
	}
}

static void structured_refused_leads_to_simple(void **state)
{
	(void)state;
	greeting(FIXED | NO_ZEROES);
	error_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, "");
	error_reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_POLICY, "not today");
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_option(NBD_OPT_STRUCTURED_REPLY, 0);
	client_go(NBD_OPT_GO, "disk");
	expect_done(&go);
	assert_int_equal(hs.export.framing, NBD_FRAMING_SIMPLE);
	assert_int_equal(hs.option_error, 0);
}

static void no_extended_asks_for_structured_only(void **state)
{
	(void)state;
	greeting(FIXED | NO_ZEROES);
	ack(NBD_OPT_STRUCTURED_REPLY);
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_STRUCTURED_REPLY, 0);
	client_go(NBD_OPT_GO, "disk");
	expect_done(&go_compact);
	assert_int_equal(hs.export.framing, NBD_FRAMING_STRUCTURED);
}

static void no_structured_asks_for_neither(void **state)
{
	(void)state;
	begin_plain();
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.framing, NBD_FRAMING_SIMPLE);
}

/* --- TLS --------------------------------------------------------------------------------------- */

static void starttls_comes_first_and_the_rest_after_it(void **state)
{
	(void)state;
	greeting(FIXED | NO_ZEROES);
	ack(NBD_OPT_STARTTLS);
	error_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, "");
	ack(NBD_OPT_STRUCTURED_REPLY);
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_STARTTLS, 0);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_option(NBD_OPT_STRUCTURED_REPLY, 0);
	client_go(NBD_OPT_GO, "disk");
	expect_done(&tls);
}

static void starttls_wants_no_byte_until_tls_is_up(void **state)
{
	(void)state;
	greeting(FIXED);
	ack(NBD_OPT_STARTTLS);
	put32(&client, FIXED);
	client_option(NBD_OPT_STARTTLS, 0);
	expect(&tls, NBD_HANDSHAKE_START_TLS, 0, NULL);
	assert_int_equal(nbd_handshake_wanted(&hs), 0);
}

static void starttls_refused_fails(void **state)
{
	static const uint32_t errors[] = { NBD_REP_ERR_UNSUP,	 NBD_REP_ERR_POLICY,
					   NBD_REP_ERR_INVALID,	 NBD_REP_ERR_TLS_REQD,
					   NBD_REP_ERR_PLATFORM, 0x800000ff };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		greeting(FIXED);
		error_reply(NBD_OPT_STARTTLS, errors[i], "");
		put32(&client, FIXED);
		client_option(NBD_OPT_STARTTLS, 0);
		client_abort();
		expect_failed(&tls, errors[i] == NBD_REP_ERR_POLICY ? EACCES : EOPNOTSUPP,
			      "does not offer TLS");
		assert_int_equal(hs.option_error, errors[i]);
	}
}

static void server_that_wants_tls(void **state)
{
	static const uint32_t at[] = { NBD_OPT_EXTENDED_HEADERS, NBD_OPT_STRUCTURED_REPLY,
				       NBD_OPT_GO };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		greeting(FIXED);
		put32(&client, FIXED);
		client_option(NBD_OPT_EXTENDED_HEADERS, 0);
		if (i > 0) {
			error_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, "");
			client_option(NBD_OPT_STRUCTURED_REPLY, 0);
		}
		if (i > 1) {
			error_reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_UNSUP, "");
			client_go(NBD_OPT_GO, "disk");
		}
		error_reply(at[i], NBD_REP_ERR_TLS_REQD, "TLS please");
		client_abort();
		expect_failed(&go, EACCES, "nbds://");
	}
}

static void server_that_wants_tls_inside_tls(void **state)
{
	(void)state;
	greeting(FIXED);
	ack(NBD_OPT_STARTTLS);
	error_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_TLS_REQD, "");
	put32(&client, FIXED);
	client_option(NBD_OPT_STARTTLS, 0);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_abort();
	expect_failed(&tls, EPROTO, "TLS inside TLS");
}

/* --- GO ---------------------------------------------------------------------------------------- */

static void go_learns_everything(void **state)
{
	(void)state;
	begin_plain();
	info_block_size(512, 65536, 1 << 20);
	info_text(NBD_INFO_NAME, "the disk", 8);
	info_text(NBD_INFO_DESCRIPTION, "a disk of mine", 14);
	info_export(1234567, HAS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.size_bytes, 1234567);
	assert_int_equal(hs.export.flags, HAS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN);
	assert_true(hs.export.block_sizes_given);
	assert_int_equal(hs.export.block_minimum_bytes, 512);
	assert_int_equal(hs.export.block_preferred_bytes, 65536);
	assert_int_equal(hs.export.payload_max_bytes, 1 << 20);
	assert_string_equal(hs.export.name, "the disk");
	assert_string_equal(hs.export.description, "a disk of mine");
	assert_false(hs.export.used_export_name);
}

static void unknown_flags_are_ignored(void **state)
{
	const uint16_t unknown = 1u << 15 | 1u << 13;

	(void)state;
	begin_plain();
	info_export(1 << 20, HAS | NBD_FLAG_SEND_FLUSH | unknown);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.flags & ~unknown, HAS | NBD_FLAG_SEND_FLUSH);
	assert_int_equal(hs.export.size_bytes, 1 << 20);
}

static void defaults_where_nothing_is_said(void **state)
{
	(void)state;
	begin_plain();
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_false(hs.export.block_sizes_given);
	assert_int_equal(hs.export.block_minimum_bytes, 1);
	assert_int_equal(hs.export.block_preferred_bytes, 4096);
	assert_int_equal(hs.export.payload_max_bytes, 32 << 20);
	assert_string_equal(hs.export.name, "disk");
	assert_string_equal(hs.export.description, "");
}

static void not_a_byte_beyond_the_handshake_is_wanted(void **state)
{
	(void)state;
	begin_plain();
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	put32(&server, NBD_MAGIC_SIMPLE_REPLY);
	expect_done(&go_plain);
	assert_int_equal(nbd_handshake_wanted(&hs), 0);
}

static void ack_without_export_fails(void **state)
{
	(void)state;
	begin_plain();
	info_block_size(1, 4096, 1 << 20);
	ack(NBD_OPT_GO);
	expect_failed(&go_plain, EPROTO, "never told its size");
}

/* The same twice is no harm; of names the last one counts. */
static void informations_may_be_repeated(void **state)
{
	(void)state;
	begin_plain();
	info_text(NBD_INFO_NAME, "one", 3);
	info_block_size(512, 4096, 1 << 20);
	info_export(2 << 20, HAS);
	info_text(NBD_INFO_NAME, "two", 3);
	info_export(2 << 20, HAS);
	info_block_size(512, 4096, 1 << 20);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.size_bytes, 2 << 20);
	assert_int_equal(hs.export.block_minimum_bytes, 512);
	assert_string_equal(hs.export.name, "two");
}

/* Which of two is right, nobody can tell: neither is taken. */
static void informations_that_differ_are_refused(void **state)
{
	static const struct {
		uint64_t size_bytes;
		uint16_t flags;
	} exports[] = {
		{ 2 << 20, HAS }, { 1 << 20, HAS | NBD_FLAG_READ_ONLY }, { 1 << 20, 0 }, { 0, HAS }
	};
	static const uint32_t blocks[][3] = { { 1024, 4096, 1 << 20 },
					      { 512, 8192, 1 << 20 },
					      { 512, 4096, 2 << 20 } };

	(void)state;
	for (size_t i = 0; i < sizeof(exports) / sizeof(exports[0]); i++) {
		begin_plain();
		info_export(1 << 20, HAS);
		info_export(exports[i].size_bytes, exports[i].flags);
		ack(NBD_OPT_GO);
		expect_failed(&go_plain, EPROTO, "two sizes or sets of flags");
	}
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		begin_plain();
		info_export(1 << 20, HAS);
		info_block_size(512, 4096, 1 << 20);
		info_block_size(blocks[i][0], blocks[i][1], blocks[i][2]);
		ack(NBD_OPT_GO);
		expect_failed(&go_plain, EPROTO, "two smallest blocks");
	}
}

static void unknown_information_is_ignored(void **state)
{
	(void)state;
	begin_plain();
	info_text(4, "", 0);
	info_export(1 << 20, HAS);
	info_text(0xffff, "whatever this may be", 20);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.size_bytes, 1 << 20);
}

static void replies_of_the_largest_size_and_count(void **state)
{
	static char text[NBD_OPTION_REPLY_BYTES_MAX - 2];

	(void)state;
	begin_plain();
	memset(text, 'x', sizeof(text));
	info_text(99, text, sizeof(text));
	info_export(1 << 20, HAS);
	for (int i = 2; i < NBD_OPTION_REPLIES_MAX - 1; i++)
		info_text(99, "", 0);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
}

static void too_many_replies_fail(void **state)
{
	(void)state;
	begin_plain();
	for (int i = 0; i <= NBD_OPTION_REPLIES_MAX; i++)
		info_text(99, "", 0);
	expect_failed(&go_plain, EPROTO, "does not come to an end");
}

static void too_long_a_reply_fails(void **state)
{
	(void)state;
	begin_plain();
	reply(NBD_OPT_GO, NBD_REP_INFO, NBD_OPTION_REPLY_BYTES_MAX + 1);
	expect_failed(&go_plain, EPROTO, "too long");
	begin_plain();
	reply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, UINT32_MAX);
	expect_failed(&go_plain, EPROTO, "too long");
}

static void information_of_wrong_length_fails(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t len;
	} cases[] = {
		{ NBD_INFO_EXPORT, 9 },
		{ NBD_INFO_EXPORT, 11 },
		{ NBD_INFO_EXPORT, 0 },
		{ NBD_INFO_BLOCK_SIZE, 11 },
		{ NBD_INFO_BLOCK_SIZE, 13 },
		{ NBD_INFO_BLOCK_SIZE, 0 },
		{ NBD_INFO_NAME, NBD_STRING_BYTES_MAX + 1 },
		{ NBD_INFO_DESCRIPTION, NBD_STRING_BYTES_MAX + 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_plain();
		reply(NBD_OPT_GO, NBD_REP_INFO, 2 + cases[i].len);
		put16(&server, cases[i].type);
		put_fill(&server, 'x', cases[i].len);
		expect_failed(&go_plain, EPROTO, "an information of type");
	}
	for (uint32_t len = 0; len < 2; len++) {
		begin_plain();
		reply(NBD_OPT_GO, NBD_REP_INFO, len);
		put_fill(&server, 0, len);
		expect_failed(&go_plain, EPROTO, "an information of type");
	}
}

static void size_beyond_63_bits_fails(void **state)
{
	(void)state;
	begin_plain();
	info_export(INT64_MAX, HAS);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.size_bytes, INT64_MAX);
	begin_plain();
	info_export((uint64_t)INT64_MAX + 1, HAS);
	expect_failed(&go_plain, EFBIG, "more than any disk");
	begin_plain();
	info_export(UINT64_MAX, HAS);
	expect_failed(&go_plain, EFBIG, "more than any disk");
}

/* READ_ONLY, FLUSH and FUA protect data, so they count; the rest would be trust without a promise. */
static void without_has_flags_only_care_counts(void **state)
{
	static const uint16_t care = NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA;

	(void)state;
	for (unsigned int bit = 1; bit < 16; bit++) {
		begin_plain();
		info_export(1 << 20, (uint16_t)(1u << bit));
		ack(NBD_OPT_GO);
		expect_done(&go_plain);
		assert_int_equal(hs.export.flags, (1u << bit) & care);

		begin_plain();
		error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
		client_export_name("disk");
		put64(&server, 1 << 20);
		put16(&server, (uint16_t)(1u << bit));
		expect_done(&go_plain);
		assert_int_equal(hs.export.flags, (1u << bit) & care);
	}
	begin_plain();
	info_export(1 << 20, (uint16_t)~HAS);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.flags, care);
	begin_plain();
	info_export(1 << 20, 0xffff);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_int_equal(hs.export.flags, 0xffff);
}

static void block_sizes_are_checked(void **state)
{
	static const struct {
		uint32_t minimum, preferred, payload;
		uint64_t size_bytes;
		bool good;
		uint32_t payload_used;
	} cases[] = {
		{ 1, 4096, 32 << 20, 1 << 30, true, 32 << 20 },
		{ 65536, 65536, 65536, 1 << 30, true, 65536 },
		{ 1, 1, UINT32_MAX, 1 << 30, true, UINT32_MAX },
		{ 512, 4096, UINT32_MAX, 1 << 30, true, UINT32_MAX },
		{ 512, 4096, 12288, 1 << 30, true, 12288 }, /* no power of two */
		{ 512, 4096, 10000, 1 << 30, true, 9728 },  /* no multiple either */
		{ 512, 1 << 21, 4096, 4096, true, 4096 },   /* preferred beyond the export */
		{ 0, 4096, 32 << 20, 1 << 30, false, 0 },
		{ 3, 4096, 32 << 20, 1 << 30, false, 0 },
		{ 131072, 131072, 32 << 20, 1 << 30, false, 0 },
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX, 1 << 30, false, 0 },
		{ 512, 0, 32 << 20, 1 << 30, false, 0 },
		{ 512, 256, 32 << 20, 1 << 30, false, 0 },
		{ 512, 4097, 32 << 20, 1 << 30, false, 0 },
		{ 512, 4096, 0, 1 << 30, false, 0 },
		{ 512, 4096, 256, 100, false, 0 },
		{ 512, 4096, 2048, 1 << 30, false, 0 }, /* below preferred */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int order = 0; order < 2; order++) {
			begin_plain();
			if (order == 0)
				info_export(cases[i].size_bytes, HAS);
			info_block_size(cases[i].minimum, cases[i].preferred, cases[i].payload);
			if (order == 1)
				info_export(cases[i].size_bytes, HAS);
			ack(NBD_OPT_GO);
			if (!cases[i].good) {
				expect_failed(&go_plain, EPROTO, "make no sense");
				continue;
			}
			expect_done(&go_plain);
			assert_int_equal(hs.export.payload_max_bytes, cases[i].payload_used);
		}
}

static void strange_texts_are_made_printable(void **state)
{
	static const char name[] = "a\0b\033[31m\xff";

	(void)state;
	begin_plain();
	info_text(NBD_INFO_NAME, name, sizeof(name) - 1);
	info_text(NBD_INFO_DESCRIPTION, "", 0);
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	assert_string_equal(hs.export.name, "a?b?[31m?");
	assert_string_equal(hs.export.description, "");
}

static void longest_texts_fit(void **state)
{
	static char text[NBD_STRING_BYTES_MAX + 1];
	struct nbd_handshake_options options = { .export_name = text, .no_structured = true };

	(void)state;
	memset(text, 'n', NBD_STRING_BYTES_MAX);
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	client_go(NBD_OPT_GO, text);
	info_text(NBD_INFO_NAME, text, NBD_STRING_BYTES_MAX);
	info_text(NBD_INFO_DESCRIPTION, text, NBD_STRING_BYTES_MAX);
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	expect_done(&options);
	assert_string_equal(hs.export.name, text);
	assert_string_equal(hs.export.description, text);
}

static void longest_name_through_every_option(void **state)
{
	static char name[NBD_STRING_BYTES_MAX + 1];
	struct nbd_handshake_options options = { .export_name = name };

	(void)state;
	memset(name, 'n', NBD_STRING_BYTES_MAX);
	greeting(FIXED | NO_ZEROES);
	error_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, "");
	ack(NBD_OPT_STRUCTURED_REPLY);
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	put64(&server, 1 << 20);
	put16(&server, HAS);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_option(NBD_OPT_STRUCTURED_REPLY, 0);
	client_go(NBD_OPT_GO, name);
	client_export_name(name);
	expect_done(&options);
}

static void refusals_of_go_say_what_to_do(void **state)
{
	static const struct {
		uint32_t error;
		int errnum;
		const char *text;
	} cases[] = {
		{ NBD_REP_ERR_POLICY, EACCES, "policy forbids export \"disk\"" },
		{ NBD_REP_ERR_INVALID, EINVAL, "invalid" },
		{ NBD_REP_ERR_PLATFORM, EOPNOTSUPP, "platform" },
		{ NBD_REP_ERR_TLS_REQD, EACCES, "nbds://" },
		{ NBD_REP_ERR_UNKNOWN, ENOENT, "no export \"disk\": `ublk-nbd exports`" },
		{ NBD_REP_ERR_SHUTDOWN, ESHUTDOWN, "shutting down" },
		{ NBD_REP_ERR_BLOCK_SIZE_REQD, EPROTO, "block sizes" },
		{ NBD_REP_ERR_TOO_BIG, ENAMETOOLONG, "too long" },
		{ NBD_REP_ERR_EXT_HEADER_REQD, EPROTONOSUPPORT, "extended headers" },
		{ 0x80000063, EPROTO, "unknown error 0x80000063" },
		{ UINT32_MAX, EPROTO, "unknown error 0xffffffff" },
		{ NBD_REP_FLAG_ERROR, EPROTO, "unknown error 0x80000000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_plain();
		error_reply(NBD_OPT_GO, cases[i].error, "");
		client_abort();
		expect_failed(&go_plain, cases[i].errnum, cases[i].text);
		assert_int_equal(hs.option_error, cases[i].error);
		assert_null(strstr(hs.error, "the server says"));
	}
}

static void default_export_that_is_not_there(void **state)
{
	static const struct nbd_handshake_options options = { .export_name = "",
							      .no_structured = true };

	(void)state;
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	client_go(NBD_OPT_GO, "");
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, "");
	client_abort();
	expect_failed(&options, ENOENT, "no default export");
}

static void message_of_an_error_is_quoted(void **state)
{
	char message[1000];

	(void)state;
	begin_plain();
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, "no \033[31mred\nexport");
	client_abort();
	expect_failed(&go_plain, ENOENT, "(the server says: \"no ?[31mred?export\")");

	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	begin_plain();
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, message);
	client_abort();
	expect_failed(&go_plain, ENOENT, "mmm...\")");
}

static void long_names_are_cut_in_errors(void **state)
{
	static char name[NBD_STRING_BYTES_MAX + 1];
	struct nbd_handshake_options options = { .export_name = name, .no_structured = true };

	(void)state;
	memset(name, 'n', NBD_STRING_BYTES_MAX);
	greeting(FIXED | NO_ZEROES);
	put32(&client, FIXED | NO_ZEROES);
	client_go(NBD_OPT_GO, name);
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, "gone");
	client_abort();
	expect_failed(&options, ENOENT,
		      "nnn...\": `ublk-nbd exports` lists those it has "
		      "(the server says: \"gone\")");
}

static void shutdown_ends_it_at_any_option(void **state)
{
	(void)state;
	greeting(FIXED);
	put32(&client, FIXED);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	error_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_SHUTDOWN, "");
	client_abort();
	expect_failed(&go, ESHUTDOWN, "shutting down");
	greeting(FIXED);
	put32(&client, FIXED);
	client_option(NBD_OPT_STARTTLS, 0);
	error_reply(NBD_OPT_STARTTLS, NBD_REP_ERR_SHUTDOWN, "");
	client_abort();
	expect_failed(&tls, ESHUTDOWN, "shutting down");
}

/* --- EXPORT_NAME ------------------------------------------------------------------------------- */

static void export_name_after_go_is_unsupported(void **state)
{
	(void)state;
	for (int zeroes = 0; zeroes < 2; zeroes++) {
		uint16_t flags = FIXED | (zeroes ? 0 : NO_ZEROES);

		greeting(flags);
		ack(NBD_OPT_STRUCTURED_REPLY);
		error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "GO?");
		put64(&server, 1 << 20);
		put16(&server, HAS | NBD_FLAG_SEND_TRIM);
		put_fill(&server, 0, zeroes ? 124 : 0);
		put32(&server, NBD_MAGIC_STRUCTURED_REPLY); /* not to be swallowed */
		put32(&client, flags);
		client_option(NBD_OPT_STRUCTURED_REPLY, 0);
		client_go(NBD_OPT_GO, "disk");
		client_export_name("disk");
		expect_done(&go_compact);
		assert_int_equal(hs.export.size_bytes, 1 << 20);
		assert_int_equal(hs.export.flags, HAS | NBD_FLAG_SEND_TRIM);
		assert_int_equal(hs.export.framing, NBD_FRAMING_STRUCTURED);
		assert_true(hs.export.used_export_name);
		assert_int_equal(hs.export.payload_max_bytes, 32 << 20);
		assert_string_equal(hs.export.name, "disk");
	}
}

static void export_name_waits_for_all_its_zeroes(void **state)
{
	(void)state;
	greeting(FIXED);
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	put64(&server, 1 << 20);
	put16(&server, HAS);
	put_fill(&server, 0, 123);
	put32(&client, FIXED);
	client_go(NBD_OPT_GO, "disk");
	client_export_name("disk");
	expect(&go_plain, NBD_HANDSHAKE_ACTIVE, 0, NULL);
	assert_int_equal(nbd_handshake_wanted(&hs), 1);
}

static void export_name_forgets_what_go_said(void **state)
{
	(void)state;
	begin_plain();
	info_block_size(0, 3, 7);
	info_text(NBD_INFO_NAME, "other", 5);
	info_text(NBD_INFO_DESCRIPTION, "other", 5);
	info_export(7, HAS);
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	client_export_name("disk");
	put64(&server, 1 << 20);
	put16(&server, HAS);
	expect_done(&go_plain);
	assert_int_equal(hs.export.size_bytes, 1 << 20);
	assert_int_equal(hs.export.block_minimum_bytes, 1);
	assert_false(hs.export.block_sizes_given);
	assert_string_equal(hs.export.name, "disk");
	assert_string_equal(hs.export.description, "");
}

static void export_name_size_is_checked(void **state)
{
	(void)state;
	begin_plain();
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	client_export_name("disk");
	put64(&server, UINT64_MAX);
	put16(&server, HAS);
	expect_failed(&go_plain, EFBIG, "more than any disk");
}

/* Its answer has no magic of its own: what begins as another message is none. */
static void export_name_answered_by_a_message_is_no_size(void **state)
{
	static const uint64_t messages[] = {
		NBD_MAGIC_INIT,
		NBD_MAGIC_OPTION,
		NBD_MAGIC_OLDSTYLE,
		(uint64_t)NBD_MAGIC_SIMPLE_REPLY << 32,
		(uint64_t)NBD_MAGIC_STRUCTURED_REPLY << 32 | 1,
		(uint64_t)NBD_MAGIC_EXTENDED_REPLY << 32 | 0xffff,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		begin_plain();
		error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
		client_export_name("disk");
		put64(&server, messages[i]);
		put16(&server, HAS);
		expect_failed(&go_plain, EPROTO, "no size");
	}
}

/* Some servers say so that they have no such export. */
static void export_name_answered_by_an_option_reply(void **state)
{
	static const struct {
		uint32_t type;
		int errnum;
		const char *words;
	} rows[] = {
		{ NBD_REP_ERR_UNSUP, ENOENT, "no export \"disk\"" },
		{ NBD_REP_ERR_UNKNOWN, ENOENT, "no export \"disk\"" },
		{ NBD_REP_ERR_INVALID, ENOENT, "`ublk-nbd exports`" },
		{ NBD_REP_ERR_POLICY, EACCES, "policy forbids export \"disk\"" },
		{ NBD_REP_ERR_TLS_REQD, EACCES, "nbds://" },
		{ NBD_REP_ERR_SHUTDOWN, ESHUTDOWN, "export \"disk\"" },
		{ NBD_REP_ACK, EPROTO, "request for export \"disk\"" },
		{ NBD_REP_INFO, EPROTO, "of type 3" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int zeroes = 0; zeroes < 2; zeroes++) {
			uint16_t flags = FIXED | (zeroes ? 0 : NO_ZEROES);

			greeting(flags);
			put32(&client, flags);
			client_go(NBD_OPT_GO, "disk");
			error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
			client_export_name("disk");
			error_reply(NBD_OPT_EXPORT_NAME, rows[i].type, "some words");
			expect_failed(&go_plain, rows[i].errnum, rows[i].words);
			assert_non_null(strstr(hs.error, "\"some words\""));
			assert_int_equal(hs.option_error,
					 rows[i].type & NBD_REP_FLAG_ERROR ? rows[i].type : 0);
		}
	/* One that never ends with its words is not waited for. */
	begin_plain();
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	client_export_name("disk");
	reply(NBD_OPT_EXPORT_NAME, NBD_REP_ERR_UNKNOWN, UINT32_MAX);
	expect_failed(&go_plain, ENOENT, "no export \"disk\"");
}

static void go_must_be_known_where_extended_headers_are(void **state)
{
	(void)state;
	greeting(FIXED);
	ack(NBD_OPT_EXTENDED_HEADERS);
	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	put32(&client, FIXED);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_go(NBD_OPT_GO, "disk");
	expect_failed(&go, EPROTO, "does not know NBD_OPT_GO");
}

/* --- INFO -------------------------------------------------------------------------------------- */

/* The server's informations answer INFO instead of GO. */
static void retarget_replies(size_t from)
{
	for (size_t i = from; i + 12 <= server.len; i++)
		if (wire_get64(server.data + i) == NBD_MAGIC_OPTION_REPLY)
			wire_put32(server.data + i + 8, NBD_OPT_INFO);
}

static void info_ends_with_abort(void **state)
{
	(void)state;
	greeting(FIXED);
	info_export(1 << 20, HAS);
	info_block_size(512, 4096, 1 << 20);
	ack(NBD_OPT_GO);
	retarget_replies(18);
	put32(&client, FIXED);
	client_go(NBD_OPT_INFO, "disk");
	client_abort();
	expect_done(&info);
	assert_int_equal(hs.export.block_minimum_bytes, 512);
}

static void info_falls_back_to_nothing(void **state)
{
	(void)state;
	greeting(FIXED);
	error_reply(NBD_OPT_INFO, NBD_REP_ERR_UNSUP, "");
	put32(&client, FIXED);
	client_go(NBD_OPT_INFO, "disk");
	client_abort();
	expect_failed(&info, EOPNOTSUPP, "cannot describe export \"disk\"");
}

/* --- LIST -------------------------------------------------------------------------------------- */

static void list_server(const char *name, uint32_t name_bytes, const char *description)
{
	reply(NBD_OPT_LIST, NBD_REP_SERVER, 4 + name_bytes + (uint32_t)strlen(description));
	put32(&server, name_bytes);
	put_raw(&server, name, name_bytes);
	put_text(&server, description);
}

static void begin_list(void)
{
	greeting(FIXED);
	put32(&client, FIXED);
	client_option(NBD_OPT_LIST, 0);
}

static void list_tells_any_bytes(void **state)
{
	static const char expected[] = "one|first||| a\0\xff/%|\033|";

	(void)state;
	begin_list();
	list_server("one", 3, "first");
	list_server("", 0, "");
	list_server(" a\0\xff/%", 6, "\033");
	ack(NBD_OPT_LIST);
	expect(&list, NBD_HANDSHAKE_IDLE, 0, NULL);
	assert_int_equal(listed.len, sizeof(expected) - 1);
	assert_memory_equal(listed.data, expected, listed.len);
	nbd_handshake_leave(&hs);
	client_abort();
	send_all();
	assert_int_equal(nbd_handshake_status(&hs), NBD_HANDSHAKE_DONE);
	assert_memory_equal(sent.data + sent.len - 16, client.data, 16);
	client.len = 0;
}

/* Far more of them than of other answers. */
static void list_may_be_long(void **state)
{
	(void)state;
	begin_list();
	for (int i = 0; i < 2 * NBD_OPTION_REPLIES_MAX; i++)
		list_server("n", 1, "");
	ack(NBD_OPT_LIST);
	play(&list, server.len, server.len);
	check(NBD_HANDSHAKE_IDLE, 0, NULL, 0);
	server.len = client.len = 0;
	assert_int_equal(listed.len, 3 * 2 * NBD_OPTION_REPLIES_MAX);
}

static void list_that_is_broken_fails(void **state)
{
	static const uint32_t lengths[][2] = {
		{ 0, 0 }, { 3, 0 }, { 4, 1 }, { 8, 5 }, { 8, UINT32_MAX }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		begin_list();
		reply(NBD_OPT_LIST, NBD_REP_SERVER, lengths[i][0]);
		if (lengths[i][0] >= 4)
			put32(&server, lengths[i][1]);
		put_fill(&server, 'x', lengths[i][0] & 3);
		put_fill(&server, 'x', lengths[i][0] >= 8 ? 4 : 0);
		expect_failed(&list, EPROTO, "list of exports is broken");
	}
	begin_list();
	reply(NBD_OPT_LIST, NBD_REP_INFO, 0);
	expect_failed(&list, EPROTO, "does not belong there");
}

static void list_refused_says_what_to_do(void **state)
{
	static const struct {
		uint32_t type;
		int errnum;
		const char *words;
	} rows[] = {
		{ NBD_REP_ERR_UNSUP, EOPNOTSUPP, "gives no list of its exports" },
		{ NBD_REP_ERR_POLICY, EACCES, "gives no list of its exports" },
		{ NBD_REP_ERR_TLS_REQD, EACCES, "nbds://" },
		{ NBD_REP_ERR_SHUTDOWN, ESHUTDOWN, "shutting down" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_list();
		error_reply(NBD_OPT_LIST, rows[i].type, "");
		client_abort();
		expect_failed(&list, rows[i].errnum, rows[i].words);
	}
}

/* One question after another: an answer that is no leaves the next one its chance. */
static void list_is_asked_about(void **state)
{
	(void)state;
	begin_list();
	ack(NBD_OPT_LIST);
	expect(&list, NBD_HANDSHAKE_IDLE, 0, NULL);
	for (int i = 0; i < 3; i++) {
		nbd_handshake_ask(&hs, "disk");
		send_all();
		client_go(NBD_OPT_INFO, "disk");
		assert_memory_equal(sent.data + sent.len - client.len, client.data, client.len);
		if (i == 1) {
			error_reply(NBD_OPT_INFO, NBD_REP_ERR_POLICY, "not you");
		} else {
			info_block_size(512, 4096, 1 << 20);
			info_export((1 + (uint64_t)i) << 20, HAS);
			ack(NBD_OPT_GO);
			retarget_replies(0);
		}
		for (size_t at = 0, n; at < server.len; at += n) {
			n = nbd_handshake_wanted(&hs);
			assert_int_equal(nbd_handshake_status(&hs), NBD_HANDSHAKE_ACTIVE);
			nbd_handshake_feed(&hs, server.data + at, n);
		}
		assert_int_equal(nbd_handshake_status(&hs), NBD_HANDSHAKE_IDLE);
		assert_int_equal(hs.error_errno, i == 1 ? EACCES : 0);
		if (i == 1)
			assert_non_null(strstr(hs.error, "not you"));
		else
			assert_int_equal(hs.export.size_bytes, (1 + (uint64_t)i) << 20);
		server.len = client.len = 0;
	}
}

/* --- a server that breaks the rules ------------------------------------------------------------ */

static void reply_to_another_option_fails(void **state)
{
	static const uint32_t options[] = { 0, NBD_OPT_INFO, NBD_OPT_ABORT, NBD_OPT_LIST,
					    UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		begin_plain();
		ack(options[i]);
		expect_failed(&go_plain, EPROTO, "when 7 was asked for");
	}
}

static void reply_with_wrong_magic_fails(void **state)
{
	(void)state;
	begin_plain();
	put64(&server, NBD_MAGIC_OPTION);
	put_fill(&server, 0, 12);
	expect_failed(&go_plain, EPROTO, "broken: 0x49484156454f5054");
}

static void reply_types_out_of_place_fail(void **state)
{
	static const uint32_t types[] = { 0, NBD_REP_SERVER, 4, 5, 0x7fffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		begin_plain();
		reply(NBD_OPT_GO, types[i], 4);
		put32(&server, 0);
		expect_failed(&go_plain, EPROTO, "does not belong there");
	}
	greeting(FIXED);
	put32(&client, FIXED);
	client_option(NBD_OPT_STRUCTURED_REPLY, 0);
	reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_INFO, 2);
	put16(&server, 4);
	expect_failed(&go_compact, EPROTO, "does not belong there");
}

static void answer_before_the_question_fails(void **state)
{
	uint8_t header[20] = { 0 };

	(void)state;
	begin_plain();
	client.len = 0;
	assert_int_equal(nbd_handshake_init(&hs, &go_plain), 0);
	nbd_handshake_feed(&hs, server.data, 8);
	nbd_handshake_feed(&hs, server.data + 8, 10);
	wire_put64(header, NBD_MAGIC_OPTION_REPLY);
	wire_put32(header + 8, NBD_OPT_GO);
	wire_put32(header + 12, NBD_REP_ERR_UNSUP);
	assert_int_equal(nbd_handshake_feed(&hs, header, 20), NBD_HANDSHAKE_FAILED);
	assert_non_null(strstr(hs.error, "before it was asked"));
	assert_int_equal(hs.error_errno, EPROTO);

	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	play(&go_plain, server.len, server.len);
	assert_int_equal(hs.state, NBD_HS_EXPORT_NAME);
	assert_int_equal(nbd_handshake_init(&hs, &go_plain), 0);
	nbd_handshake_feed(&hs, server.data, 8);
	nbd_handshake_feed(&hs, server.data + 8, 10);
	send_all();
	nbd_handshake_feed(&hs, server.data + 18, 20); /* EXPORT_NAME waits to be sent */
	memset(header, 0, sizeof(header));
	assert_int_equal(nbd_handshake_feed(&hs, header, 8), NBD_HANDSHAKE_FAILED);
	assert_non_null(strstr(hs.error, "before it was asked"));
	server.len = client.len = 0;
}

static void closed_by_the_server(void **state)
{
	size_t len;

	(void)state;
	assert_int_equal(nbd_handshake_init(&hs, &go_plain), 0);
	nbd_handshake_closed(&hs);
	assert_int_equal(nbd_handshake_status(&hs), NBD_HANDSHAKE_FAILED);
	assert_int_equal(hs.error_errno, ECONNRESET);
	assert_non_null(strstr(hs.error, "without a greeting"));

	greeting(FIXED);
	assert_int_equal(nbd_handshake_init(&hs, &go_plain), 0);
	nbd_handshake_feed(&hs, server.data, 8);
	nbd_handshake_feed(&hs, server.data + 8, 10);
	nbd_handshake_closed(&hs);
	nbd_handshake_output(&hs, &len);
	assert_int_equal(len, 0);
	server.len = 0;

	begin_plain();
	play(&go_plain, 18, 18);
	nbd_handshake_closed(&hs);
	assert_int_equal(hs.error_errno, ECONNRESET);
	assert_non_null(strstr(hs.error, "export \"disk\" was negotiated"));

	error_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, "");
	play(&go_plain, server.len, 18);
	assert_int_equal(hs.state, NBD_HS_EXPORT_NAME);
	nbd_handshake_closed(&hs);
	assert_int_equal(hs.error_errno, ENOENT);
	assert_non_null(strstr(hs.error, "when asked for export \"disk\""));
	server.len = client.len = 0;
}

static void close_after_the_end_changes_nothing(void **state)
{
	(void)state;
	begin_plain();
	info_export(1 << 20, HAS);
	ack(NBD_OPT_GO);
	expect_done(&go_plain);
	nbd_handshake_closed(&hs);
	assert_int_equal(nbd_handshake_status(&hs), NBD_HANDSHAKE_DONE);
	assert_int_equal(hs.error[0], 0);
}

/* --- names ------------------------------------------------------------------------------------- */

static void names_that_nbd_cannot_carry(void **state)
{
	static char name[NBD_STRING_BYTES_MAX + 2];
	struct nbd_handshake_options options = { .export_name = name };

	(void)state;
	memset(name, 'n', NBD_STRING_BYTES_MAX + 1);
	assert_int_equal(nbd_handshake_init(&hs, &options), -EINVAL);
	assert_non_null(strstr(hs.error, "4097 bytes"));
	name[NBD_STRING_BYTES_MAX] = '\0';
	assert_int_equal(nbd_handshake_init(&hs, &options), 0);
	/* Not UTF-8, which NBD demands, but which servers have: it is asked for as it is. */
	strcpy(name, "latin1 \xe4");
	assert_int_equal(nbd_handshake_init(&hs, &options), 0);
	greeting(FIXED | NO_ZEROES);
	ack(NBD_OPT_EXTENDED_HEADERS);
	put32(&client, FIXED | NO_ZEROES);
	client_option(NBD_OPT_EXTENDED_HEADERS, 0);
	client_go(NBD_OPT_GO, name);
	expect(&options, NBD_HANDSHAKE_ACTIVE, 0, NULL);
}

static void option_errors_have_names(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(nbd_refusal_error_name(NBD_REP_ERR_UNSUP, buf, sizeof(buf)),
			    "NBD_REP_ERR_UNSUP");
	assert_string_equal(nbd_refusal_error_name(NBD_REP_ERR_EXT_HEADER_REQD, buf, sizeof(buf)),
			    "NBD_REP_ERR_EXT_HEADER_REQD");
	assert_string_equal(nbd_refusal_error_name(NBD_REP_FLAG_ERROR, buf, sizeof(buf)),
			    "unknown error 0x80000000");
	assert_string_equal(nbd_refusal_error_name(1, buf, sizeof(buf)),
			    "unknown error 0x00000001");
	assert_string_equal(nbd_refusal_error_name(0x8000000b, buf, sizeof(buf)),
			    "unknown error 0x8000000b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_nbd_server),
		cmocka_unit_test(oldstyle_is_refused),
		cmocka_unit_test(unknown_second_magic_is_refused),
		cmocka_unit_test(newstyle_that_is_not_fixed_is_asked_by_name),
		cmocka_unit_test(export_name_only_asks_for_nothing_else),
		cmocka_unit_test(idle_ends_behind_the_greeting),
		cmocka_unit_test(no_zeroes_only_if_offered),
		cmocka_unit_test(unknown_handshake_flags_are_ignored),
		cmocka_unit_test(extended_headers_imply_structured),
		cmocka_unit_test(any_error_to_extended_headers_leads_to_structured),
		cmocka_unit_test(structured_refused_leads_to_simple),
		cmocka_unit_test(no_extended_asks_for_structured_only),
		cmocka_unit_test(no_structured_asks_for_neither),
		cmocka_unit_test(starttls_comes_first_and_the_rest_after_it),
		cmocka_unit_test(starttls_wants_no_byte_until_tls_is_up),
		cmocka_unit_test(starttls_refused_fails),
		cmocka_unit_test(server_that_wants_tls),
		cmocka_unit_test(server_that_wants_tls_inside_tls),
		cmocka_unit_test(go_learns_everything),
		cmocka_unit_test(unknown_flags_are_ignored),
		cmocka_unit_test(defaults_where_nothing_is_said),
		cmocka_unit_test(not_a_byte_beyond_the_handshake_is_wanted),
		cmocka_unit_test(ack_without_export_fails),
		cmocka_unit_test(informations_may_be_repeated),
		cmocka_unit_test(informations_that_differ_are_refused),
		cmocka_unit_test(unknown_information_is_ignored),
		cmocka_unit_test(replies_of_the_largest_size_and_count),
		cmocka_unit_test(too_many_replies_fail),
		cmocka_unit_test(too_long_a_reply_fails),
		cmocka_unit_test(information_of_wrong_length_fails),
		cmocka_unit_test(size_beyond_63_bits_fails),
		cmocka_unit_test(without_has_flags_only_care_counts),
		cmocka_unit_test(block_sizes_are_checked),
		cmocka_unit_test(strange_texts_are_made_printable),
		cmocka_unit_test(longest_texts_fit),
		cmocka_unit_test(longest_name_through_every_option),
		cmocka_unit_test(refusals_of_go_say_what_to_do),
		cmocka_unit_test(default_export_that_is_not_there),
		cmocka_unit_test(message_of_an_error_is_quoted),
		cmocka_unit_test(long_names_are_cut_in_errors),
		cmocka_unit_test(shutdown_ends_it_at_any_option),
		cmocka_unit_test(export_name_after_go_is_unsupported),
		cmocka_unit_test(export_name_waits_for_all_its_zeroes),
		cmocka_unit_test(export_name_forgets_what_go_said),
		cmocka_unit_test(export_name_size_is_checked),
		cmocka_unit_test(export_name_answered_by_a_message_is_no_size),
		cmocka_unit_test(export_name_answered_by_an_option_reply),
		cmocka_unit_test(go_must_be_known_where_extended_headers_are),
		cmocka_unit_test(info_ends_with_abort),
		cmocka_unit_test(info_falls_back_to_nothing),
		cmocka_unit_test(list_tells_any_bytes),
		cmocka_unit_test(list_may_be_long),
		cmocka_unit_test(list_that_is_broken_fails),
		cmocka_unit_test(list_refused_says_what_to_do),
		cmocka_unit_test(list_is_asked_about),
		cmocka_unit_test(reply_to_another_option_fails),
		cmocka_unit_test(reply_with_wrong_magic_fails),
		cmocka_unit_test(reply_types_out_of_place_fail),
		cmocka_unit_test(answer_before_the_question_fails),
		cmocka_unit_test(closed_by_the_server),
		cmocka_unit_test(close_after_the_end_changes_nothing),
		cmocka_unit_test(names_that_nbd_cannot_carry),
		cmocka_unit_test(option_errors_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
