/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever a daemon says, or fails to say, on its control socket or while it starts, the command
 * line comes to an end in time and with the right outcome.
 * Method: a thread plays the daemon: answers in pieces, with garbage, endlessly, not at all, hangs
 * up. For the ready conversation it writes into the socket pair that daemon_start() would have made.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/control_client.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/ready_reader.h"
#include "gateway/common/server_tag.h"
#include "tests/unit/runtime_folder.h"
#include "tls/clock.h"

#define NUMBER	   5
#define TAG	   0x756e0123456789abull
#define OLD_PID	   4321
#define TIMEOUT_MS 400
#define LATE_MS	   3000

static int interrupt_fd;

/* How a daemon of this disk, of another, and of version 0.1.0 answers `status`. */
#define OF_OURS	 "{\"ok\": true, \"status\": {\"number\": 5, \"identity\": \"756e0123456789ab\"}}\n"
#define OF_OTHER "{\"ok\": true, \"status\": {\"number\": 5, \"identity\": \"756e0123456789ac\"}}\n"
#define OF_OLD	 "{\"ok\": true, \"status\": {\"number\": 5, \"pid\": 4321}}\n"

/* What the daemon's part says: who it is, once it was asked something, and once it was asked more each piece
 * in a send of its own; then it hangs up, or stays. */
struct script {
	const char *identity; /* NULL: it says nothing of that */
	uint32_t heard;	      /* lines */
	int fd;		      /* listening, or one end of a pair */
	const char *pieces[8];
	size_t repeat; /* the last piece so often again */
	bool stay;     /* until the other side hangs up */
};

static void play(const struct script *script, int fd)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	char byte;
	size_t last = 0;

	for (size_t i = 0; script->pieces[i]; i++) {
		nanosleep(&pause, NULL);
		last = i;
		if (send(fd, script->pieces[i], strlen(script->pieces[i]), MSG_NOSIGNAL) < 0)
			return;
	}
	for (size_t i = 0; i < script->repeat; i++) {
		if (send(fd, script->pieces[last], strlen(script->pieces[last]), MSG_NOSIGNAL) < 0)
			return;
	}
	while (script->stay && recv(fd, &byte, 1, 0) > 0)
		;
}

/* A line from the other side; false: it has hung up. */
static bool hear_line(struct script *script, int fd)
{
	char byte = 0;

	while (byte != '\n')
		if (recv(fd, &byte, 1, 0) != 1)
			return false;
	script->heard++;
	return true;
}

static void *play_server(void *argument)
{
	struct script *script = argument;
	int fd = accept(script->fd, NULL, NULL);

	if (fd < 0)
		return NULL;
	if (!script->identity ||
	    (hear_line(script, fd) &&
	     send(fd, script->identity, strlen(script->identity), MSG_NOSIGNAL) > 0 &&
	     hear_line(script, fd)))
		play(script, fd);
	/* What was not read yet would turn the hang-up into a reset that eats the answer. */
	shutdown(fd, SHUT_WR);
	while (recv(fd, (char[256]){ 0 }, 256, 0) > 0)
		;
	close(fd);
	return NULL;
}

static void *play_ready(void *argument)
{
	const struct script *script = argument;

	play(script, script->fd);
	close(script->fd);
	return NULL;
}

/* --- the control conversation ------------------------------------------------------------------ */

/* Where a daemon of this version listens, or one of 0.1.0. */
static int listen_as_daemon_in(const char *folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s%s/%d.sock", runtime_folder, folder,
		 NUMBER);
	unlink(address.sun_path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int listen_as_daemon(void)
{
	return listen_as_daemon_in("/state");
}

/* Asks, and returns what control_client_call() does; within LATE_MS. */
static int ask(struct script *script, uint64_t tag, json_t **answer)
{
	int64_t started_ms = clock_now_ms();
	pthread_t thread;
	int result;

	*answer = NULL;
	script->fd = server_tag_is_old(tag) ? listen_as_daemon_in("") : listen_as_daemon();
	assert_int_equal(pthread_create(&thread, NULL, play_server, script), 0);
	result = control_client_call(NUMBER, tag, json_pack("{s:s}", "verb", "disconnect"),
				     TIMEOUT_MS, answer);
	assert_true(clock_now_ms() - started_ms < LATE_MS);
	pthread_join(thread, NULL);
	close(script->fd);
	return result;
}

static void test_answer_in_pieces(void **state)
{
	struct script script = { .identity = OF_OURS,
				 .pieces = { "{\"o", "k\": ", "true}", "\n", "more" } };
	json_t *answer;

	(void)state;
	assert_int_equal(ask(&script, TAG, &answer), 0);
	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
}

static void test_bad_answers(void **state)
{
	static const struct {
		struct script script;
		int result;
	} cases[] = {
		{ { .pieces = { "garbage\n" } }, -EPROTO },
		{ { .pieces = { "[]\n" } }, -EPROTO },
		{ { .pieces = { "\n" } }, -EPROTO },
		{ { .pieces = { "{\"ok\": true, \"ok\": false}\n" } }, -EPROTO },
		{ { .pieces = { "{\"ok\"" } }, -ECONNRESET },
		{ { .pieces = { NULL } }, -ECONNRESET },
		{ { .pieces = { "0123456789012345678901234567890123456789" }, .repeat = 2000 },
		  -EPROTO },
		{ { .pieces = { "{\"ok\"" }, .stay = true }, -ETIMEDOUT },
		{ { .pieces = { NULL }, .stay = true }, -ETIMEDOUT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = cases[i].script;
		json_t *answer;
		int result = ask(&script, TAG, &answer);

		if (result != cases[i].result)
			fail_msg("case %zu, who it is: %d, not %d", i, result, cases[i].result);
		assert_null(answer);
		script = cases[i].script;
		script.identity = OF_OURS;
		result = ask(&script, TAG, &answer);
		if (result != cases[i].result)
			fail_msg("case %zu: %d, not %d", i, result, cases[i].result);
		assert_null(answer);
	}
}

/* Nothing is asked of, or believed from, another disk's daemon. */
static void test_identity(void **state)
{
	static const struct {
		const char *identity;
		uint64_t tag;
		int result;
	} cases[] = {
		{ OF_OURS, TAG, 0 },
		{ OF_OTHER, TAG, -ESTALE },
		{ OF_OLD, TAG, -ESTALE },
		{ OF_OURS, 0, -ESTALE },
		{ "{\"ok\": true, \"status\": {\"number\": 6, \"identity\": "
		  "\"756e0123456789ab\"}}\n",
		  TAG, -ESTALE },
		{ "{\"ok\": true, \"status\": {\"number\": 5, \"identity\": 1}}\n", TAG, -ESTALE },
		{ "{\"ok\": true, \"status\": {}}\n", TAG, -ESTALE },
		{ "{\"ok\": true}\n", TAG, -EPROTO },
		{ "{\"ok\": false}\n", TAG, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = { .identity = cases[i].identity,
					 .pieces = { "{\"ok\": true}\n" } };
		json_t *answer;
		int result = ask(&script, cases[i].tag, &answer);

		if (result != cases[i].result || script.heard != (result ? 1 : 2))
			fail_msg("case %zu: %d after %u lines", i, result, script.heard);
		json_decref(answer);
	}
}

/* 0.1.0's daemons have no other identity than their own process number. */
static void test_old_identity(void **state)
{
	static const struct {
		const char *identity;
		pid_t pid;
		int result;
	} cases[] = {
		{ OF_OLD, OLD_PID, 0 },
		{ OF_OLD, OLD_PID + 1, -ESTALE },
		{ OF_OURS, OLD_PID, -ESTALE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = { .identity = cases[i].identity,
					 .pieces = { "{\"ok\": true}\n" } };
		json_t *answer;

		assert_int_equal(ask(&script, server_tag_of_old(cases[i].pid), &answer),
				 cases[i].result);
		json_decref(answer);
	}
}

static void test_tags(void **state)
{
	uint64_t one, two, read;
	char text[SERVER_TAG_TEXT_BYTES];

	(void)state;
	assert_int_equal(server_tag_draw(&one), 0);
	assert_int_equal(server_tag_draw(&two), 0);
	assert_true(one != two);
	assert_int_equal(one >> 48, two >> 48);
	assert_true(server_tag_is_ours(one) && !server_tag_is_old(one));
	server_tag_format(one, text);
	assert_true(server_tag_parse(text, &read));
	assert_true(read == one);
	assert_true(server_tag_is_ours(server_tag_of_old(7)));
	assert_true(server_tag_is_old(server_tag_of_old(7)));
	assert_int_equal(server_tag_old_pid(server_tag_of_old(7)), 7);
	/* What 0.1.0 gave ADD_DEV. */
	assert_true(server_tag_of_old(7) == 0x6e62647500000007ull);
	for (uint64_t foreign = 1; foreign; foreign <<= 1)
		assert_false(server_tag_is_ours(foreign));
	assert_false(server_tag_is_ours(SERVER_TAG_NONE));
	assert_false(server_tag_parse(NULL, &read));
	assert_false(server_tag_parse("", &read));
	assert_false(server_tag_parse("6e62647500000007", &read));
	assert_false(server_tag_parse("756e0123456789a", &read));
	assert_false(server_tag_parse("756e0123456789abc", &read));
	assert_false(server_tag_parse("756E0123456789AB", &read));
	assert_false(server_tag_parse("-56e0123456789ab", &read));
}

static void test_status(void **state)
{
	struct script good = { .pieces = { OF_OURS } };
	struct script bad = { .pieces = { "{\"ok\": false, \"error\": \"no\"}\n" } };
	pthread_t thread;
	json_t *status = NULL;

	(void)state;
	good.fd = listen_as_daemon();
	assert_int_equal(pthread_create(&thread, NULL, play_server, &good), 0);
	assert_int_equal(control_client_status(NUMBER, TAG, TIMEOUT_MS, &status), 0);
	assert_int_equal(json_integer_value(json_object_get(status, "number")), 5);
	/* Whatever it says its own number is. */
	assert_int_equal(json_integer_value(json_object_get(status, "pid")), getpid());
	json_decref(status);
	pthread_join(thread, NULL);
	close(good.fd);
	bad.fd = listen_as_daemon();
	assert_int_equal(pthread_create(&thread, NULL, play_server, &bad), 0);
	assert_int_equal(control_client_status(NUMBER, TAG, TIMEOUT_MS, &status), -EPROTO);
	pthread_join(thread, NULL);
	close(bad.fd);
}

static void test_nobody(void **state)
{
	json_t *answer = NULL;
	int error;

	(void)state;
	error = control_client_call(NUMBER + 1, TAG, json_object(), TIMEOUT_MS, &answer);
	assert_int_equal(error, -ENOENT);
	assert_true(control_client_is_dead(error));
	close(listen_as_daemon());
	error = control_client_call(NUMBER, TAG, json_object(), TIMEOUT_MS, &answer);
	assert_int_equal(error, -ECONNREFUSED);
	assert_true(control_client_is_dead(error));
	assert_false(control_client_is_dead(-ETIMEDOUT));
	assert_int_equal(control_client_call(NUMBER, TAG, NULL, TIMEOUT_MS, &answer), -ENOMEM);
}

/* A daemon whose backlog is full: connect(2) must not wait for ever. */
static void test_backlog(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fds[8], listener = listen_as_daemon();
	json_t *answer = NULL;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/state/%d.sock", runtime_folder,
		 NUMBER);
	for (size_t i = 0; i < 8; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
	}
	assert_int_equal(control_client_call(NUMBER, TAG, json_object(), TIMEOUT_MS, &answer),
			 -ETIMEDOUT);
	for (size_t i = 0; i < 8; i++)
		close(fds[i]);
	close(listener);
}

/* --- the ready conversation -------------------------------------------------------------------- */

static enum exit_code hear(struct script *script, json_t **status, bool *ended)
{
	struct daemon daemon = { .pid = -1, .pidfd = -1 };
	struct ready_reader reader = {
		.daemon = &daemon,
		.verb = "test",
		.interrupt_fd = interrupt_fd,
		.connect_timeout_ms = 1000,
	};
	enum exit_code exit_code;
	pthread_t thread;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	daemon.ready_fd = pair[0];
	script->fd = pair[1];
	assert_int_equal(pthread_create(&thread, NULL, play_ready, script), 0);
	exit_code = ready_reader_run(&reader, status, ended);
	close(pair[0]);
	pthread_join(thread, NULL);
	return exit_code;
}

static void test_ready(void **state)
{
	struct script script = {
		.pieces = { "{\"progress\": \"a\"}\n{\"warning\": \"b\"}\n{\"ok\"",
			    ": true, \"status\": {\"number\": 5}}\n" },
		.stay = true,
	};
	json_t *status = NULL;
	bool ended = false;

	(void)state;
	assert_int_equal(hear(&script, &status, &ended), EXIT_CODE_OK);
	assert_true(ended);
	assert_int_equal(json_integer_value(json_object_get(status, "number")), 5);
	json_decref(status);
}

static void test_not_ready(void **state)
{
	static const struct {
		struct script script;
		enum exit_code exit_code;
		bool ended;
	} cases[] = {
		{ { .pieces = { "{\"ok\": false, \"exit\": 3, \"error\": \"no\"}\n" } },
		  EXIT_CODE_UNREACHABLE,
		  true },
		{ { .pieces = { "{\"ok\": false, \"exit\": 0}\n" } }, EXIT_CODE_FAILURE, true },
		{ { .pieces = { "{\"ok\": false, \"exit\": 999}\n" } }, EXIT_CODE_FAILURE, true },
		{ { .pieces = { "{\"ok\": false}\n" }, .stay = true }, EXIT_CODE_FAILURE, true },
		{ { .pieces = { NULL } }, EXIT_CODE_FAILURE, false },
		{ { .pieces = { "garbage\n", "{\"progress\": 1}\n", "{\"ok\": tr" } },
		  EXIT_CODE_FAILURE,
		  false },
		{ { .pieces = { "no end of this line " }, .repeat = 20000 },
		  EXIT_CODE_FAILURE,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = cases[i].script;
		json_t *status = NULL;
		bool ended = true;
		enum exit_code exit_code = hear(&script, &status, &ended);

		if (exit_code != cases[i].exit_code || ended != cases[i].ended)
			fail_msg("case %zu: %d, %d", i, (int)exit_code, (int)ended);
		assert_null(status);
	}
}

static void test_ready_interrupted(void **state)
{
	struct script script = { .pieces = { "{\"progress\": \"a\"}\n" }, .stay = true };
	json_t *status = NULL;
	bool ended = true;

	(void)state;
	raise(SIGTERM);
	assert_int_equal(hear(&script, &status, &ended), EXIT_CODE_INTERRUPTED);
	assert_false(ended);
	assert_int_equal(interrupt_take(interrupt_fd), 0);
}

static int set_up(void **state)
{
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (runtime_folder_make(state))
		return -1;
	interrupt_fd = interrupt_open();
	/* The complaints are tested elsewhere. */
	return interrupt_fd < 0 || null_fd < 0 || dup2(null_fd, STDERR_FILENO) < 0 ? -1
										   : close(null_fd);
}

static int tear_down(void **state)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/state/%d.sock", runtime_folder, NUMBER);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%d.sock", runtime_folder, NUMBER);
	unlink(path);
	return runtime_folder_remove(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_in_pieces),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_old_identity),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_not_ready),
		cmocka_unit_test(test_ready_interrupted),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
