/* SPDX-License-Identifier: MIT */
/*
 * disk_state.h - how one disk is, from whoever can tell: its daemon, else its file, else the kernel.
 */
#ifndef GATEWAY_CLI_DISK_STATE_H
#define GATEWAY_CLI_DISK_STATE_H

#include <jansson.h>
#include <stdint.h>

/*
 * A new object: the STATUS of runtime_dir.h when the daemon answers; else as many of its fields as
 * the file tells, with "state" "dead" (the daemon is gone), "silent" (it runs and does not answer),
 * "starting" (it runs and has no socket yet) or "unseen" (the disk is served, but neither socket nor process
 * of its daemon is here: it has another runtime directory, or is in a container). "pid" is 0 where no
 * process is seen. NULL without memory. Takes up to
 * CONTROL_ALIVE_TIMEOUT_MS.
 *
 * A disk that its daemon calls "live" is "degraded" where some of its connections are lost. Where none is left it
 * is "waiting" (its I/O waits for the server), "failing" (it fails, at once) or "refused" (a server answers, and
 * does not have this disk; "server" says whether I/O waits). "connections_lost" is how many are lost,
 * "queues_cut_off" the numbers of the queues that have none.
 */
json_t *disk_state_full(uint32_t number);

/* The same, less: device, number, pid, state, name, link, link_shared_with, target, export, owner, size_bytes,
 * read_only, connections_live, connections_lost. Takes up to 2 s. */
json_t *disk_state_brief(uint32_t number);

/* Adds "link", "" where it has none, and where that is so because another disk has the same server, port and
 * export "link_shared_with", to a state of a disk; from its file, since the daemon does not know. */
void disk_state_add_link(json_t *state);

/* "state", or "unknown". */
const char *disk_state_word(const json_t *state);

#endif
