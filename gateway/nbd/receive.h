/* SPDX-License-Identifier: MIT */
/*
 * receive.h - from the socket to the requests' places. One receive is armed at a time: into staging, where
 * it brings as many replies as there are, or, when much of a READ's payload is still to come and its place
 * is ours to write to, straight into that. Queue thread only.
 */
#ifndef GATEWAY_NBD_RECEIVE_H
#define GATEWAY_NBD_RECEIVE_H

#include "gateway/nbd/client_state.h"

/* Keeps one receive armed. */
void receive_arm(struct connection *connection);
void receive_completed(struct connection *connection, int result, uint32_t cqe_flags);

#endif
