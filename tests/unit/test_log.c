/* SPDX-License-Identifier: MIT */
/*
 * Goal: a message is one line with the program's or the journal's prefix and the device. However often
 * a peer provokes one, no more lines than the limit allows go out in an interval, and none is lost in
 * silence: the next line that passes says how many were held back. Whoever logs waits for nobody once it
 * has a writer, which ends with it. Method: a pipe as stderr; limits of a
 * short and of a long interval, asked more often than they allow.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "gateway/common/log.h"
#include "gateway/common/log_ring.h"
#include "tls/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define INTERVAL_MS  200

/* How many of count lines pass; each of them says that held were held back before it. */
static uint32_t passed(struct log_limit *limit, uint32_t count, uint32_t held_wanted)
{
	uint32_t passes = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t held = 12345;

		if (!log_limit_pass(limit, &held)) {
			assert_int_equal(held, 12345);
			continue;
		}
		assert_int_equal(held, passes ? 0 : held_wanted);
		passes++;
	}
	return passes;
}

static void a_burst_passes_and_no_more(void **state)
{
	static const uint32_t bursts[] = { 1, 2, 10, 1000 };

	(void)state;
	for (size_t i = 0; i < COUNT(bursts); i++) {
		struct log_limit limit = { .burst = bursts[i], .interval_ms = 3600000 };

		assert_int_equal(passed(&limit, bursts[i], 0), bursts[i]);
		assert_int_equal(passed(&limit, 500, 0), 0);
		assert_int_equal(limit.held, 500);
	}
}

/* Until something is held back, however much time a busy machine takes for it. */
static void flood(struct log_limit *limit)
{
	uint32_t held;

	do
		log_limit_pass(limit, &held);
	while (limit->held < 5);
}

static void the_next_interval_tells_what_was_held(void **state)
{
	struct log_limit limit = { .burst = 3, .interval_ms = INTERVAL_MS };

	(void)state;
	for (int round = 0; round < 3; round++) {
		uint32_t held_before;

		flood(&limit);
		held_before = limit.held;
		clock_pause_ms(INTERVAL_MS);
		assert_int_equal(passed(&limit, 1, held_before), 1);
	}
}

static void silence_is_nothing_held(void **state)
{
	struct log_limit limit = { .burst = 2, .interval_ms = INTERVAL_MS };

	(void)state;
	assert_int_equal(passed(&limit, 1, 0), 1);
	clock_pause_ms(INTERVAL_MS);
	assert_int_equal(passed(&limit, 1, 0), 1);
}

static void the_places_limits_are_apart(void **state)
{
	struct log_limit one = LOG_LIMIT_INIT, other = LOG_LIMIT_INIT;

	(void)state;
	assert_int_equal(passed(&one, 100, 0), one.burst);
	assert_int_equal(passed(&other, 1, 0), 1);
	assert_int_equal(one.held, 100 - one.burst);
	assert_int_equal(other.held, 0);
}

static void nothing_held_is_not_said(void **state)
{
	(void)state;
	assert_string_equal(log_limit_held_text(0), "");
	assert_string_equal(log_limit_held_text(1), "; 1 such message was held back");
	assert_string_equal(log_limit_held_text(2), "; 2 such messages were held back");
}

/* What a child that logs leaves in the pipe that is its stderr. */
static void logged(void (*log)(void), char *text, size_t text_bytes)
{
	int ends[2], status;
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		log();
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], text + used, text_bytes - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void log_some(void)
{
	errno = EDOM;
	log_warning("before there is a device");
	log_set_device("ublkb7");
	log_error("queue %u tag %u: the server failed command %u: %s", 1, 5, 0, strerror(EIO));
	log_info("said");
	log_debug("not said");
	if (errno != EDOM)
		_exit(1);
}

static void log_to_a_person(void)
{
	log_open("ublk-nbd-disk", false, false);
	log_some();
}

static void log_to_the_journal(void)
{
	log_open("ublk-nbd-disk", true, true);
	log_some();
}

static void lines_say_program_and_device(void **state)
{
	char text[1000];

	(void)state;
	logged(log_to_a_person, text, sizeof(text));
	assert_string_equal(text,
			    "ublk-nbd-disk: before there is a device\n"
			    "ublk-nbd-disk: ublkb7: queue 1 tag 5: the server failed command 0: "
			    "Input/output error\n"
			    "ublk-nbd-disk: ublkb7: said\n");
}

static void the_journal_gets_levels(void **state)
{
	char text[1000];

	(void)state;
	logged(log_to_the_journal, text, sizeof(text));
	assert_string_equal(text, "<4>before there is a device\n"
				  "<3>ublkb7: queue 1 tag 5: the server failed command 0: "
				  "Input/output error\n"
				  "<6>ublkb7: said\n"
				  "<7>ublkb7: not said\n");
}

/* More than a pipe holds, and nobody reads: it comes to an end, and the next line says what is missing. */
static void nobody_who_does_not_read_is_waited_for(void **state)
{
	int ends[2], status, flags;
	char text[2000] = "";
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		dup2(ends[1], STDERR_FILENO);
		log_open("x", false, false);
		for (int i = 0; i < 1000; i++)
			log_error("a line that is a hundred bytes long: %060d", i);
		/* The test's reading makes room; what was lost is known here alone. */
		flags = fcntl(ends[0], F_GETFL);
		fcntl(ends[0], F_SETFL, flags | O_NONBLOCK);
		while (read(ends[0], text, sizeof(text)) > 0)
			;
		log_error("the next");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_ptr_equal(strstr(text, "x: the next ("), text);
	assert_true(strtol(text + strlen("x: the next ("), NULL, 10) > 900);
	assert_non_null(strstr(text, " lines lost before)\n"));
	close(ends[0]);
	close(ends[1]);
}

/* --- after log_detach() --------------------------------------------------------------------------- */

#define LINES 1000

/* Lines that a child of ours logs once its stderr, a pipe, is detached; then it ends as end says. Returns our end of
 * the pipe, and in *writer the process that writes. */
static int detached(int lines, bool pipe_is_full, int end, pid_t *writer)
{
	char filler[4096] = "", path[64], digits[32] = "";
	int ends[2], told[2], status;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	if (pipe_is_full)
		assert_int_equal(write(ends[1], filler, sizeof(filler)), sizeof(filler));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		log_open("x", false, false);
		if (log_detach(NULL))
			_exit(1);
		log_release_stderr();
		snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
		status = open(path, O_RDONLY | O_CLOEXEC);
		if (write(told[1], digits, (size_t)read(status, digits, sizeof(digits))) < 0)
			_exit(1);
		for (int i = 0; i < lines; i++)
			log_error("line %d of a hundred bytes: %060d", i, 0);
		fprintf(stderr, "a library's words\n");
		log_close(100);
		kill(getpid(), end);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(end ? WIFSIGNALED(status) && WTERMSIG(status) == end : status == 0);
	assert_true(read(told[0], digits, sizeof(digits) - 1) > 0);
	close(told[0]);
	close(told[1]);
	*writer = (pid_t)strtol(digits, NULL, 10);
	return ends[0];
}

/* All that comes out until the writer ends. */
static void read_all(int fd, char *text, size_t text_bytes)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, text + used, text_bytes - 1 - used)) > 0)
		used += (size_t)n;
	assert_int_equal(n, 0);
	text[used] = '\0';
	close(fd);
}

/* Of a process that nobody may reap. */
static bool has_ended(pid_t pid)
{
	char path[64], byte;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return readlink(path, &byte, 1) < 0;
}

static void a_killed_process_lines_go_out(void **state)
{
	static const int ends[] = { 0, SIGKILL };
	char text[8000];

	(void)state;
	for (size_t i = 0; i < COUNT(ends); i++) {
		pid_t writer;

		read_all(detached(20, false, ends[i], &writer), text, sizeof(text));
		assert_non_null(strstr(text, "x: line 0 of a hundred bytes: 0"));
		assert_non_null(strstr(text, "x: line 19 of a hundred bytes: 0"));
		assert_non_null(strstr(text, "a library's words\n"));
		assert_null(strstr(text, "lost"));
	}
}

/* A pipe that is full: the process logs to its end, and the writer ends soon after it. */
static void nobody_waits_for_a_full_pipe(void **state)
{
	pid_t writer;
	int fd = detached(LINES, true, SIGKILL, &writer);

	(void)state;
	for (int i = 0; i < 500 && !has_ended(writer); i++)
		clock_pause_ms(10);
	assert_true(has_ended(writer));
	close(fd);
}

/* Each line is out, or counted. */
static void every_lost_line_is_told(void **state)
{
	static char text[200000];
	long told = 0, out = 0;
	pid_t writer;
	const char *at;

	(void)state;
	read_all(detached(LINES, true, 0, &writer), text, sizeof(text));
	for (at = text + 4096; (at = strstr(at, "x: line ")) != NULL; at++)
		out++;
	for (at = text + 4096; (at = strstr(at, " lines lost before)")) != NULL; at++) {
		const char *open = at;

		while (*open != '(')
			open--;
		told += strtol(open + 1, NULL, 10);
	}
	for (at = text + 4096; (at = strstr(at, " lines were lost here")) != NULL; at++) {
		const char *open = at;

		while (*open != ':')
			open--;
		told += strtol(open + 1, NULL, 10);
	}
	assert_in_range(out, 1, LINES - 1);
	assert_int_equal(out + told, LINES);
}

/* Somebody was killed between taking a place and putting the line. */
static void a_gap_is_passed(void **state)
{
	struct log_ring *ring = log_ring_create();
	char text[LOG_LINE_BYTES_MAX];

	(void)state;
	atomic_fetch_add(&ring->tail, 1);
	for (int i = 1; i < LOG_RING_LINES; i++)
		assert_true(log_ring_put(ring, "line", 4));
	assert_false(log_ring_put(ring, "more", 4));
	assert_int_equal(log_ring_look(ring, text), 0);
	assert_true(log_ring_is_held_up(ring));
	log_ring_pass(ring);
	for (int i = 1; i < LOG_RING_LINES; i++) {
		assert_int_equal(log_ring_look(ring, text), 4);
		log_ring_drop(ring);
	}
	assert_true(log_ring_is_empty(ring));
	assert_false(log_ring_is_held_up(ring));
	log_ring_pass(ring);
	for (int i = 0; i < 3 * LOG_RING_LINES; i++) {
		assert_true(log_ring_put(ring, "again", 5));
		assert_int_equal(log_ring_look(ring, text), 5);
		log_ring_drop(ring);
	}
	munmap(ring, sizeof(*ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_process_lines_go_out),
		cmocka_unit_test(nobody_waits_for_a_full_pipe),
		cmocka_unit_test(every_lost_line_is_told),
		cmocka_unit_test(a_gap_is_passed),
		cmocka_unit_test(lines_say_program_and_device),
		cmocka_unit_test(the_journal_gets_levels),
		cmocka_unit_test(nobody_who_does_not_read_is_waited_for),
		cmocka_unit_test(a_burst_passes_and_no_more),
		cmocka_unit_test(the_next_interval_tells_what_was_held),
		cmocka_unit_test(silence_is_nothing_held),
		cmocka_unit_test(nothing_held_is_not_said),
		cmocka_unit_test(the_places_limits_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
