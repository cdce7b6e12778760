/* SPDX-License-Identifier: MIT */
/*
 * connection.h - the life of one connection.
 *
 *   DEAD --connection_open(), connection_replace()--> LIVE
 *   LIVE --condemned (error, deadline, protocol breach)--> CONDEMNED --every operation back--> DEAD
 *   LIVE --the server shuts down--> RETIRING --all answered, DISC sent; or condemned--> CONDEMNED
 *
 * RETIRING: the server answered a request with ESHUTDOWN, which asks for a soft disconnect (NBD
 * protocol, "Terminating the transmission phase"). It gets no new requests, answers those it has,
 * whose deadlines go on, and then leave.h sends DISC.
 * CONDEMNED: the socket is aborted and what the ring has of it is cancelled; no request is settled yet, since
 * an operation may still refer to its memory. DEAD: what had no final reply waits for another connection, or
 * has failed (settle.h); the object waits to be given another transport, or to be freed with its client.
 *
 * Queue thread only, but for open and close.
 */
#ifndef GATEWAY_NBD_CONNECTION_H
#define GATEWAY_NBD_CONNECTION_H

#include "gateway/nbd/client_state.h"

#define CONNECTION_DAMAGED_TEXT                                                                    \
	"what arrived is not a valid TLS record: damaged, forged or out of order"

/* Each connection has two places of the ring's registered files: the spare one is for the socket that is
 * to replace its own (replace.h). */
#define CONNECTION_FILES 2

static inline uint32_t connection_file_of(uint32_t index)
{
	return RING_FILE_BACKEND + index * CONNECTION_FILES;
}

/* What connection_open() takes of memory at most. */
uint64_t connection_memory_bytes_max(const struct nbd_client_shared *shared);
/* Takes over transport in every case. 0 or -errno. */
int connection_open(struct connection *connection, struct nbd_client *client, uint32_t index,
		    struct transport *transport);
/* Whether a connection, whose buffers are made for one kind of transport, could go on with this one, which
 * was detached. Any thread, while nobody replaces it. */
bool connection_fits(const struct connection *connection, const struct transport *transport);
/* A DEAD connection goes on with another transport, which it takes over: one that was detached, fits, and is
 * registered with the ring as file. Nothing is refused here any more. The former is the caller's. */
void connection_replace(struct connection *connection, struct transport *transport, uint32_t file);
/* --timeout is another one: the kernel's patience with the peer follows. */
void connection_follow_timeout(const struct connection *connection);
/* Closes the socket, and gives the memory back unless it is armed. Safe on a zeroed connection. */
void connection_close(struct connection *connection);

/* All moves of its state are made here, and checked. Those below make them; no one else calls it. */
void connection_move(struct connection *connection, enum connection_state to);
/* The server shuts down: LIVE becomes RETIRING; else nothing. */
void connection_retire(struct connection *connection);
/* Gives the connection up: error is a positive errno or 0, the format says what happened. Does
 * nothing when it does not work any more. Whoever calls must not touch its requests afterwards. */
void connection_condemn(struct connection *connection, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends it in good order, after DISC has left: the same, without a word. */
void connection_leave(struct connection *connection);
/* A socket with kernel TLS says that what arrived is damaged to whoever asks first: a send, too. */
bool connection_met_damage(const struct connection *connection, int result);
/* Called whenever an operation of a condemned connection came back: makes it DEAD with the last. */
void connection_drain(struct connection *connection);

/* The live connection for a request of so many bytes; NULL when none is left. */
struct connection *connection_pick(struct nbd_client *client, uint64_t length_bytes);
/* A request fails because no connection is left: the reason of the loss is its reason. */
void connection_note_cut_off(const struct nbd_client *client);

#endif
