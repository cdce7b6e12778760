/* SPDX-License-Identifier: MIT */
/*
 * Goal: what reads keys has its memory locked before, all that is there and all that comes; and where a
 * limit stands against that, no allocation fails because of it.
 * Method: tls_protect_process() in a child each, which looks at its VmLck in /proc/self/status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tls/protect.h"

#define NOBODY	     65534
#define MORE_KIB     4096u
#define LIMIT_BYTES  (64u << 10)
#define PLENTY_BYTES (64u << 20)

enum { GOOD, BAD, SKIPPED = 77 };

static uint64_t locked_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	uint64_t kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "VmLck:", 6))
			kib = strtoull(line + 6, NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

static int with_permission(void)
{
	uint64_t before_kib;
	void *place;

	if (geteuid() != 0)
		return SKIPPED;
	tls_protect_process();
	before_kib = locked_kib();
	if (before_kib == 0)
		return BAD;
	place = mmap(NULL, MORE_KIB << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	return place != MAP_FAILED && locked_kib() >= before_kib + MORE_KIB ? GOOD : BAD;
}

/* Too little to lock all that comes: then nothing is locked, and what comes is given. */
static int with_a_limit(void)
{
	const struct rlimit limit = { LIMIT_BYTES, LIMIT_BYTES };
	void *place;

	if (geteuid() != 0)
		return SKIPPED;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 ||
	    setuid(NOBODY) < 0)
		return BAD;
	tls_protect_process();
	place = mmap(NULL, PLENTY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	return place != MAP_FAILED && locked_kib() == 0 ? GOOD : BAD;
}

static void in_a_child(int (*run)(void))
{
	pid_t pid;
	int status;

#ifdef __SANITIZE_ADDRESS__
	print_message("AddressSanitizer turns mlockall() into nothing\n");
	skip();
#endif
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED) {
		print_message("not root\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

static void memory_is_locked(void **state)
{
	(void)state;
	in_a_child(with_permission);
}

static void a_limit_hurts_nobody(void **state)
{
	(void)state;
	in_a_child(with_a_limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_locked),
		cmocka_unit_test(a_limit_hurts_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
