/* SPDX-License-Identifier: MIT */
/*
 * Goal: a command that must end does so though what it looks at hangs, and the child that it leaves behind keeps
 * nothing of its caller's.
 * Method: a search for holders of our own in place of holders.c's: it answers, or never does.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/aside.h"
#include "gateway/cli/holders_aside.h"
#include "tls/clock.h"

#define SLACK_MS 3000

static bool hangs;

/* In place of holders.c. */
void holders_find(uint32_t number, struct holders *holders)
{
	while (hangs)
		pause();
	*holders = (struct holders){ .ours = true };
	snprintf(holders->text, sizeof(holders->text), "open in process %u", number);
}

static void a_search_that_answers_is_believed(void **state)
{
	struct holders holders = { .lasting = true };

	(void)state;
	hangs = false;
	holders_find_aside(7, &holders);
	assert_string_equal(holders.text, "open in process 7");
	assert_true(holders.ours);
	assert_false(holders.lasting);
	assert_int_equal(holders.closed, 0);
}

/* Without the child this would not come back. */
static void a_search_that_hangs_means_in_use(void **state)
{
	struct holders holders = { .text = "" };
	int64_t before_ms = clock_now_ms();

	(void)state;
	hangs = true;
	holders_find_aside(7, &holders);
	assert_in_range(clock_now_ms() - before_ms, HOLDERS_ASIDE_MS - 100,
			HOLDERS_ASIDE_MS + SLACK_MS);
	assert_non_null(strstr(holders.text, "cannot be told"));
	assert_true(holders.lasting);	 /* asked again, it would hang again */
	assert_true(holders.closed > 0); /* so that a forced removal does not promise too much */
}

struct seen {
	char output[64];
	int files; /* beside the first three */
};

static struct seen *seen;

static void look_at_files(const void *argument)
{
	(void)argument;
	if (readlink("/proc/self/fd/1", seen->output, sizeof(seen->output) - 1) < 0)
		seen->output[0] = '?';
	for (int fd = 3; fd < 256; fd++)
		seen->files += fcntl(fd, F_GETFD) >= 0;
}

static void the_child_has_none_of_our_files(void **state)
{
	int pair[2];

	(void)state;
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(seen, MAP_FAILED);
	assert_int_equal(pipe(pair), 0); /* as of a script that reads what we print */
	assert_int_equal(aside_run(look_at_files, NULL, clock_now_ms() + SLACK_MS), 0);
	assert_string_equal(seen->output, "/dev/null");
	assert_int_equal(seen->files, 0);
	close(pair[0]);
	close(pair[1]);
	munmap(seen, sizeof(*seen));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_search_that_answers_is_believed),
		cmocka_unit_test(a_search_that_hangs_means_in_use),
		cmocka_unit_test(the_child_has_none_of_our_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
