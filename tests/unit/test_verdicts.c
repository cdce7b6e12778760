/* SPDX-License-Identifier: MIT */
/*
 * Goal: of a server with a quirk, every verb says the same, in the same words and with the same exit code;
 * an old one is got along with, each in --connect-timeout; what protects data is never dropped, and what
 * is ambiguous never taken for data.
 * Method: a table of quirks, each a scripted server, against info, map and exports; nbdinfo and qemu-img
 * are asked for their verdict beside ours, where they are installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/cli/commands.h"
#include "gateway/map/map.h"
#include "tests/unit/peers.h"
#include "tests/unit/tls_peer.h"
#include "tests/unit/verbs.h"
#include "tls/clock.h"

/* What a server does with an option. */
enum act {
	UNSUP, /* says that it does not know it */
	GRANT,
	DROP,	/* closes the connection */
	HANG,	/* says nothing */
	UNREAD, /* as UNSUP, but leaves the option's data unread, and takes it for the next option */
	POLICY,
	UNKNOWN,
	TLS_REQD,
	SHUTDOWN,
	NO_EXPORT, /* grants, and leaves out INFO_EXPORT */
	TWICE,	   /* tells READ_ONLY at first, and not the second time */
	WITH_DATA, /* grants, with data in the acknowledgement */
	GARBAGE,
	OPTION_REPLY, /* EXPORT_NAME: answers with NBD_REP_ERR_UNSUP */
};

enum style { FIXED, NOT_FIXED, OLDSTYLE, SILENT, CLOSES, NOISE };

struct quirk {
	const char *name;
	enum style style;
	enum act extended, structured, info, go, export_name, list, starttls;
	uint16_t flags;	     /* of the export; 0: HAS_FLAGS | SEND_FLUSH */
	uint64_t size_bytes; /* 0: 1 MiB */
	/* The verdicts: exit codes, 0 also for "in, and this is it". map has no more than simple replies
	 * to go by: then it is 4 where info is 0. */
	enum exit_code opens, lists;
	const char *words; /* of info and map, where they fail */
	bool read_only, tls;
	bool lenient;	    /* map goes by libnbd's verdict, which lets it in */
	const char *others; /* nbdinfo's and qemu-img's verdicts: y, n, or . for not asked */
};

#define OLD .extended = UNSUP, .structured = UNSUP, .info = UNSUP, .go = UNSUP
#define NEW .structured = GRANT, .info = GRANT, .go = GRANT

static const struct quirk quirks[] = {
	/* name, style, what is odd, our verdicts, words, ..., nbdinfo, qemu-img */
	{ "as it should be", NEW, .export_name = GRANT, .list = GRANT, .others = "yy" },
	/* bits and answers */
	{ "READ_ONLY without HAS_FLAGS", NEW, .list = GRANT, .flags = NBD_FLAG_READ_ONLY,
	  .read_only = true, .others = "yy" },
	{ "READ_ONLY without HAS_FLAGS, by name", OLD, .export_name = GRANT, .list = GRANT,
	  .flags = NBD_FLAG_READ_ONLY, .read_only = true, .others = "yy" },
	{ "READ_ONLY, then not", .structured = GRANT, .info = TWICE, .go = TWICE, .list = GRANT,
	  .lenient = true, .opens = EXIT_CODE_REFUSED, .words = "two sizes or sets of flags",
	  .others = "yy" },
	{ "an option reply to EXPORT_NAME", OLD, .export_name = OPTION_REPLY, .list = GRANT,
	  .opens = EXIT_CODE_REFUSED, .words = "no export \"disk\"", .others = "ny" },
	{ "noise to EXPORT_NAME", OLD, .lenient = true, .export_name = GARBAGE, .list = GRANT,
	  .opens = EXIT_CODE_REFUSED, .words = "no size", .others = "yy" },
	{ "no INFO_EXPORT", .structured = GRANT, .info = NO_EXPORT, .go = NO_EXPORT, .list = GRANT,
	  .opens = EXIT_CODE_REFUSED, .words = "never told its size", .others = "nn" },
	{ "a size of 2^63", NEW, .list = GRANT, .size_bytes = UINT64_C(1) << 63,
	  .opens = EXIT_CODE_REFUSED, .words = "more than any disk", .others = "yy" },
	{ "data in an acknowledgement", .structured = WITH_DATA, .info = GRANT, .go = GRANT,
	  .list = GRANT, .opens = EXIT_CODE_REFUSED, .words = "with data", .others = "nn" },
	/* old servers, that get no further with what they do not know */
	{ "no GO", OLD, .export_name = GRANT, .list = GRANT, .others = "yy" },
	{ "GO's data left unread", .info = UNREAD, .go = UNREAD, .export_name = GRANT,
	  .list = GRANT, .others = "nn" },
	{ "closes at each new option", .extended = DROP, .structured = DROP, .info = DROP,
	  .go = DROP, .export_name = GRANT, .list = GRANT, .others = "nn" },
	{ "closes at EXTENDED_HEADERS", .extended = DROP, .structured = GRANT, .info = GRANT,
	  .go = GRANT, .list = GRANT, .others = ".." },
	{ "closes at INFO", .structured = GRANT, .info = DROP, .go = GRANT, .list = GRANT,
	  .others = ".." },
	{ "not fixed newstyle", NOT_FIXED, .export_name = GRANT, .lists = EXIT_CODE_REFUSED,
	  .others = "yy" },
	{ "says nothing to new options", .extended = HANG, .structured = HANG, .info = HANG,
	  .go = HANG, .export_name = GRANT, .list = GRANT, .others = ".." },
	{ "says nothing to EXTENDED_HEADERS", .extended = HANG, .structured = GRANT, .info = GRANT,
	  .go = GRANT, .list = GRANT, .others = ".." },
	{ "closes at an unknown name", OLD, .export_name = DROP, .list = GRANT,
	  .opens = EXIT_CODE_REFUSED, .words = "export \"disk\"", .others = "nn" },
	{ "closes at an unknown name, not fixed", NOT_FIXED, .export_name = DROP,
	  .opens = EXIT_CODE_REFUSED, .lists = EXIT_CODE_REFUSED, .words = "`ublk-nbd exports`",
	  .others = "nn" },
	{ "closes at LIST", NEW, .list = DROP, .lists = EXIT_CODE_REFUSED, .others = "yy" },
	/* refusals */
	{ "unknown export", .structured = GRANT, .info = UNKNOWN, .go = UNKNOWN, .list = GRANT,
	  .opens = EXIT_CODE_REFUSED, .words = "`ublk-nbd exports`", .others = "nn" },
	{ "policy", .structured = GRANT, .info = POLICY, .go = POLICY, .list = POLICY,
	  .opens = EXIT_CODE_REFUSED, .lists = EXIT_CODE_REFUSED, .words = "policy forbids",
	  .others = "nn" },
	{ "shutting down", .extended = SHUTDOWN, .list = SHUTDOWN, .opens = EXIT_CODE_REFUSED,
	  .lists = EXIT_CODE_REFUSED, .words = "shutting down", .others = ".." },
	{ "TLS required", .extended = TLS_REQD, .structured = TLS_REQD, .info = TLS_REQD,
	  .go = TLS_REQD, .list = TLS_REQD, .opens = EXIT_CODE_TLS, .lists = EXIT_CODE_TLS,
	  .words = "nbds://", .others = "nn" },
	{ "TLS wanted, and there is none", NEW, .export_name = GRANT, .list = GRANT, .tls = true,
	  .opens = EXIT_CODE_TLS, .lists = EXIT_CODE_TLS, .words = "does not offer TLS",
	  .others = ".." },
	{ "TLS wanted, and closed", NEW, .export_name = GRANT, .list = GRANT, .starttls = DROP,
	  .tls = true, .opens = EXIT_CODE_TLS, .lists = EXIT_CODE_TLS, .words = "TLS",
	  .others = ".." },
	{ "TLS wanted, and not fixed newstyle", NOT_FIXED, .export_name = GRANT, .tls = true,
	  .opens = EXIT_CODE_TLS, .lists = EXIT_CODE_TLS, .words = "has no TLS", .others = ".." },
	/* no NBD */
	{ "oldstyle", OLDSTYLE, .opens = EXIT_CODE_REFUSED, .lists = EXIT_CODE_REFUSED,
	  .words = "oldstyle", .others = "nn" },
	{ "noise", NOISE, .opens = EXIT_CODE_REFUSED, .lists = EXIT_CODE_REFUSED,
	  .words = "not an NBD server", .others = "nn" },
	{ "closes at once", CLOSES, .opens = EXIT_CODE_UNREACHABLE, .lists = EXIT_CODE_UNREACHABLE,
	  .words = "closed the connection", .others = "nn" },
	{ "silent", SILENT, .opens = EXIT_CODE_UNREACHABLE, .lists = EXIT_CODE_UNREACHABLE,
	  .words = "no NBD greeting", .others = ".." },
};

/* --- the server, in its process ---------------------------------------------------------------------- */

static void send_info(int fd, const struct quirk *quirk, uint32_t option, uint16_t more_flags)
{
	uint8_t info[12] = { 0 };

	wire_put64(info + 2, quirk->size_bytes ? quirk->size_bytes : 1 << 20);
	wire_put16(info + 10,
		   (quirk->flags ? quirk->flags : NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH) |
			   more_flags);
	peer_reply(fd, option, NBD_REP_INFO, info, sizeof(info));
}

static void send_size(int fd, const struct quirk *quirk, bool zeroes)
{
	uint8_t answer[134] = { 0 };

	wire_put64(answer, quirk->size_bytes ? quirk->size_bytes : 1 << 20);
	wire_put16(answer + 8,
		   quirk->flags ? quirk->flags : NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH);
	peer_send(fd, answer, zeroes ? 134 : 10, false);
}

static void grant(int fd, const struct quirk *quirk, uint32_t option, enum act act)
{
	static const uint8_t name[8] = { 0, 0, 0, 4, 'd', 'i', 's', 'k' };

	if (option == NBD_OPT_LIST)
		peer_reply(fd, option, NBD_REP_SERVER, name, sizeof(name));
	if (act == TWICE)
		send_info(fd, quirk, option, NBD_FLAG_READ_ONLY);
	if ((option == NBD_OPT_INFO || option == NBD_OPT_GO) && act != NO_EXPORT)
		send_info(fd, quirk, option, 0);
	peer_reply(fd, option, NBD_REP_ACK, name, act == WITH_DATA ? sizeof(name) : 0);
}

static enum act act_for(const struct quirk *quirk, uint32_t option)
{
	switch (option) {
	case NBD_OPT_EXTENDED_HEADERS:
		return quirk->extended;
	case NBD_OPT_STRUCTURED_REPLY:
		return quirk->structured;
	case NBD_OPT_INFO:
		return quirk->info;
	case NBD_OPT_GO:
		return quirk->go;
	case NBD_OPT_EXPORT_NAME:
		return quirk->export_name;
	case NBD_OPT_LIST:
		return quirk->list;
	case NBD_OPT_STARTTLS:
		return quirk->starttls;
	default:
		return UNSUP;
	}
}

/* False when the connection is to be closed, or in transmission. */
static bool answer(int fd, const struct quirk *quirk, uint32_t option, bool zeroes)
{
	static const uint32_t errors[] = {
		[POLICY] = NBD_REP_ERR_POLICY,
		[UNKNOWN] = NBD_REP_ERR_UNKNOWN,
		[TLS_REQD] = NBD_REP_ERR_TLS_REQD,
		[SHUTDOWN] = NBD_REP_ERR_SHUTDOWN,
	};
	enum act act = act_for(quirk, option);
	const uint8_t none[1] = { 0 };

	switch (act) {
	case GRANT:
	case NO_EXPORT:
	case TWICE:
	case WITH_DATA:
		if (option == NBD_OPT_EXPORT_NAME)
			send_size(fd, quirk, zeroes);
		else
			grant(fd, quirk, option, act);
		return option != NBD_OPT_EXPORT_NAME && option != NBD_OPT_GO;
	case DROP:
		shutdown(fd, SHUT_RDWR);
		return false;
	case HANG:
		return true;
	case GARBAGE:
		peer_send(fd, "NBDMAGICIHAVEOPT..........", 26, false);
		return true;
	case POLICY:
	case UNKNOWN:
	case TLS_REQD:
	case SHUTDOWN:
		peer_reply(fd, option, errors[act], none, 0);
		return true;
	default: /* to EXPORT_NAME no such reply belongs */
		peer_reply(fd, option, NBD_REP_ERR_UNSUP, none, 0);
		return option != NBD_OPT_ABORT;
	}
}

static void ask_options(int fd, const struct quirk *quirk, bool zeroes)
{
	uint8_t bytes[8192];
	uint32_t option, len;

	do {
		if (!peer_receive(fd, bytes, 16))
			return;
		if (wire_get64(bytes) != NBD_MAGIC_OPTION) {
			shutdown(fd, SHUT_RDWR);
			return;
		}
		option = wire_get32(bytes + 8);
		len = wire_get32(bytes + 12);
		if (act_for(quirk, option) != UNREAD && !peer_receive(fd, bytes, len))
			return;
	} while (answer(fd, quirk, option, zeroes));
}

static void serve(int fd, const struct quirk *quirk)
{
	uint8_t bytes[512] = "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x00\x00\x00\x00\x10";

	switch (quirk->style) {
	case CLOSES:
		shutdown(fd, SHUT_RDWR);
		return;
	case SILENT:
		break;
	case NOISE:
		peer_send(fd, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 32, false);
		break;
	case OLDSTYLE:
		peer_send(fd, bytes, 152, false);
		break;
	default:
		wire_put64(bytes + 8, NBD_MAGIC_OPTION);
		wire_put16(bytes + 16, quirk->style == FIXED
					       ? NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES
					       : 0);
		peer_send(fd, bytes, 18, false);
		if (peer_receive(fd, bytes, 4))
			ask_options(fd, quirk, !(wire_get32(bytes) & NBD_FLAG_NO_ZEROES));
	}
	while (recv(fd, bytes, sizeof(bytes), 0) > 0) /* until the client has gone */
		;
}

static struct peer quirk_start(const struct quirk *quirk, struct dial_address *address)
{
	int listen_fd = peer_listen(AF_INET, NULL, 8, address);
	struct peer peer = { .events_fd = -1, .pid = fork() };

	if (peer.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		for (;;) {
			int fd = accept(listen_fd, NULL, NULL);

			if (fd < 0)
				_exit(1);
			serve(fd, quirk);
			close(fd);
		}
	}
	close(listen_fd);
	return peer;
}

/* --- the same inside TLS ------------------------------------------------------------------------------ */

/* Carries bytes between the client's TLS and the plain end of ask_options(), until that ends; the last
 * word is a farewell of TLS, or none. */
static void pump_tls(SSL *ssl, int plain, bool farewell)
{
	struct pollfd ends[] = { { .fd = SSL_get_fd(ssl), .events = POLLIN },
				 { .fd = plain, .events = POLLIN } };
	uint8_t bytes[8192];
	ssize_t n;

	for (;;) {
		if (!SSL_pending(ssl))
			poll(ends, 2, -1);
		if (SSL_pending(ssl) || ends[0].revents) {
			n = SSL_read(ssl, bytes, sizeof(bytes));
			if (n <= 0 || send(plain, bytes, (size_t)n, MSG_NOSIGNAL) != n)
				return;
		}
		n = recv(plain, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0 && farewell)
			SSL_shutdown(ssl);
		if (n == 0)
			return;
		if (n > 0 && SSL_write(ssl, bytes, (int)n) != n)
			return;
	}
}

/* STARTTLS or nothing; 'P' for whatever else comes in plain. */
static void serve_tls(int fd, const struct quirk *quirk, SSL_CTX *ctx, int events_fd)
{
	uint8_t bytes[32] = { 0 };
	int ends[2];
	SSL *ssl;

	peer_greet(fd, false);
	if (!peer_receive(fd, bytes, 4 + 16))
		return;
	if (wire_get32(bytes + 12) != NBD_OPT_STARTTLS) {
		if (write(events_fd, "P", 1) < 0)
			_exit(1);
		return;
	}
	peer_reply(fd, NBD_OPT_STARTTLS, NBD_REP_ACK, bytes, 0);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && !socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
		if (fork() == 0) {
			close(ends[0]);
			ask_options(ends[1], quirk, false);
			_exit(0);
		}
		close(ends[1]);
		pump_tls(ssl, ends[0], quirk->read_only);
		close(ends[0]);
	}
	shutdown(fd, SHUT_RDWR);
	SSL_free(ssl);
}

/* read_only: with a farewell of TLS. */
static struct peer tls_start(const struct quirk *quirk, bool wants_certificate,
			     struct dial_address *address)
{
	const struct identity_wish named = { .name = "server" };
	int listen_fd = peer_listen(AF_INET, NULL, 8, address), events[2];
	struct peer peer = { .events_fd = -1 };

	assert_int_equal(pipe2(events, O_CLOEXEC), 0);
	peer.pid = fork();
	if (peer.pid == 0) {
		struct identity identity = identity_make(&named, NULL);
		const struct tls_peer_wish wish = { .identity = &identity };
		SSL_CTX *ctx = tls_peer_context(&wish);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGCHLD, SIG_IGN);
		if (wants_certificate) /* but says nothing when there is none, as GnuTLS does */
			SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		for (;;) {
			int fd = accept(listen_fd, NULL, NULL);

			if (fd < 0 || write(events[1], "C", 1) < 0)
				_exit(1);
			serve_tls(fd, quirk, ctx, events[1]);
			close(fd);
		}
	}
	close(listen_fd);
	close(events[1]);
	peer.events_fd = events[0];
	return peer;
}

/* --- the verdicts ------------------------------------------------------------------------------------ */

static char uri[160];

/* What is complained of behind "ublk-nbd: VERB: ". */
static const char *complaint(void)
{
	const char *colon = strchr(complained, ':');

	colon = colon ? strchr(colon + 1, ':') : NULL;
	return colon ? colon + 1 : complained;
}

static int verdict(verb_fn verb, const char *name, const struct quirk *quirk)
{
	const char *words[] = { name, "--connect-timeout=1500ms", "-o", "json", uri, NULL, NULL };
	int64_t started_ms = clock_now_ms();
	int exit_code;

	if (quirk->tls) /* whom it would trust does not matter: it gets no further than STARTTLS */
		words[5] = "--tls-verify=yes";
	exit_code = run(verb, words);
	/* map asks twice where libnbd does not get in, each time no longer. */
	if (clock_now_ms() - started_ms > 2 * 1500 + 3000)
		fail_msg("%s of \"%s\" took %lld ms", name, quirk->name,
			 (long long)(clock_now_ms() - started_ms));
	return exit_code;
}

static void expect(bool good, const char *verb, const struct quirk *quirk, int exit_code)
{
	if (!good)
		fail_msg("%s of \"%s\": exit %d, %s%s", verb, quirk->name, exit_code, complained,
			 printed);
}

static void check_info(const struct quirk *quirk)
{
	int exit_code = verdict(cmd_info, "info", quirk);
	json_t *object;

	expect(exit_code == (int)quirk->opens, "info", quirk, exit_code);
	if (exit_code) {
		expect(strstr(complained, quirk->words), "info", quirk, exit_code);
		return;
	}
	object = json_loads(printed, 0, NULL);
	assert_non_null(object);
	assert_int_equal(json_integer_value(json_object_get(object, "size_bytes")), 1 << 20);
	assert_int_equal(json_is_true(json_object_get(object, "read_only")), quirk->read_only);
	json_decref(object);
}

/* In the very words of info, or for the one reason that map alone has. */
static void check_map(const struct quirk *quirk)
{
	char info_says[1024];
	int exit_code;

	snprintf(info_says, sizeof(info_says), "%s", complaint());
	exit_code = verdict(map_command, "map", quirk);
	if (quirk->opens && !quirk->lenient) {
		expect(exit_code == (int)quirk->opens && !strcmp(complaint(), info_says), "map",
		       quirk, exit_code);
		return;
	}
	expect(exit_code == EXIT_CODE_REFUSED &&
		       strstr(complained, "does not say where its data is"),
	       "map", quirk, exit_code);
}

static void check_exports(const struct quirk *quirk)
{
	int exit_code = verdict(cmd_exports, "exports", quirk);
	json_t *object, *entry;

	expect(exit_code == (int)quirk->lists, "exports", quirk, exit_code);
	if (exit_code)
		return;
	object = json_loads(printed, 0, NULL);
	assert_non_null(object);
	entry = json_array_get(json_object_get(object, "exports"), 0);
	assert_string_equal(json_string_value(json_object_get(entry, "name")), "disk");
	/* Known, or a reason: never a size that nobody told. */
	if (json_is_null(json_object_get(entry, "size_bytes")))
		assert_true(json_is_string(json_object_get(entry, "error")));
	else
		assert_int_equal(json_integer_value(json_object_get(entry, "size_bytes")), 1 << 20);
	json_decref(object);
}

static void test_verbs_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
		struct dial_address address;
		struct peer peer = quirk_start(&quirks[i], &address);
		char host[64];

		dial_address_text(&address, host, sizeof(host));
		snprintf(uri, sizeof(uri), "nbd%s://%s/disk", quirks[i].tls ? "s" : "", host);
		check_info(&quirks[i]);
		check_map(&quirks[i]);
		check_exports(&quirks[i]);
		peer_stop(&peer);
	}
}

static void test_nobody_listens(void **state)
{
	const struct quirk quirk = { .name = "nobody",
				     .opens = EXIT_CODE_UNREACHABLE,
				     .words = "connection refused" };
	struct dial_address address;
	char host[64];

	(void)state;
	peer_nobody(AF_INET, &address);
	dial_address_text(&address, host, sizeof(host));
	snprintf(uri, sizeof(uri), "nbd://%s/disk", host);
	check_info(&quirk);
	check_map(&quirk);
	assert_int_equal(verdict(cmd_exports, "exports", &quirk), EXIT_CODE_UNREACHABLE);
	assert_says(complained, "connection refused");
}

/* Asking for less happens inside TLS as well, and never outside of it. */
static void test_old_servers_inside_tls(void **state)
{
	static const struct {
		struct quirk quirk;
		bool wants_certificate;
		enum exit_code exit_code;
		const char *words;
		int connections;
	} rows[] = {
		{ { NEW, .extended = DROP }, false, EXIT_CODE_OK, "structured", 2 },
		{ { NEW, .extended = DROP, .read_only = true },
		  false,
		  EXIT_CODE_OK,
		  "structured",
		  2 },
		{ { OLD, .export_name = GRANT }, false, EXIT_CODE_OK, "an old server", 2 },
		{ { .extended = DROP,
		    .structured = DROP,
		    .info = DROP,
		    .go = DROP,
		    .export_name = GRANT },
		  false,
		  EXIT_CODE_OK,
		  "an old server",
		  5 },
		{ { OLD, .export_name = DROP }, false, EXIT_CODE_REFUSED, "export \"disk\"", 3 },
		{ { NEW, .extended = DROP }, true, EXIT_CODE_TLS, "client certificate", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dial_address address;
		struct peer peer = tls_start(&rows[i].quirk, rows[i].wants_certificate, &address);
		char host[64], event;
		int exit_code, connections = 0;

		dial_address_text(&address, host, sizeof(host));
		snprintf(uri, sizeof(uri), "nbds://%s/disk", host);
		exit_code = RUN(cmd_info, "--tls-verify=no", uri);
		if (exit_code != (int)rows[i].exit_code ||
		    !strstr(exit_code ? complained : printed, rows[i].words))
			fail_msg("row %zu: exit %d, %s%s", i, exit_code, complained, printed);
		while ((event = peer_event(&peer, 100))) {
			assert_int_equal(event, 'C');
			connections++;
		}
		assert_int_equal(connections, rows[i].connections);
		peer_stop(&peer);
	}
}

/* --- other clients ----------------------------------------------------------------------------------- */

/* 'y', 'n', or '.' where there is no such program. */
static char other_verdict(const char *command)
{
	char line[256];
	int status;

	snprintf(line, sizeof(line), "timeout 5 %s %s >/dev/null 2>&1", command, uri);
	status = system(line); /* NOLINT(cert-env33-c): each command is written down below */
	if (WEXITSTATUS(status) == 127)
		return '.';
	return status ? 'n' : 'y';
}

/* Where they differ from us, the table says so, and a newer release of theirs does not go unnoticed. */
static void test_other_clients(void **state)
{
	static const char *const commands[] = { "nbdinfo --size", "qemu-img info -f raw" };
	unsigned int asked = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
		struct dial_address address;
		struct peer peer;
		char host[64], got[3] = "..";

		if (!strcmp(quirks[i].others, ".."))
			continue;
		peer = quirk_start(&quirks[i], &address);
		dial_address_text(&address, host, sizeof(host));
		snprintf(uri, sizeof(uri), "nbd://%s/disk", host);
		for (int k = 0; k < 2; k++)
			got[k] = other_verdict(commands[k]);
		peer_stop(&peer);
		for (int k = 0; k < 2; k++)
			if (got[k] != '.' && got[k] != quirks[i].others[k])
				fail_msg("%s of \"%s\": %c, not %c", commands[k], quirks[i].name,
					 got[k], quirks[i].others[k]);
			else
				asked += got[k] != '.';
	}
	if (!asked) {
		print_message("SKIP: neither nbdinfo nor qemu-img is here\n");
		skip();
	}
}

static int teardown(void **state)
{
	(void)state;
	free(printed);
	free(complained);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs_agree),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_old_servers_inside_tls),
		cmocka_unit_test(test_other_clients),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, teardown);
}
