/* SPDX-License-Identifier: MIT */
/*
 * send.h - from a connection's waiting requests to one send at a time: everything that waits when the
 * socket is free goes out in one batch, and what arrives meanwhile forms the next one. Queue thread only.
 */
#ifndef GATEWAY_NBD_SEND_H
#define GATEWAY_NBD_SEND_H

#include "gateway/nbd/client_state.h"

/* Puts a request (IDLE) at the end of the send queue. Only while LIVE, or DISC while RETIRING. It leaves
 * with the turn's send_kick(). */
void send_enqueue(struct connection *connection, struct wire_request *request);
/* Sends a FLUSH or DISC of the connection's own, whose last one is over; over when own.parts_open is 0. */
void send_own(struct connection *connection, uint16_t command);
/* Starts a send when none is in flight and something waits. */
void send_kick(struct connection *connection);
void send_completed(struct connection *connection, int result);

#endif
