/* SPDX-License-Identifier: MIT */
/*
 * systemd.h - what we tell systemd: our log, and that a service is ready. libsystemd does it. It is loaded only
 * where there is a journal or a supervisor to tell, as it brings six more libraries: they take as long to load as
 * all else that a verb does. Without it nobody is told, and the log goes to a file.
 */
#ifndef GATEWAY_CLI_SYSTEMD_H
#define GATEWAY_CLI_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>

/* Whether there is a journal to log to, and the library to do it. */
bool systemd_has_journal(void);

/*
 * sd_journal_stream_fd(3): each line that is written to it is a message of this identifier, with the level info unless
 * it begins with another ("<3>"). The caller owns the descriptor. -ENOENT: systemd_has_journal() is false.
 */
int systemd_journal_open(const char *identifier);

/*
 * sd_notify(3): tells whoever supervises us (NOTIFY_SOCKET), if anybody does, a state ("READY=1", less than 200 bytes).
 * A thread does it, since it waits for a supervisor that does not read, and for the file of a library that is not
 * loaded yet: nothing here waits but for what systemd_notify() was given before, for half a second, after which the
 * new state is dropped. One thread may call it.
 */
void systemd_notify(const char *state);

/* Waits until the supervisor has been told, up to timeout_ms. false: the thread still tries. The process must then
 * end by _exit(), as that thread may be in the midst of loading. */
bool systemd_notify_wait(uint32_t timeout_ms);

#endif
