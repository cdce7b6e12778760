// SPDX-License-Identifier: MIT
/*
 * Goal: a dial ends in a negotiated connection or in the right sentence, never later than it was
 * told; giving one up is immediate and leaves no thread, descriptor or byte behind.
 * Method: nbdkit, qemu-nbd and nbd-server on sockets of our own, scripted peers for what no good
 * server does (peers.h), a getaddrinfo() of our own for names; time is measured against a bound.
 */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>
#include <cmocka.h>

#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/common/dial.h"
#include "gateway/common/dial_task.h"
#include "proto/request.h"
#include "tests/unit/peers.h"
#include "tls/clock.h"

/* How much later than its bound a loaded machine may let a dial end. */
#define SLACK_MS 3000

static char directory[] = "/tmp/test-dial-XXXXXX";
static atomic_int resolve_stall_ms; /* what a name server does */
static atomic_int resolve_stalled;  /* how many are at it */

/* Stands for the C library's: numeric addresses pass; "slow" takes its time; "two" has two. */
int getaddrinfo(const char *restrict host, const char *restrict port,
		const struct addrinfo *restrict hints, struct addrinfo **restrict list)
{
	struct addrinfo *info;
	struct sockaddr_in *in;
	int family = strchr(host, ':') ? AF_INET6 : AF_INET;

	if (!strcmp(host, "slow") && !(hints->ai_flags & AI_NUMERICHOST)) {
		resolve_stalled++;
		usleep((useconds_t)resolve_stall_ms * 1000);
		resolve_stalled--;
		return EAI_AGAIN;
	}
	info = calloc(1, sizeof(*info) + sizeof(struct sockaddr_in6));
	in = (struct sockaddr_in *)(info + 1);
	in->sin_family = (sa_family_t)family;
	in->sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(family, host,
		      family == AF_INET ? (void *)&in->sin_addr
					: (void *)&((struct sockaddr_in6 *)in)->sin6_addr) != 1) {
		free(info);
		return EAI_NONAME;
	}
	info->ai_addr = (struct sockaddr *)in;
	info->ai_addrlen = family == AF_INET ? sizeof(*in) : sizeof(struct sockaddr_in6);
	*list = info;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	free(list);
}

/* --- helpers ------------------------------------------------------------------------------------ */

static struct nbd_uri target; /* all zero: a TCP target with no name and export "" */

static int dial_to(const struct dial_address *addresses, uint32_t count, uint32_t timeout_ms,
		   struct dial_result *result)
{
	static const struct tls_options tls = { .hostname = "localhost" };
	const struct dial_options options = {
		.target = &target,
		.addresses = addresses,
		.addresses_count = count,
		.timeout_ms = timeout_ms,
		.tls = target.tls ? &tls : NULL,
	};

	return dial_run(&options, result);
}

/* The reply to a READ of 512 bytes over the dialled connection: proof that it is in transmission. */
static void assert_transmission(const struct dial_result *result)
{
	struct nbd_request request = { .command = NBD_CMD_READ, .length_bytes = 512, .cookie = 7 };
	struct transport *transport = result->transport;
	uint8_t head[32];
	uint32_t len = nbd_request_encode(&request, result->export->framing, head);
	int64_t deadline_ms = clock_now_ms() + 3000;

	assert_int_equal(transport->ops->write(transport, head, len, deadline_ms), 0);
	for (uint32_t at = 0; at < 16; at++)
		assert_int_equal(transport->ops->read(transport, head + at, 1, deadline_ms), 1);
	assert_int_equal(wire_get32(head), result->export->framing == NBD_FRAMING_SIMPLE
						   ? NBD_MAGIC_SIMPLE_REPLY
						   : NBD_MAGIC_STRUCTURED_REPLY);
	assert_int_equal(wire_get64(head + 8), 7);
}

static void dial_and_read(const struct dial_address *address, uint64_t size_bytes)
{
	struct dial_result result;

	dial_to(address, 1, 20000, &result);
	if (result.error)
		print_error("%s\n", result.sentence);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.stage, DIAL_DONE);
	assert_int_equal(result.export->size_bytes, size_bytes);
	assert_memory_equal(&result.peer, address, sizeof(*address));
	/* The ring wants a socket that blocks, and no child may inherit it. */
	assert_false(fcntl(result.transport->fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(result.transport->fd, F_GETFD) & FD_CLOEXEC);
	assert_transmission(&result);
	dial_result_clear(&result);
}

/* A dial that must fail, no later than bound_ms. */
static void dial_fails(const struct dial_address *address, uint32_t timeout_ms, int error,
		       enum exit_code exit_code, const char *words)
{
	int64_t started_ms = clock_now_ms(), took_ms;
	struct dial_result result;

	assert_int_equal(dial_to(address, 1, timeout_ms, &result), -error);
	took_ms = clock_now_ms() - started_ms;
	assert_int_equal(result.error, error);
	assert_int_equal(result.exit_code, exit_code);
	assert_null(result.transport);
	assert_null(result.export);
	if (!strstr(result.sentence, words))
		fail_msg("\"%s\" lacks \"%s\"", result.sentence, words);
	assert_in_range(took_ms, error == ETIMEDOUT ? timeout_ms : 0, timeout_ms + SLACK_MS);
}

static void script_fails(enum peer_script script, uint32_t timeout_ms, int error,
			 enum exit_code exit_code, const char *words)
{
	struct dial_address address;
	struct peer peer = peer_script(script, peer_listen(AF_INET, NULL, 8, &address));

	dial_fails(&address, timeout_ms, error, exit_code, words);
	peer_stop(&peer);
}

/* Waits until this process has no more descriptors than before: abandoned threads have ended. */
static void assert_fds(int before)
{
	for (int i = 0;
	     i < 400 && (peer_count_fds() > before || resolve_stalled || dial_task_any_runs()); i++)
		usleep(10000);
	assert_int_equal(peer_count_fds(), before);
	assert_false(dial_task_any_runs());
}

static char *path_in(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* --- servers ------------------------------------------------------------------------------------ */

static char *const nbdkit[] = { "nbdkit", "memory", "1M", NULL };

static void nbdkit_on(int family, const char *path)
{
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(family, path, 8, &address));

	dial_and_read(&address, 1 << 20);
	peer_stop(&peer);
}

/* Whether the kernel has this option on, or has this value of it. */
static int option_of(const struct dial_result *result, int level, int option)
{
	int value = -1;
	socklen_t value_bytes = sizeof(value);

	assert_int_equal(getsockopt(result->transport->fd, level, option, &value, &value_bytes), 0);
	return value;
}

/* Small requests go out at once, and a peer that vanished is noticed while nothing is to be sent,
 * within half a minute. */
static void tcp_is_set_up(int family)
{
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(family, NULL, 8, &address));
	struct dial_result result;

	assert_int_equal(dial_to(&address, 1, 20000, &result), 0);
	assert_true(option_of(&result, IPPROTO_TCP, TCP_NODELAY));
	assert_true(option_of(&result, SOL_SOCKET, SO_KEEPALIVE));
	assert_in_range(option_of(&result, IPPROTO_TCP, TCP_KEEPIDLE) +
				option_of(&result, IPPROTO_TCP, TCP_KEEPINTVL) *
					option_of(&result, IPPROTO_TCP, TCP_KEEPCNT),
			1, 30);
	dial_result_clear(&result);
	peer_stop(&peer);
}

static void test_tcp_options(void **state)
{
	(void)state;
	tcp_is_set_up(AF_INET);
	tcp_is_set_up(AF_INET6);
}

static void test_ipv4(void **state)
{
	(void)state;
	nbdkit_on(AF_INET, NULL);
}

static void test_ipv6(void **state)
{
	(void)state;
	nbdkit_on(AF_INET6, NULL);
}

static void test_unix(void **state)
{
	(void)state;
	nbdkit_on(AF_UNIX, path_in("nbdkit.sock"));
}

static void test_abstract(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@test-dial-%d", getpid());
	nbdkit_on(AF_UNIX, name);
}

/* CID 1 is this machine, where vsock_loopback is loaded; elsewhere nobody is there, and the dial has
 * to say so in time. */
static void test_vsock(void **state)
{
	struct dial_address address = { .address_bytes = sizeof(struct sockaddr_vm) };
	struct sockaddr_vm *svm = (struct sockaddr_vm *)&address.address;
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), client;
	struct timeval patience = { .tv_usec = 300000 };
	struct dial_result result;
	int64_t started_ms;
	struct peer peer;

	(void)state;
	svm->svm_family = AF_VSOCK;
	svm->svm_cid = VMADDR_CID_LOCAL;
	svm->svm_port = 20000 + (unsigned int)getpid() % 10000;
	client = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(client, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience));
	if (fd >= 0 && client >= 0 && !bind(fd, PEER_ADDRESS(&address), address.address_bytes) &&
	    !listen(fd, 8) && !connect(client, PEER_ADDRESS(&address), address.address_bytes)) {
		close(client);
		peer = peer_exec(nbdkit, fd);
		dial_and_read(&address, 1 << 20);
		peer_stop(&peer);
		return;
	}
	close(fd);
	close(client);
	print_message("no vsock loopback here: only its absence is tested\n");
	started_ms = clock_now_ms();
	assert_true(dial_to(&address, 1, 500, &result) < 0);
	assert_in_range(clock_now_ms() - started_ms, 0, 500 + SLACK_MS);
	assert_non_null(strstr(result.sentence, "vsock:1:"));
	assert_true(result.exit_code == EXIT_CODE_UNREACHABLE ||
		    result.exit_code == EXIT_CODE_SYSTEM);
}

/* The same by target instead of by address: what resolving makes of it. */
static void test_targets(void **state)
{
	struct dial_options options = { .target = &target, .timeout_ms = 20000 };
	struct dial_address address;
	struct dial_result result;
	struct peer peer;

	(void)state;
	peer = peer_exec(nbdkit, peer_listen(AF_INET6, NULL, 8, &address));
	strcpy(target.host, "::1");
	snprintf(target.port, sizeof(target.port), "%d",
		 ntohs(((struct sockaddr_in6 *)&address.address)->sin6_port));
	assert_int_equal(dial_run(&options, &result), 0);
	assert_string_equal(result.transport->ops->name, "plain");
	assert_non_null(strstr(result.peer_text, "[::1]:"));
	dial_result_clear(&result);
	peer_stop(&peer);

	snprintf(target.socket_path, sizeof(target.socket_path), "@test-dial-target-%d", getpid());
	target.transport = NBD_TRANSPORT_UNIX;
	peer = peer_exec(nbdkit, peer_listen(AF_UNIX, target.socket_path, 8, &address));
	assert_int_equal(dial_run_bounded(&options, &result), 0);
	assert_non_null(strstr(result.peer_text, "unix:@test-dial-target-"));
	dial_result_clear(&result);
	peer_stop(&peer);
	memset(&target, 0, sizeof(target));
}

static void make_file(const char *path, off_t bytes)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static void test_qemu(void **state)
{
	char *argv[] = { "qemu-nbd", "-t", "-f", "raw", "-x", "disk", NULL, NULL };
	struct dial_address address;
	struct dial_result result;
	struct peer peer;
	char image[64];

	(void)state;
	snprintf(image, sizeof(image), "%s", path_in("qemu.img"));
	make_file(image, 3 << 20);
	argv[6] = image;
	peer = peer_exec(argv, peer_listen(AF_INET, NULL, 8, &address));
	strcpy(target.export_name, "disk");
	dial_and_read(&address, 3 << 20);
	strcpy(target.export_name, "other");
	assert_int_equal(dial_to(&address, 1, 20000, &result), -ENOENT);
	assert_int_equal(result.exit_code, EXIT_CODE_REFUSED);
	assert_non_null(strstr(result.sentence, "other"));
	target.export_name[0] = '\0';
	peer_stop(&peer);
}

static void test_nbd_server(void **state)
{
	struct dial_options options = { .target = &target, .timeout_ms = 30000 };
	struct dial_result result;
	char image[64], exports[120];

	(void)state;
	target.transport = NBD_TRANSPORT_UNIX;
	strcpy(target.socket_path, path_in("nbd-server.sock"));
	strcpy(target.export_name, "disk");
	snprintf(image, sizeof(image), "%s", path_in("nbd-server.img"));
	make_file(image, 2 << 20);
	snprintf(exports, sizeof(exports), "[disk]\nexportname = %s\n", image);
	assert_true(peer_nbd_server(path_in(""), exports) > 0);
	for (int goal = NBD_GOAL_GO; goal <= NBD_GOAL_INFO; goal++) {
		options.goal = (enum nbd_handshake_goal)goal;
		if (dial_run(&options, &result))
			print_error("%s\n", result.sentence);
		assert_int_equal(result.error, 0);
		/* It answers INFO with a size of 0: what we say must be right all the same. */
		assert_int_equal(result.export->size_bytes, 2 << 20);
		assert_int_equal(!result.transport, goal == NBD_GOAL_INFO);
		dial_result_clear(&result);
	}
	peer_nbd_server_end();
}

/* --- INFO, and servers of the old school -------------------------------------------------------- */

static void test_info(void **state)
{
	struct dial_options options = {
		.target = &target, .timeout_ms = 20000, .goal = NBD_GOAL_INFO, .addresses_count = 1
	};
	static const enum peer_script scripts[] = { PEER_SERVE, PEER_NO_INFO };
	struct dial_address address;
	struct dial_result result;
	struct peer peer;

	(void)state;
	options.addresses = &address;
	for (int i = 0; i < 2; i++) {
		peer = peer_script(scripts[i], peer_listen(AF_INET, NULL, 8, &address));
		assert_int_equal(dial_run(&options, &result), 0);
		assert_int_equal(result.export->size_bytes, 1 << 20);
		assert_int_equal(result.export->framing, NBD_FRAMING_STRUCTURED);
		assert_null(result.transport);
		assert_int_equal(peer_event(&peer, 1000), 'C');
		assert_int_equal(peer_event(&peer, 1000), 'E');
		if (scripts[i] == PEER_NO_INFO) {
			/* GO instead, and a word of farewell. */
			assert_int_equal(peer_event(&peer, 1000), 'C');
			assert_int_equal(peer_event(&peer, 1000), 'D');
		}
		dial_result_clear(&result);
		peer_stop(&peer);
	}
}

static void test_asks_less(void **state)
{
	static const struct {
		enum peer_script script;
		int connections;
		enum nbd_framing framing;
	} rows[] = {
		{ PEER_SERVE, 1, NBD_FRAMING_STRUCTURED },
		{ PEER_DRIP, 1, NBD_FRAMING_STRUCTURED },
		{ PEER_DROP_EXTENDED, 2, NBD_FRAMING_STRUCTURED },
		{ PEER_DROP_OPTIONS, 3, NBD_FRAMING_SIMPLE },
	};
	struct dial_address address;
	struct dial_result result;
	struct peer peer;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		peer = peer_script(rows[i].script, peer_listen(AF_INET, NULL, 8, &address));
		assert_int_equal(dial_to(&address, 1, 20000, &result), 0);
		assert_int_equal(result.export->framing, rows[i].framing);
		dial_result_clear(&result);
		assert_int_equal(peer_connections(&peer), rows[i].connections);
		peer_stop(&peer);
	}
}

/* EXTENDED_HEADERS, STRUCTURED_REPLY and INFO are given up one after the other. */
static void test_info_asks_less_in_all(void **state)
{
	struct dial_options options = {
		.target = &target, .timeout_ms = 20000, .goal = NBD_GOAL_INFO, .addresses_count = 1
	};
	struct dial_address address;
	struct dial_result result;
	struct peer peer = peer_script(PEER_OLD, peer_listen(AF_INET, NULL, 8, &address));

	(void)state;
	options.addresses = &address;
	assert_int_equal(dial_run(&options, &result), 0);
	assert_int_equal(result.export->size_bytes, 1 << 20);
	assert_int_equal(result.export->framing, NBD_FRAMING_SIMPLE);
	dial_result_clear(&result);
	assert_int_equal(peer_connections(&peer), 4);
	peer_stop(&peer);
}

static void test_asks_less_but_twice(void **state)
{
	struct dial_address address;
	struct peer peer = peer_script(PEER_DROP_ALL, peer_listen(AF_INET, NULL, 8, &address));

	(void)state;
	/* EXTENDED_HEADERS, STRUCTURED_REPLY, GO, and EXPORT_NAME, which leaves it no other way to say no. */
	dial_fails(&address, 5000, ECONNRESET, EXIT_CODE_REFUSED, "`ublk-nbd exports`");
	assert_int_equal(peer_connections(&peer), 4);
	peer_stop(&peer);
}

/* --- failures ----------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
	struct dial_address address = { 0 };
	struct sockaddr_un *un = (struct sockaddr_un *)&address.address;

	(void)state;
	peer_nobody(AF_INET, &address);
	dial_fails(&address, 2000, ECONNREFUSED, EXIT_CODE_UNREACHABLE,
		   "connection refused: is the NBD server running there?");
	peer_nobody(AF_INET6, &address);
	dial_fails(&address, 2000, ECONNREFUSED, EXIT_CODE_UNREACHABLE, "[::1]:");
	memset(&address, 0, sizeof(address));
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path_in("nothing.sock"));
	address.address_bytes = sizeof(*un);
	dial_fails(&address, 2000, ENOENT, EXIT_CODE_UNREACHABLE, "there is no such socket");
	make_file(un->sun_path, 0);
	dial_fails(&address, 2000, ECONNREFUSED, EXIT_CODE_UNREACHABLE, "nobody listens");
}

static void test_garbage(void **state)
{
	(void)state;
	script_fails(PEER_HTTP, 3000, EPROTO, EXIT_CODE_REFUSED, "127.0.0.1:");
	script_fails(PEER_GARBAGE, 3000, EPROTO, EXIT_CODE_REFUSED, "127.0.0.1:");
	script_fails(PEER_CLOSE, 3000, ECONNRESET, EXIT_CODE_UNREACHABLE, "closed the connection");
}

static void test_oldstyle(void **state)
{
	struct dial_address address;
	struct peer peer = peer_script(PEER_OLDSTYLE, peer_listen(AF_INET, NULL, 8, &address));
	struct dial_result result;

	(void)state;
	assert_true(dial_to(&address, 1, 3000, &result) < 0);
	assert_int_equal(result.exit_code, EXIT_CODE_REFUSED);
	assert_non_null(strstr(result.sentence, "oldstyle"));
	peer_stop(&peer);
}

static void test_stalls(void **state)
{
	struct dial_address address;
	int fds[3];

	(void)state;
	script_fails(PEER_SILENT, 400, ETIMEDOUT, EXIT_CODE_UNREACHABLE, "no NBD greeting");
	script_fails(PEER_STALL_OPTION, 400, ETIMEDOUT, EXIT_CODE_UNREACHABLE, "fell silent");
	script_fails(PEER_STALL_PARTIAL, 400, ETIMEDOUT, EXIT_CODE_UNREACHABLE, "fell silent");
	/* 18 bytes, PEER_DRIP_MS between two: it drips, but not past the deadline. */
	script_fails(PEER_DRIP, 9 * PEER_DRIP_MS, ETIMEDOUT, EXIT_CODE_UNREACHABLE,
		     "no NBD greeting");
	peer_black_hole(&address, fds);
	dial_fails(&address, 400, ETIMEDOUT, EXIT_CODE_UNREACHABLE, "no answer in time");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* A unix socket whose queue is full tells connect(2) to try again: to be waited for, not to spin. */
static void test_unix_queue_full(void **state)
{
	struct dial_address address;
	int fd = peer_listen(AF_UNIX, path_in("full.sock"), 0, &address);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(connect(client, PEER_ADDRESS(&address), address.address_bytes), 0);
	dial_fails(&address, 400, ETIMEDOUT, EXIT_CODE_UNREACHABLE, "accepted no connection");
	close(client);
	close(fd);
}

/* A server without TLS: the dial ends there, and nothing is asked for in plain text. */
static void test_no_tls_no_export(void **state)
{
	struct dial_address address;
	struct peer peer = peer_script(PEER_SERVE, peer_listen(AF_INET, NULL, 8, &address));

	(void)state;
	target.tls = true;
	dial_fails(&address, 2000, EOPNOTSUPP, EXIT_CODE_TLS, "TLS");
	target.tls = false;
	assert_int_equal(peer_connections(&peer), 1); /* and not a second time */
	peer_stop(&peer);
}

/* --- several addresses -------------------------------------------------------------------------- */

static void test_first_refused(void **state)
{
	struct dial_address addresses[2];
	struct dial_result result;
	struct peer peer;

	(void)state;
	peer_nobody(AF_INET, &addresses[0]);
	peer = peer_exec(nbdkit, peer_listen(AF_INET6, NULL, 8, &addresses[1]));
	assert_int_equal(dial_to(addresses, 2, 20000, &result), 0);
	assert_memory_equal(&result.peer, &addresses[1], sizeof(result.peer));
	dial_result_clear(&result);
	peer_stop(&peer);
}

/* The first address swallows packets, the second is silent, the third serves: each of the first
 * two has its share of the time, no more. */
static void test_first_dead(void **state)
{
	struct dial_address addresses[3];
	int64_t started_ms;
	struct dial_result result;
	struct peer silent, server;
	int fds[3];

	(void)state;
	peer_black_hole(&addresses[0], fds);
	silent = peer_script(PEER_SILENT, peer_listen(AF_INET, NULL, 8, &addresses[1]));
	server = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 8, &addresses[2]));
	started_ms = clock_now_ms();
	assert_int_equal(dial_to(addresses, 3, 3000, &result), 0);
	assert_in_range(clock_now_ms() - started_ms, 1900, 2900);
	assert_memory_equal(&result.peer, &addresses[2], sizeof(result.peer));
	dial_result_clear(&result);
	peer_stop(&silent);
	peer_stop(&server);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void test_all_dead(void **state)
{
	struct dial_address addresses[3];
	char text[DIAL_PEER_TEXT_BYTES];
	struct dial_result result;
	struct peer peer;

	(void)state;
	peer_nobody(AF_INET, &addresses[0]);
	peer_nobody(AF_INET6, &addresses[1]);
	peer = peer_script(PEER_SILENT, peer_listen(AF_INET, NULL, 8, &addresses[2]));
	assert_int_equal(dial_to(addresses, 3, 600, &result), -ETIMEDOUT);
	for (int i = 0; i < 3; i++) {
		dial_address_text(&addresses[i], text, sizeof(text));
		assert_non_null(strstr(result.sentence, text));
	}
	assert_int_equal(result.exit_code, EXIT_CODE_UNREACHABLE);
	peer_stop(&peer);
}

/* A server that says no has been reached: the next address is not asked. */
static void test_refusal_is_final(void **state)
{
	struct dial_address addresses[2];
	struct dial_result result;
	struct peer garbage, server;

	(void)state;
	garbage = peer_script(PEER_GARBAGE, peer_listen(AF_INET, NULL, 8, &addresses[0]));
	server = peer_script(PEER_SERVE, peer_listen(AF_INET, NULL, 8, &addresses[1]));
	assert_int_equal(dial_to(addresses, 2, 3000, &result), -EPROTO);
	assert_int_equal(peer_connections(&server), 0);
	peer_stop(&garbage);
	peer_stop(&server);
}

/* --- names -------------------------------------------------------------------------------------- */

static void test_resolve(void **state)
{
	struct dial_address addresses[4];
	char sentence[300], text[DIAL_PEER_TEXT_BYTES];
	struct nbd_uri uri = { .host = "127.0.0.1", .port = "10809" };
	uint32_t count = 4;

	(void)state;
	assert_int_equal(dial_resolve(&uri, addresses, &count, sentence, sizeof(sentence)), 0);
	assert_int_equal(count, 1);
	dial_address_text(addresses, text, sizeof(text));
	assert_string_equal(text, "127.0.0.1:10809");
	strcpy(uri.host, "nowhere.example");
	count = 4;
	assert_int_equal(dial_resolve(&uri, addresses, &count, sentence, sizeof(sentence)),
			 -ENOENT);
	assert_non_null(strstr(sentence, "nowhere.example"));
	uri.transport = NBD_TRANSPORT_VSOCK;
	uri.vsock_cid = 2;
	uri.vsock_port = 10809;
	count = 4;
	assert_int_equal(dial_resolve(&uri, addresses, &count, sentence, sizeof(sentence)), 0);
	dial_address_text(addresses, text, sizeof(text));
	assert_string_equal(text, "vsock:2:10809");
	uri.transport = NBD_TRANSPORT_UNIX;
	assert_int_equal(dial_resolve(&uri, addresses, &count, sentence, sizeof(sentence)),
			 -EINVAL);
	memset(uri.socket_path, 'x', sizeof(uri.socket_path) - 1);
	assert_int_equal(dial_resolve(&uri, addresses, &count, sentence, sizeof(sentence)), 0);
	dial_address_text(addresses, text, sizeof(text));
	assert_int_equal(strlen(text), 5 + 107);
}

static void test_slow_name_is_bounded(void **state)
{
	struct dial_options options = { .target = &target, .timeout_ms = 300 };
	int64_t started_ms = clock_now_ms();
	int before = peer_count_fds();
	struct dial_result result;

	(void)state;
	strcpy(target.host, "slow");
	strcpy(target.port, "10809");
	resolve_stall_ms = 1500;
	assert_int_equal(dial_run_bounded(&options, &result), -ETIMEDOUT);
	assert_in_range(clock_now_ms() - started_ms, 300, 300 + SLACK_MS);
	assert_int_equal(result.exit_code, EXIT_CODE_UNREACHABLE);
	assert_non_null(strstr(result.sentence, "\"slow\""));
	assert_fds(before);
	memset(&target, 0, sizeof(target));
}

/* --- tasks -------------------------------------------------------------------------------------- */

static atomic_int progress_calls;

static void count_progress(void *context, enum dial_stage stage, int error, const char *sentence)
{
	atomic_int *alive = context;

	(void)stage;
	(void)error;
	assert_true(strlen(sentence) > 0);
	assert_int_equal(*alive, 1);
	progress_calls++;
}

static void test_task(void **state)
{
	atomic_int alive = 1;
	struct dial_address address;
	struct dial_options options = { .target = &target,
					.timeout_ms = 20000,
					.addresses = &address,
					.addresses_count = 1,
					.progress = count_progress,
					.context = &alive };
	struct peer peer = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 8, &address));
	struct dial_result result;
	struct dial_task *task;
	struct pollfd ready = { .events = POLLIN };

	(void)state;
	progress_calls = 0;
	assert_int_equal(dial_task_start(&options, &task), 0);
	/* It has copied what it needs. */
	memset(&address, 0, sizeof(address));
	ready.fd = dial_task_fd(task);
	assert_int_equal(poll(&ready, 1, 5000), 1);
	dial_task_take(task, &result);
	assert_int_equal(result.error, 0);
	assert_true(progress_calls >= 2);
	assert_transmission(&result);
	dial_result_clear(&result);
	peer_stop(&peer);
}

/* Starts a task, lets it get as far as it can, gives it up. */
static void task_abandoned(const struct dial_address *address, uint32_t wait_ms)
{
	static atomic_int alive;
	struct dial_options options = { .target = &target,
					.timeout_ms = 20000,
					.addresses = address,
					.addresses_count = address ? 1 : 0,
					.progress = count_progress,
					.context = &alive };
	int64_t started_ms;
	struct dial_task *task;

	alive = 1;
	assert_int_equal(dial_task_start(&options, &task), 0);
	usleep(wait_ms * 1000);
	started_ms = clock_now_ms();
	dial_task_abandon(task);
	alive = 0; /* a progress call from now on fails the test */
	assert_in_range(clock_now_ms() - started_ms, 0, 200);
}

static void test_abandon_in_resolve(void **state)
{
	int before = peer_count_fds();

	(void)state;
	strcpy(target.host, "slow");
	strcpy(target.port, "10809");
	resolve_stall_ms = 600;
	task_abandoned(NULL, 100);
	assert_int_equal(resolve_stalled, 1);
	assert_true(dial_task_any_runs());
	memset(&target, 0, sizeof(target)); /* the thread has its own */
	assert_fds(before);
}

static void test_abandon_in_connect(void **state)
{
	int before = peer_count_fds(), fds[3];
	struct dial_address address;

	(void)state;
	peer_black_hole(&address, fds);
	task_abandoned(&address, 100);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_fds(before);
}

static void test_abandon_in_handshake(void **state)
{
	static const enum peer_script scripts[] = { PEER_SILENT, PEER_STALL_OPTION,
						    PEER_STALL_PARTIAL, PEER_DRIP };
	int before = peer_count_fds();
	struct dial_address address;
	struct peer peer;

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		peer = peer_script(scripts[i], peer_listen(AF_INET, NULL, 8, &address));
		task_abandoned(&address, 100);
		/* The server sees it at once, not at the deadline. */
		assert_int_equal(peer_event(&peer, 1000), 'C');
		assert_int_equal(peer_event(&peer, 1000), 'E');
		peer_stop(&peer);
		assert_fds(before);
	}
}

static void test_abandon_when_done(void **state)
{
	int before = peer_count_fds();
	struct dial_address address;
	struct peer peer = peer_script(PEER_SERVE, peer_listen(AF_INET, NULL, 8, &address));

	(void)state;
	task_abandoned(&address, 300);
	peer_stop(&peer);
	assert_fds(before);
}

/* At no chosen moment: whatever the two threads are doing. */
static void test_abandon_anywhere(void **state)
{
	int before = peer_count_fds();
	struct dial_address address;
	struct peer peer = peer_exec(nbdkit, peer_listen(AF_INET, NULL, 64, &address));

	(void)state;
	for (uint32_t i = 0; i < 60; i++) {
		struct dial_options options = { .target = &target,
						.timeout_ms = 20000,
						.addresses = &address,
						.addresses_count = 1 };
		struct dial_task *task;

		assert_int_equal(dial_task_start(&options, &task), 0);
		usleep(i * 50);
		dial_task_abandon(task);
	}
	assert_fds(before);
	peer_stop(&peer);
}

/* --- the rest ----------------------------------------------------------------------------------- */

static int forget_target(void **state)
{
	(void)state;
	memset(&target, 0, sizeof(target));
	return 0;
}

static int make_directory(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = { "nbdkit.sock",	"qemu.img",	  "nbd-server.conf",
					     "nbd-server.sock", "nbd-server.img", "nbd-server.pid",
					     "nothing.sock",	"full.sock" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_in(names[i]));
	return rmdir(directory);
}

#define TEST(f) cmocka_unit_test_setup(f, forget_target)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ipv4),
		TEST(test_ipv6),
		TEST(test_tcp_options),
		TEST(test_unix),
		TEST(test_abstract),
		TEST(test_vsock),
		TEST(test_targets),
		TEST(test_qemu),
		TEST(test_nbd_server),
		TEST(test_info),
		TEST(test_asks_less),
		TEST(test_info_asks_less_in_all),
		TEST(test_asks_less_but_twice),
		TEST(test_refused),
		TEST(test_garbage),
		TEST(test_oldstyle),
		TEST(test_stalls),
		TEST(test_unix_queue_full),
		TEST(test_no_tls_no_export),
		TEST(test_first_refused),
		TEST(test_first_dead),
		TEST(test_all_dead),
		TEST(test_refusal_is_final),
		TEST(test_resolve),
		TEST(test_slow_name_is_bounded),
		TEST(test_task),
		TEST(test_abandon_in_resolve),
		TEST(test_abandon_in_connect),
		TEST(test_abandon_in_handshake),
		TEST(test_abandon_when_done),
		TEST(test_abandon_anywhere),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
