/* SPDX-License-Identifier: MIT */
#include "gateway/cli/systemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "tls/clock.h"

#define LIBRARY	       "libsystemd.so.0"
#define JOURNAL_SOCKET "/run/systemd/journal/stdout"

#define STATE_BYTES    200
/* How long a state waits for the one before it. */
#define BEFORE_MS 500

/* --- the library ------------------------------------------------------------------------------------------ */

/* <systemd/sd-journal.h> and <systemd/sd-daemon.h> declare these; their ABI is that of libsystemd.so.0. */
static struct {
	int (*journal_stream_fd)(const char *identifier, int priority, int level_prefix);
	int (*notify)(int unset_environment, const char *state);
} library;

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_load(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!handle)
		return;
	*(void **)&library.journal_stream_fd = dlsym(handle, "sd_journal_stream_fd");
	*(void **)&library.notify = dlsym(handle, "sd_notify");
}

/* --- the journal ------------------------------------------------------------------------------------------ */

bool systemd_has_journal(void)
{
	if (access(JOURNAL_SOCKET, F_OK))
		return false;
	pthread_once(&library_once, library_load);
	return library.journal_stream_fd;
}

int systemd_journal_open(const char *identifier)
{
	return systemd_has_journal() ? library.journal_stream_fd(identifier, LOG_INFO, 1) : -ENOENT;
}

/* --- the supervisor --------------------------------------------------------------------------------------- */

static pthread_t teller;
static bool telling; /* teller has not been joined */
static char told[STATE_BYTES];

static void *tell(void *argument)
{
	(void)argument;
	pthread_once(&library_once, library_load);
	/* Whoever supervises us has a timeout of its own for what it is not told. */
	if (library.notify)
		library.notify(0, told);
	return NULL;
}

bool systemd_notify_wait(uint32_t timeout_ms)
{
	struct timespec deadline = clock_deadline(timeout_ms);

	telling = telling && pthread_clockjoin_np(teller, NULL, CLOCK_MONOTONIC, &deadline) != 0;
	return !telling;
}

void systemd_notify(const char *state)
{
	if (!secure_getenv("NOTIFY_SOCKET") || !systemd_notify_wait(BEFORE_MS))
		return;
	snprintf(told, sizeof(told), "%s", state);
	telling = pthread_create(&teller, NULL, tell, NULL) == 0;
}
