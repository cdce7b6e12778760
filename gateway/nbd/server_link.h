/* SPDX-License-Identifier: MIT */
/*
 * server_link.h - whether a disk has its server, for all of its queues together. Queues report, each from its
 * own thread; the main thread (gateway/disk/reconnect.h) moves the state and dials.
 *
 *   ONLINE ---LOST: no connection works------> WAITING ---EXPIRED: --dead-timeout---> FAILING
 *      ^                                          |                                      |
 *      +--------------MADE: a connection works----+--------------------------------------+
 *
 *   ONLINE    at least one connection works; lost places are dialled again
 *   WAITING   requests wait in their slots
 *   FAILING   what waited has failed, and new requests fail at once; dialling goes on
 *
 * The time of --dead-timeout begins when the last connection is lost, and ends with an answered request, not
 * with a handshake: a server that accepts and closes is as good as none. So LOST leads to FAILING where that
 * time is over.
 */
#ifndef GATEWAY_NBD_SERVER_LINK_H
#define GATEWAY_NBD_SERVER_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum link_state { LINK_ONLINE, LINK_WAITING, LINK_FAILING };
enum link_event { LINK_LOST, LINK_EXPIRED, LINK_MADE };

struct server_link {
	_Atomic(enum link_state) state; /* written by the main thread alone */
	/* Requests wait for a connection; else they fail when the last one is lost. */
	_Atomic bool waits;
	int event_fd; /* eventfd that the main thread reads: something below, or a connection, has changed; -1 */
	/* A connection was lost or made, and no request has been answered since. */
	_Atomic bool unproven;
	/* Changes that the server acknowledged without FUA, and how many of them are known to be durable. Where
	 * the server has no FLUSH nothing is counted. */
	bool counts_unflushed; /* constant */
	bool trusts_server; /* --server-cache=stable: what it acknowledged is not lost. Constant */
	_Atomic uint64_t acknowledged, durable;
	/* Acknowledged writes may be lost with the server's cache, or somebody was told so: each FLUSH fails
	 * until the user says what is to be done. */
	_Atomic bool flush_fails;
};

/* ONLINE; requests do not wait. event_fd: borrowed, or -1. */
void server_link_init(struct server_link *link, int event_fd);
/* The state after the event; the only function that moves it, from one table. Main thread. */
enum link_state server_link_move(struct server_link *link, enum link_event event);
const char *server_link_state_name(enum link_state state);

/* Has the main thread look. Any thread. */
void server_link_notify(const struct server_link *link);
/* A connection was lost or made, and what that means for requests is settled. Any thread. */
void server_link_changed(struct server_link *link);
/* A request was answered; only where unproven. Any thread. */
void server_link_answered(struct server_link *link);

static inline enum link_state server_link_state(const struct server_link *link)
{
	return atomic_load_explicit(&link->state, memory_order_relaxed);
}

/* --- what is not flushed yet ------------------------------------------------------------------------- */

/* A change was acknowledged. Before its block request is done. */
static inline void server_link_acknowledge(struct server_link *link)
{
	if (link->counts_unflushed)
		atomic_fetch_add_explicit(&link->acknowledged, 1, memory_order_release);
}

/* To be read when a FLUSH is handed to a connection, and given to server_link_flushed() when it succeeded. */
static inline uint64_t server_link_flush_mark(const struct server_link *link)
{
	return atomic_load_explicit(&link->acknowledged, memory_order_acquire);
}

void server_link_flushed(struct server_link *link, uint64_t mark);

static inline uint64_t server_link_unflushed(const struct server_link *link)
{
	uint64_t durable = atomic_load(&link->durable);

	return atomic_load(&link->acknowledged) - durable;
}

#endif
