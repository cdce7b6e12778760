/* SPDX-License-Identifier: MIT */
/*
 * tcp.h - the options that a TCP socket of ours has.
 */
#ifndef GATEWAY_COMMON_TCP_H
#define GATEWAY_COMMON_TCP_H

#include <stdbool.h>
#include <stdint.h>

/* Of a new socket: small requests leave at once, and a peer that is gone is noticed within half a minute,
 * idle or not. 0 or -errno. */
int tcp_set_options(int fd);

/* TCP_USER_TIMEOUT: the kernel gives up a peer that acknowledges nothing of what was sent for so long.
 * Without effect on another kind of socket. */
void tcp_set_user_timeout(int fd, int64_t timeout_ms);

/* Ends a TCP connection at once: what is queued and not sent is dropped, and the peer gets a reset. shutdown(2)
 * would let the kernel go on sending. false: not a TCP socket, or the kernel does not do it now. */
bool tcp_abort(int fd);

#endif
