/* SPDX-License-Identifier: MIT */
/*
 * systemd.h - the two things that we tell systemd: where our log goes, and that a service is ready. They
 * are a line of text to a socket each; libsystemd would bring six more libraries for them.
 */
#ifndef GATEWAY_CLI_SYSTEMD_H
#define GATEWAY_CLI_SYSTEMD_H

#define SYSTEMD_JOURNAL_SOCKET "/run/systemd/journal/stdout"

/*
 * A stream into the journal, as sd_journal_stream_fd(3): each line that is written to it is a message of this
 * identifier, with the level info unless it begins with another ("<3>"). The caller owns the descriptor.
 * socket_path: SYSTEMD_JOURNAL_SOCKET, but for tests. -errno: there is no journal.
 */
int systemd_journal_open(const char *socket_path, const char *identifier);

/* Tells whoever supervises us (NOTIFY_SOCKET) the state ("READY=1"), as sd_notify(3), but never waits. 0: told, or
 * nobody wants to know; -EAGAIN: the supervisor has not read what it was sent before: try again later. */
int systemd_notify(const char *state);

#endif
