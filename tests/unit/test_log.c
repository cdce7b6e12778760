/* SPDX-License-Identifier: MIT */
/*
 * Goal: however often a peer provokes a message, no more lines than the limit allows go out in an
 * interval, and none is lost in silence: the next line that passes says how many were held back.
 * Method: limits of a short and of a long interval, asked more often than they allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "gateway/common/log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* The limit's clock is coarse: it lags by a tick, which may be 10 ms. */
#define INTERVAL_MS 200
#define LAG_MS	    50

static void sleep_ms(long ms)
{
	struct timespec nap = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&nap, NULL);
}

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
		sleep_ms(INTERVAL_MS + LAG_MS);
		assert_int_equal(passed(&limit, 1, held_before), 1);
	}
}

static void silence_is_nothing_held(void **state)
{
	struct log_limit limit = { .burst = 2, .interval_ms = INTERVAL_MS };

	(void)state;
	assert_int_equal(passed(&limit, 1, 0), 1);
	sleep_ms(INTERVAL_MS + LAG_MS);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_no_more),
		cmocka_unit_test(the_next_interval_tells_what_was_held),
		cmocka_unit_test(silence_is_nothing_held),
		cmocka_unit_test(the_places_limits_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
