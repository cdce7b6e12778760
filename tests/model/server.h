/* SPDX-License-Identifier: MIT */
/*
 * server.h - the server that the client under test talks to: one thread, all its connections, one disk.
 */
#ifndef TESTS_MODEL_SERVER_H
#define TESTS_MODEL_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/model/plan.h"
#include "tests/model/store.h"
#include "tls/transport.h"

struct server;

struct server *server_start(const struct plan *plan);
/* A new connection; ended: the server has closed it already. Any thread. */
struct transport *server_connect(struct server *server, bool ended);
/* Ends its thread, and carries out all that was left behind. The client has closed its connections. */
void server_stop(struct server *server);
/* Connections that ended without DISC although the server gave no reason to condemn them. It has stopped. */
uint32_t server_unexplained(const struct server *server);
/* It has stopped. */
void server_free(struct server *server);

/* The client's clock, by which the server waits, too. */
void server_set_time(struct server *server, int64_t now_ms);
/* How often it did all that there was to do. */
uint64_t server_turns(struct server *server);
/* Whether the last time that was nothing. */
bool server_is_idle(struct server *server);
struct store *server_store(struct server *server);

#endif
