/* SPDX-License-Identifier: MIT */
/*
 * control_server.h - the daemon's end of the control socket (gateway/common/runtime_dir.h): JSON
 * lines from root or our own user. Non-blocking throughout; a client that does not read what it
 * asked for, or never finishes a line, is dropped; at once, when another wants its place. Main thread only.
 */
#ifndef GATEWAY_DISK_CONTROL_SERVER_H
#define GATEWAY_DISK_CONTROL_SERVER_H

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/exit_code.h"

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_POLLFDS_MAX (CONTROL_CLIENTS_MAX + 1)
/* Of a request: a verb and what it is to do. All clients' room is there from the beginning, and locked. */
#define CONTROL_LINE_BYTES_MAX (4u << 10)

/* Names a client that waits for its answer; 0 is nobody's. Stays unanswered when it has left. */
typedef uint64_t control_client_id;

/* A request arrived: a JSON object with a string "verb". Answer with control_server_reply(), now or
 * later; until then the client's further lines wait. */
typedef void (*control_request_fn)(void *context, control_client_id client, const char *verb,
				   const json_t *request);

struct control_server;

/* Listens on N.sock, replacing one that nobody listens on. 0 or -errno. */
int control_server_open(struct control_server **out, uint32_t number, control_request_fn take,
			void *context);
/* Fills up to CONTROL_POLLFDS_MAX entries; returns how many. */
uint32_t control_server_poll_fill(struct control_server *server, struct pollfd *fds);
/* After poll(): the same entries. Serves at most one line of each client. */
void control_server_poll_take(struct control_server *server, const struct pollfd *fds,
			      uint32_t count);
/* Whether lines are there that poll() does not tell of: poll_take() is due at once. */
bool control_server_has_lines(const struct control_server *server);
/* The daemon did not run for so long: clients have so much more time. */
void control_server_forgive(struct control_server *server, int64_t absence_ms);
/* Drops clients that are too slow at now_ms (clock_now_ms()); to be called at least each second while there
 * are any. True when there are. */
bool control_server_expire(struct control_server *server, int64_t now_ms);

/* Whether the client is still there. */
bool control_server_has(struct control_server *server, control_client_id id);

/* Takes over answer (NULL: out of memory, said so). */
void control_server_reply(struct control_server *server, control_client_id id, json_t *answer);
void control_server_reply_error(struct control_server *server, control_client_id client, int error,
				enum exit_code exit_code, const char *sentence);

/* No new clients; those there stay. The socket's file goes with the disk's other files (state_file.h). */
void control_server_stop_listening(struct control_server *server);
/* Gives what was answered up to wait_ms to leave, then closes everything. */
void control_server_close(struct control_server *server, uint32_t wait_ms);

#endif
