/* SPDX-License-Identifier: MIT */
#include "gateway/common/strays.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNALS 64

/* As the kernel has it (some have no restorer: only the handler is looked at). Its call rather than libc's, which leaves out
 * two signals that it keeps for itself and that end a process like the others. */
struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* Those that do not end a process by default, those that somebody takes, and SIGSYS: nobody sends it by mistake, and
 * it is how a daemon that hangs is made to end with a look at its state. */
static bool is_left(int number)
{
	static const int left[] = { SIGKILL, SIGSTOP,  SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD,
				    SIGURG,  SIGWINCH, SIGTERM, SIGINT,	 SIGHUP,  SIGSYS };

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		if (left[i] == number)
			return true;
	return false;
}

void strays_ignore(void)
{
	const struct kernel_action ignore = { .handler = (void *)SIG_IGN };

	for (int number = 1; number <= SIGNALS; number++) {
		struct kernel_action now = { 0 };

		if (is_left(number) ||
		    syscall(SYS_rt_sigaction, number, NULL, &now, sizeof(now.mask)) ||
		    now.handler != (void *)SIG_DFL)
			continue; /* a sanitizer's handler stays */
		syscall(SYS_rt_sigaction, number, &ignore, NULL, sizeof(ignore.mask));
	}
}
