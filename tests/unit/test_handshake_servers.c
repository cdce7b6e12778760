/* SPDX-License-Identifier: MIT */
/*
 * Goal: what proto/ believes of the protocol is what real servers speak.
 * Method: starts nbdkit, qemu-nbd and nbd-server on unix sockets in a scratch folder, drives
 * handshake, requests and replies over a blocking socket that gives up after a few seconds, and
 * compares the data. Each server is this test's child, dies with it, and is ended by its pid.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/handshake.h"
#include "proto/reply.h"

enum {
	START_TIMEOUT_MS = 10000,
	START_POLL_MS = 20,
	IO_TIMEOUT_S = 30,
	REQUESTS = 8,
	DATA_BYTES = 128 << 10,
	RECEIVE_BYTES = 4093, /* odd, so that headers are cut */
};

static char folder[64], socket_path[96], file_path[96];
static pid_t server_pid;

/* One connection and the requests on it; cookies are index + 1. */
static struct disk {
	int fd;
	struct nbd_handshake hs;
	struct nbd_reply_parser parser;
	struct nbd_request requests[REQUESTS];
	uint8_t data[REQUESTS][DATA_BYTES];
	unsigned int holes, errors;
} disk;

/* --- servers ----------------------------------------------------------------------------------- */

static bool program_there(const char *name)
{
	const char *path = getenv("PATH");
	char candidate[4096];

	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)len, path, name);
		if (access(candidate, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static void need(const char *program)
{
	if (program_there(program))
		return;
	print_message("SKIP: the program %s is missing\n", program);
	skip();
}

static int socket_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = IO_TIMEOUT_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, socket_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
	return fd;
}

/* Connects to the server that was started, as soon as it listens. */
static void disk_dial(void)
{
	disk.fd = -1;
	for (int waited_ms = 0; waited_ms < START_TIMEOUT_MS; waited_ms += START_POLL_MS) {
		disk.fd = socket_open();
		if (disk.fd >= 0)
			return;
		if (waitpid(server_pid, NULL, WNOHANG) == server_pid) {
			server_pid = 0;
			fail_msg("the server ended before it listened");
		}
		usleep(START_POLL_MS * 1000);
	}
	fail_msg("the server does not listen on %s", socket_path);
}

static void server_start(const char *const *argv)
{
	pid_t parent = getpid();

	if (argv[0][0] != '/')
		need(argv[0]);
	unlink(socket_path);
	server_pid = fork();
	assert_true(server_pid >= 0);
	if (server_pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		execvp(argv[0], (char *const *)argv);
	_exit(127);
}

#define SERVER(...) server_start((const char *const[]){ __VA_ARGS__, NULL })
#define NBDKIT(...) SERVER("nbdkit", "-f", "-U", socket_path, __VA_ARGS__)

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ublk-nbd-test-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	snprintf(file_path, sizeof(file_path), "%s/file", folder);
	memset(&disk, 0, sizeof(disk));
	disk.fd = -1;
	server_pid = 0;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "socket", "file", "config" };
	char path[128];

	(void)state;
	if (disk.fd >= 0)
		close(disk.fd);
	if (server_pid > 0) {
		kill(server_pid, SIGKILL);
		waitpid(server_pid, NULL, 0);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

/* --- the client -------------------------------------------------------------------------------- */

static void send_bytes(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		ssize_t n = send(disk.fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			fail_msg("cannot send: %s", strerror(errno));
		p += n;
		len -= (size_t)n;
	}
}

static enum nbd_handshake_status shake(const struct nbd_handshake_options *options)
{
	uint8_t bytes[512];

	disk_dial();
	assert_int_equal(nbd_handshake_init(&disk.hs, options), 0);
	for (;;) {
		size_t len, wanted = nbd_handshake_wanted(&disk.hs);
		const uint8_t *out = nbd_handshake_output(&disk.hs, &len);
		ssize_t n;

		send_bytes(out, len);
		nbd_handshake_sent(&disk.hs, len);
		if (wanted == 0)
			break;
		n = recv(disk.fd, bytes, wanted < sizeof(bytes) ? wanted : sizeof(bytes), 0);
		if (n < 0)
			fail_msg("cannot receive: %s", strerror(errno));
		if (n == 0)
			nbd_handshake_closed(&disk.hs);
		else
			nbd_handshake_feed(&disk.hs, bytes, (size_t)n);
	}
	return nbd_handshake_status(&disk.hs);
}

static void must_shake(const struct nbd_handshake_options *options)
{
	if (shake(options) != NBD_HANDSHAKE_DONE)
		fail_msg("the handshake failed: %s", disk.hs.error);
}

static void must_fail(const struct nbd_handshake_options *options, int errnum, const char *error)
{
	if (shake(options) != NBD_HANDSHAKE_FAILED || disk.hs.error_errno != errnum ||
	    !strstr(disk.hs.error, error))
		fail_msg("status %d, errno %d, \"%s\"; expected failure %d, \"%s\"",
			 nbd_handshake_status(&disk.hs), disk.hs.error_errno, disk.hs.error, errnum,
			 error);
}

static struct nbd_request *find(void *context, uint64_t cookie)
{
	struct disk *d = context;

	return cookie > 0 && cookie <= REQUESTS ? &d->requests[cookie - 1] : NULL;
}

static void begin_transmission(void)
{
	nbd_reply_parser_init(&disk.parser, disk.hs.export.framing, find, &disk);
	for (unsigned int i = 0; i < REQUESTS; i++)
		disk.requests[i].cookie = i + 1;
}

/* Sends one request; a WRITE's payload is disk.data of it. */
static void submit(unsigned int index, uint16_t command, uint16_t flags, uint64_t offset_bytes,
		   uint32_t length_bytes)
{
	struct nbd_request *request = &disk.requests[index];
	uint8_t header[NBD_EXTENDED_REQUEST_BYTES];
	uint32_t n;

	assert_true(length_bytes <= DATA_BYTES || command != NBD_CMD_READ);
	request->command = command;
	request->flags = flags;
	request->offset_bytes = offset_bytes;
	request->length_bytes = length_bytes;
	nbd_request_move_rx(request, NBD_RX_IDLE);
	nbd_request_expect(request);
	n = nbd_request_encode(request, disk.hs.export.framing, header);
	send_bytes(header, n);
	if (command == NBD_CMD_WRITE)
		send_bytes(disk.data[index], length_bytes);
}

static bool take_event(const struct nbd_reply_event *event)
{
	uint8_t *data;

	if (!event->request)
		return false;
	data = disk.data[event->request->cookie - 1];
	switch (event->type) {
	case NBD_REPLY_DATA:
		memcpy(data + event->offset_bytes, event->data, event->length_bytes);
		break;
	case NBD_REPLY_HOLE:
		memset(data + event->offset_bytes, 0, event->length_bytes);
		disk.holes++;
		break;
	case NBD_REPLY_ERROR:
		disk.errors++;
		break;
	case NBD_REPLY_FINAL:
		return true;
	case NBD_REPLY_NEED_MORE:
		break;
	}
	return false;
}

/* Receives until so many replies are complete. */
static void collect(unsigned int replies)
{
	uint8_t bytes[RECEIVE_BYTES];

	while (replies > 0) {
		ssize_t n = recv(disk.fd, bytes, sizeof(bytes), 0);
		struct nbd_reply_event event = { .type = NBD_REPLY_FINAL };
		size_t at = 0, used;

		if (n <= 0)
			fail_msg("cannot receive: %s", n ? strerror(errno) : "closed");
		while (event.type != NBD_REPLY_NEED_MORE) {
			if (nbd_reply_parse(&disk.parser, bytes + at, (size_t)n - at, &used,
					    &event))
				fail_msg("broken reply: %s", disk.parser.why);
			at += used;
			if (take_event(&event)) {
				assert_true(replies > 0);
				replies--;
			}
		}
	}
	assert_int_equal(disk.parser.gathered_bytes, 0); /* of a further reply */
}

static void all_succeeded(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(disk.requests[i].rx, NBD_RX_FINAL);
		assert_int_equal(disk.requests[i].error, 0);
	}
}

/* DISC has no reply: the server closes. */
static void disconnect(void)
{
	uint8_t byte;

	submit(0, NBD_CMD_DISC, 0, 0, 0);
	assert_int_equal(recv(disk.fd, &byte, 1, 0), 0);
}

/* Eight reads at once from nbdkit's pattern: each 8 bytes are their own offset, big-endian. */
static void read_pattern(void)
{
	begin_transmission();
	for (unsigned int i = 0; i < REQUESTS; i++)
		submit(i, NBD_CMD_READ, 0, i * 40008, 1u << (10 + i % 8));
	collect(REQUESTS);
	all_succeeded(REQUESTS);
	for (unsigned int i = 0; i < REQUESTS; i++)
		for (uint32_t at = 0; at < disk.requests[i].length_bytes; at += 8)
			assert_int_equal(wire_get64(disk.data[i] + at), i * 40008 + at);
	disconnect();
}

/* Writes, flushes, zeroes, trims and reads back, as far as the export allows. */
static void write_and_read_back(void)
{
	uint8_t *written = disk.data[0], *read = disk.data[1];

	begin_transmission();
	for (uint32_t i = 0; i < 65536; i++)
		written[i] = (uint8_t)(i * 7 + i / 256);
	submit(0, NBD_CMD_WRITE, 0, 4096, 65536);
	collect(1);
	submit(1, NBD_CMD_READ, 0, 4096, 65536);
	submit(2, NBD_CMD_FLUSH, 0, 0, 0);
	assert_int_equal(nbd_request_check(&disk.requests[0], &disk.hs.export), 0);
	assert_int_equal(nbd_request_check(&disk.requests[1], &disk.hs.export), 0);
	assert_int_equal(nbd_request_check(&disk.requests[2], &disk.hs.export), 0);
	collect(2);
	all_succeeded(3);
	assert_memory_equal(written, read, 65536);

	submit(3, NBD_CMD_TRIM, 0, 1 << 19, 1 << 16);
	assert_int_equal(nbd_request_check(&disk.requests[3], &disk.hs.export), 0);
	collect(1);
	submit(4, NBD_CMD_WRITE_ZEROES, 0, 8192, 4096);
	assert_int_equal(nbd_request_check(&disk.requests[4], &disk.hs.export), 0);
	collect(1);
	submit(1, NBD_CMD_READ, 0, 4096, 65536);
	collect(1);
	all_succeeded(5);
	memset(written + 4096, 0, 4096);
	assert_memory_equal(written, read, 65536);
	disconnect();
}

static const struct nbd_handshake_options plain = { .export_name = "" };
static const struct nbd_handshake_options simple = { .export_name = "", .no_structured = true };
static const struct nbd_handshake_options named = { .export_name = "disk" };
static const struct nbd_handshake_options absent = { .export_name = "absent" };

/* --- nbdkit ------------------------------------------------------------------------------------ */

static void nbdkit_structured(void **state)
{
	(void)state;
	NBDKIT("pattern", "1M");
	must_shake(&plain);
	assert_int_equal(disk.hs.export.framing, NBD_FRAMING_STRUCTURED);
	assert_int_equal(disk.hs.export.size_bytes, 1 << 20);
	assert_true(disk.hs.export.flags & NBD_FLAG_READ_ONLY);
	read_pattern();
}

static void nbdkit_without_structured_replies(void **state)
{
	(void)state;
	NBDKIT("--no-sr", "pattern", "1M");
	must_shake(&plain);
	assert_int_equal(disk.hs.export.framing, NBD_FRAMING_SIMPLE);
	read_pattern();
}

static void nbdkit_not_asked_for_structured_replies(void **state)
{
	(void)state;
	NBDKIT("pattern", "1M");
	must_shake(&simple);
	assert_int_equal(disk.hs.export.framing, NBD_FRAMING_SIMPLE);
	read_pattern();
}

static void nbdkit_not_fixed(void **state)
{
	(void)state;
	NBDKIT("--mask-handshake=0", "pattern", "1M");
	must_shake(&plain);
	assert_true(disk.hs.export.used_export_name);
	read_pattern();
}

static void nbdkit_without_no_zeroes(void **state)
{
	(void)state;
	NBDKIT("--mask-handshake=1", "pattern", "1M");
	must_shake(&plain);
	assert_int_equal(disk.hs.server_flags, NBD_FLAG_FIXED_NEWSTYLE);
	read_pattern();
}

static void nbdkit_oldstyle_is_refused(void **state)
{
	(void)state;
	NBDKIT("--oldstyle", "memory", "1M");
	must_fail(&plain, EPROTONOSUPPORT, "oldstyle");
}

static void nbdkit_writes(void **state)
{
	(void)state;
	NBDKIT("memory", "1M");
	must_shake(&named);
	assert_string_equal(disk.hs.export.name, "disk");
	write_and_read_back();
}

static void nbdkit_writes_without_structured_replies(void **state)
{
	(void)state;
	NBDKIT("--no-sr", "memory", "1M");
	must_shake(&named);
	write_and_read_back();
}

static void nbdkit_read_errors(const char *no_sr)
{
	NBDKIT(no_sr, "--filter=error", "memory", "1M", "error-pread=ENOSPC",
	       "error-pread-rate=100%", "error-pwrite-rate=0%");
	must_shake(&plain);
	begin_transmission();
	submit(0, NBD_CMD_READ, 0, 0, 4096);
	submit(1, NBD_CMD_WRITE, 0, 0, 4096);
	submit(2, NBD_CMD_READ, 0, 4096, 4096);
	collect(3);
	assert_int_equal(disk.requests[0].error, NBD_ENOSPC);
	assert_int_equal(disk.requests[1].error, 0);
	assert_int_equal(disk.requests[2].error, NBD_ENOSPC);
	assert_int_equal(disk.errors, 2);
	disconnect();
}

static void nbdkit_errors_in_chunks(void **state)
{
	(void)state;
	nbdkit_read_errors("--threads=1");
}

static void nbdkit_errors_in_simple_replies(void **state)
{
	(void)state;
	nbdkit_read_errors("--no-sr");
}

static void nbdkit_read_only(void **state)
{
	(void)state;
	NBDKIT("-r", "memory", "1M");
	must_shake(&plain);
	begin_transmission();
	submit(0, NBD_CMD_WRITE, 0, 0, 512);
	assert_int_equal(nbd_request_check(&disk.requests[0], &disk.hs.export), -EROFS);
	collect(1);
	assert_int_equal(disk.requests[0].error, NBD_EPERM);
}

static void nbdkit_sparse_reads_have_holes(void **state)
{
	(void)state;
	NBDKIT("data", "@0x8000 1 @0x20000 2", "size=1M");
	must_shake(&plain);
	begin_transmission();
	submit(0, NBD_CMD_READ, 0, 0, DATA_BYTES);
	memset(disk.data[0], 0xff, DATA_BYTES);
	collect(1);
	all_succeeded(1);
	for (uint32_t i = 0; i < DATA_BYTES; i++)
		assert_int_equal(disk.data[0][i], i == 0x8000);
}

static void nbdkit_info(void **state)
{
	struct nbd_handshake_options options = { .export_name = "x", .goal = NBD_GOAL_INFO };
	uint8_t byte;

	(void)state;
	NBDKIT("--filter=exportname", "memory", "3M", "exportname=x", "exportdesc=fixed:it is x");
	must_shake(&options);
	assert_int_equal(disk.hs.export.size_bytes, 3 << 20);
	assert_string_equal(disk.hs.export.name, "x");
	assert_string_equal(disk.hs.export.description, "it is x");
	/* ABORT is acknowledged, then the server closes. */
	while (recv(disk.fd, &byte, 1, 0) > 0)
		;
}

static void nbdkit_export_that_is_not_there(void **state)
{
	(void)state;
	NBDKIT("--filter=exportname", "memory", "1M", "exportname=disk", "exportname-strict=true");
	must_fail(&absent, ENOENT, "no export \"absent\"");
}

static void nbdkit_block_sizes(void **state)
{
	(void)state;
	NBDKIT("--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096",
	       "blocksize-preferred=64K", "blocksize-maximum=192K");
	must_shake(&plain);
	assert_true(disk.hs.export.block_sizes_given);
	assert_int_equal(disk.hs.export.block_minimum_bytes, 4096);
	assert_int_equal(disk.hs.export.block_preferred_bytes, 65536);
	assert_int_equal(disk.hs.export.payload_max_bytes, 192 << 10);
}

static void nbdkit_that_wants_tls(void **state)
{
	char psk[128];

	(void)state;
	write_file(file_path, "alice:0123456789abcdef0123456789abcdef\n");
	snprintf(psk, sizeof(psk), "--tls-psk=%s", file_path);
	NBDKIT("--tls=require", psk, "memory", "1M");
	must_fail(&plain, EACCES, "nbds://");
}

static void nbdkit_without_tls(void **state)
{
	struct nbd_handshake_options options = { .export_name = "", .tls = true };

	(void)state;
	NBDKIT("--tls=off", "memory", "1M");
	must_fail(&options, EACCES, "does not offer TLS (NBD_REP_ERR_POLICY)");
}

static void nbdkit_starttls(void **state)
{
	struct nbd_handshake_options options = { .export_name = "", .tls = true };
	char psk[128];

	(void)state;
	write_file(file_path, "alice:0123456789abcdef0123456789abcdef\n");
	snprintf(psk, sizeof(psk), "--tls-psk=%s", file_path);
	NBDKIT("--tls=require", psk, "memory", "1M");
	assert_int_equal(shake(&options), NBD_HANDSHAKE_START_TLS);
}

/* --- qemu-nbd ---------------------------------------------------------------------------------- */

static void make_file(void)
{
	write_file(file_path, "start");
	assert_int_equal(truncate(file_path, 1 << 20), 0);
}

#define QEMU_NBD(...)                                                                              \
	SERVER("qemu-nbd", "-k", socket_path, "-f", "raw", "-t", "--discard=unmap", __VA_ARGS__,   \
	       file_path)

static void qemu_nbd_writes(void **state)
{
	(void)state;
	make_file();
	QEMU_NBD("-x", "disk", "-D", "the disk");
	must_shake(&named);
	assert_true(disk.hs.export.framing != NBD_FRAMING_SIMPLE);
	assert_string_equal(disk.hs.export.name, "disk");
	assert_string_equal(disk.hs.export.description, "the disk");
	assert_true(disk.hs.export.block_sizes_given);
	write_and_read_back();
}

static void qemu_nbd_simple_replies(void **state)
{
	(void)state;
	make_file();
	QEMU_NBD("-x", "");
	must_shake(&simple);
	assert_int_equal(disk.hs.export.framing, NBD_FRAMING_SIMPLE);
	write_and_read_back();
}

static void qemu_nbd_holes(void **state)
{
	(void)state;
	make_file();
	QEMU_NBD("-x", "disk");
	must_shake(&named);
	begin_transmission();
	submit(0, NBD_CMD_READ, 0, 0, DATA_BYTES);
	memset(disk.data[0], 0xff, DATA_BYTES);
	collect(1);
	all_succeeded(1);
	assert_memory_equal(disk.data[0], "start", 5);
	for (uint32_t i = 5; i < DATA_BYTES; i++)
		assert_int_equal(disk.data[0][i], 0);
	assert_true(disk.holes > 0);
	disconnect();
}

static void qemu_nbd_export_that_is_not_there(void **state)
{
	(void)state;
	make_file();
	QEMU_NBD("-x", "disk");
	must_fail(&absent, ENOENT, "the server says: ");
}

/*
 * Debian 12's qemu-nbd does not know extended headers: 8.2 and later do. NEW_QEMU_NBD names such a
 * program; tests/all gets one, and tests/system/fio-extended.sh runs a disk on it.
 */
static void qemu_nbd_extended_headers(void **state)
{
	const char *program = getenv("NEW_QEMU_NBD");

	(void)state;
	if (!program) {
		print_message("SKIP: NEW_QEMU_NBD does not name a qemu-nbd of 8.2 or later "
			      "(tests/vm/fetch-package trixie qemu-utils gets one)\n");
		skip();
	}
	make_file();
	SERVER(program, "-k", socket_path, "-f", "raw", "-t", "--discard=unmap", "-x", "disk",
	       file_path);
	must_shake(&named);
	assert_int_equal(disk.hs.export.framing, NBD_FRAMING_EXTENDED);
	write_and_read_back();
}

static void qemu_nbd_extended_holes_and_errors(void **state)
{
	const char *program = getenv("NEW_QEMU_NBD");

	(void)state;
	if (!program) {
		print_message("SKIP: NEW_QEMU_NBD does not name a qemu-nbd of 8.2 or later\n");
		skip();
	}
	make_file();
	SERVER(program, "-k", socket_path, "-f", "raw", "-t", "-r", "-x", "disk", file_path);
	must_shake(&named);
	begin_transmission();
	memset(disk.data[0], 0xff, DATA_BYTES);
	submit(0, NBD_CMD_READ, 0, 0, DATA_BYTES);
	submit(1, NBD_CMD_WRITE, 0, 0, 4096);
	submit(2, NBD_CMD_READ, 0, (1 << 20) - 512, 4096);
	submit(3, NBD_CMD_FLUSH, 0, 0, 0);
	collect(4);
	assert_int_equal(disk.requests[0].error, 0);
	assert_int_equal(disk.requests[1].error, NBD_EINVAL); /* qemu 10's word for read-only */
	assert_int_equal(disk.requests[2].error, NBD_EINVAL);
	assert_int_equal(disk.errors, 2);
	assert_int_equal(disk.requests[3].error, 0);
	assert_true(disk.holes > 0);
	assert_memory_equal(disk.data[0], "start", 5);
	for (uint32_t i = 5; i < DATA_BYTES; i++)
		assert_int_equal(disk.data[0][i], 0);
	disconnect();
}

/* --- nbd-server -------------------------------------------------------------------------------- */

static void nbd_server_start(void)
{
	char text[512], config[128];

	make_file();
	snprintf(config, sizeof(config), "%s/config", folder);
	snprintf(text, sizeof(text),
		 "[generic]\nunixsock = %s\nallowlist = true\n"
		 "[disk]\nexportname = %s\nflush = true\nfua = true\ntrim = true\n",
		 socket_path, file_path);
	write_file(config, text);
	SERVER("nbd-server", "-C", config, "-d");
}

static void nbd_server_writes(void **state)
{
	(void)state;
	nbd_server_start();
	must_shake(&named);
	assert_int_equal(disk.hs.export.size_bytes, 1 << 20);
	write_and_read_back();
}

static void nbd_server_export_that_is_not_there(void **state)
{
	(void)state;
	nbd_server_start();
	must_fail(&absent, ENOENT, "absent");
}

#define server_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(nbdkit_structured),
		server_test(nbdkit_without_structured_replies),
		server_test(nbdkit_not_asked_for_structured_replies),
		server_test(nbdkit_not_fixed),
		server_test(nbdkit_without_no_zeroes),
		server_test(nbdkit_oldstyle_is_refused),
		server_test(nbdkit_writes),
		server_test(nbdkit_writes_without_structured_replies),
		server_test(nbdkit_errors_in_chunks),
		server_test(nbdkit_errors_in_simple_replies),
		server_test(nbdkit_read_only),
		server_test(nbdkit_sparse_reads_have_holes),
		server_test(nbdkit_info),
		server_test(nbdkit_export_that_is_not_there),
		server_test(nbdkit_block_sizes),
		server_test(nbdkit_that_wants_tls),
		server_test(nbdkit_without_tls),
		server_test(nbdkit_starttls),
		server_test(qemu_nbd_writes),
		server_test(qemu_nbd_simple_replies),
		server_test(qemu_nbd_holes),
		server_test(qemu_nbd_export_that_is_not_there),
		server_test(qemu_nbd_extended_headers),
		server_test(qemu_nbd_extended_holes_and_errors),
		server_test(nbd_server_writes),
		server_test(nbd_server_export_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
