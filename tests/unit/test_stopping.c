/* SPDX-License-Identifier: MIT */
/*
 * Goal: what a SIGTERM does to a disk depends on how far its stop is and on what the sender can know: a disk
 * in use is not taken away by two signals that mean one, and a second one that is meant ends it.
 * Method: stopping.c with an attendant that only notes what it is asked for; the moments of what came before
 * are set, so that nothing waits.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/disk/serve.h"
#include "tls/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TIMEOUT_MS   10000
#define NEVER	     (-1)
/* A test that is held up by a busy machine is still on the right side of a limit. */
#define SLACK_MS 100

static struct disk disk;
static struct serve serve;
static int starts, answer_result;

/* In place of stop.c. */
int stopper_start(struct disk *of, bool force, bool *hurried)
{
	(void)force;
	*hurried = false;
	of->stopper_running = true;
	of->state = DISK_STOPPING;
	starts++;
	return 0;
}

int stopper_finish(struct disk *of, struct attendant_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	of->stopper_running = false;
	if (answer_result == 0)
		of->stopped = true;
	else
		of->state = DISK_LIVE;
	return answer_result;
}

static int reset(void **state)
{
	(void)state;
	memset(&disk, 0, sizeof(disk));
	memset(&serve, 0, sizeof(serve));
	disk.state = DISK_LIVE;
	disk.config.timeout_ms = TIMEOUT_MS;
	disk.client_shared.timeout_ms = TIMEOUT_MS;
	serve.disk = &disk;
	serve.reconnect.disk = &disk;
	starts = 0;
	return 0;
}

static int64_t ago(int ms)
{
	return ms == NEVER ? 0 : clock_now_ms() - ms;
}

static void one_signal_each(void **state)
{
	enum { LIVE, STOPPING, STOPPED };
	static const struct {
		const char *what;
		int stage, signalled_ago_ms, began_ago_ms, refused_ago_ms;
		bool starts, forced, insisted;
	} cases[] = {
		{ "the first", LIVE, NEVER, NEVER, NEVER, true, false, false },
		{ "once it was refused", LIVE, 1000, 1000, 300, true, true, false },
		{ "refused long ago", LIVE, 6000, 6000, 5000 + SLACK_MS, true, false, false },
		{ "at the same moment", STOPPING, 50, 50, NEVER, false, false, false },
		{ "too soon to be meant", STOPPING, 300, 300, NEVER, false, false, false },
		{ "before it is known", STOPPING, 700, 700, NEVER, false, false, true },
		{ "just before it is known", STOPPING, 2800, 2800, NEVER, false, false, true },
		{ "while the server is waited for", STOPPING, 3000, 3000, NEVER, false, true,
		  false },
		{ "much later", STOPPING, 60000, 60000, NEVER, false, true, false },
		{ "the first, beside a disconnect", STOPPING, NEVER, 1000, NEVER, false, false,
		  false },
		{ "the first, and late", STOPPING, NEVER, 20000, NEVER, false, false, false },
		{ "refused, then a disconnect", STOPPING, 2000, 100, 1000, false, true, false },
		{ "during the last flush", STOPPED, 1000, 1000, NEVER, false, true, false },
		{ "the first, in the last flush", STOPPED, NEVER, 1000, NEVER, false, false,
		  false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		reset(state);
		disk.state = cases[i].stage == LIVE ? DISK_LIVE : DISK_STOPPING;
		disk.stopped = cases[i].stage == STOPPED;
		disk.stopper_running = cases[i].stage == STOPPING;
		serve.signal_ms = ago(cases[i].signalled_ago_ms);
		serve.stop_signalled = serve.signal_ms && cases[i].stage != LIVE;
		serve.stop_began_ms = ago(cases[i].began_ago_ms);
		serve.refused_ms = ago(cases[i].refused_ago_ms);
		serve.stop_deadline_ms = INT64_MAX;
		stopping_signal(&serve);
		if (starts != cases[i].starts || serve.stop_forced != cases[i].forced ||
		    (serve.stop_insisted && !serve.stop_forced) != cases[i].insisted)
			fail_msg("%s: starts %d, forced %d, insisted %d", cases[i].what, starts,
				 serve.stop_forced, serve.stop_insisted);
		if (cases[i].forced)
			assert_in_range(serve.stop_deadline_ms - clock_now_ms(), 5000 - SLACK_MS,
					5000);
	}
}

/* Refused once and said so; then the next signal is meant. */
static void a_disk_in_use_is_refused_once(void **state)
{
	(void)state;
	answer_result = -EBUSY;
	stopping_signal(&serve);
	stopping_answered(&serve);
	assert_int_equal(disk.state, DISK_LIVE);
	assert_int_equal(starts, 1);
	assert_int_not_equal(serve.refused_ms, 0);
	/* Two senders at the same moment. */
	stopping_signal(&serve);
	assert_int_equal(starts, 1);
	serve.signal_ms -= 200;
	stopping_signal(&serve);
	assert_int_equal(starts, 2);
	assert_true(serve.stop_forced);
}

static void a_disk_in_use_is_forced_for_who_insists(void **state)
{
	(void)state;
	answer_result = -EBUSY;
	stopping_signal(&serve);
	serve.signal_ms -= 700;
	stopping_signal(&serve);
	assert_false(serve.stop_forced);
	stopping_answered(&serve);
	assert_int_equal(serve.refused_ms, 0);
	assert_int_equal(starts, 2);
	assert_true(serve.stop_forced);
}

/* A signal of long ago, which was refused, is not the first of another's stop. */
static void an_old_signal_is_forgotten(void **state)
{
	(void)state;
	answer_result = -EBUSY;
	stopping_signal(&serve);
	stopping_answered(&serve);
	serve.signal_ms -= 3600000;
	serve.refused_ms -= 3600000;
	stopping_begin(&serve, false, 0); /* a disconnect */
	serve.stop_began_ms -= 4000;
	stopping_signal(&serve);
	assert_false(serve.stop_forced);
	assert_false(serve.stop_insisted);
	serve.signal_ms -= 700;
	stopping_signal(&serve);
	assert_true(serve.stop_forced);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_signal_each, reset),
		cmocka_unit_test_setup(a_disk_in_use_is_refused_once, reset),
		cmocka_unit_test_setup(a_disk_in_use_is_forced_for_who_insists, reset),
		cmocka_unit_test_setup(an_old_signal_is_forgotten, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
