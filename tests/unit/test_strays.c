/* SPDX-License-Identifier: MIT */
/*
 * Goal: once stray signals are ignored, none that somebody sends ends the process but SIGKILL and those
 * that the caller takes; what goes wrong in the process itself still ends it. Method: children that send
 * themselves each signal, abort, read through a null pointer, and have a handler of their own.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "gateway/common/strays.h"

#define SIGNALS 64

static volatile sig_atomic_t handled;

static void handle(int number)
{
	handled = number;
}

/* How a child ends that ignores strays and does this; argument: a signal. */
static int status_of(void (*act)(int number), int argument)
{
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		for (int number = 1; number <= SIGNALS; number++)
			signal(number, SIG_DFL); /* cmocka's handlers */
		signal(SIGUSR2, handle);
		strays_ignore();
		act(argument);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void send(int number)
{
	if (kill(getpid(), number))
		_exit(1);
}

static void give_up(int number)
{
	(void)number;
	abort();
}

static void read_nothing(int number)
{
	int *volatile nowhere = NULL;

	_exit(*nowhere + number);
}

static void keep_handler(int number)
{
	kill(getpid(), number);
	_exit(handled == number ? 0 : 1);
}

static void no_stray_ends_it(void **state)
{
	(void)state;
	for (int number = 1; number <= SIGNALS; number++) {
		int status;

		if (number == SIGKILL || number == SIGSTOP || number == SIGTERM ||
		    number == SIGINT || number == SIGHUP || number == SIGTSTP ||
		    number == SIGTTIN || number == SIGTTOU || number == SIGSYS)
			continue;
		status = status_of(send, number);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail_msg("signal %d: status %x", number, status);
	}
}

static void the_callers_are_left(void **state)
{
	static const int left[] = { SIGTERM, SIGINT, SIGHUP, SIGSYS };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(status_of(send, left[i]), left[i]);
	assert_int_equal(status_of(keep_handler, SIGUSR2), 0);
}

static void a_fault_of_its_own_ends_it(void **state)
{
	(void)state;
	assert_int_equal(status_of(give_up, 0), SIGABRT);
	assert_int_equal(status_of(read_nothing, 0), SIGSEGV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_stray_ends_it),
		cmocka_unit_test(the_callers_are_left),
		cmocka_unit_test(a_fault_of_its_own_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
