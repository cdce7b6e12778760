/* SPDX-License-Identifier: MIT */
/*
 * transport_pair.h - a plain transport to nobody but the test. After <cmocka.h>.
 */
#ifndef TESTS_UNIT_TRANSPORT_PAIR_H
#define TESTS_UNIT_TRANSPORT_PAIR_H

#include <sys/socket.h>

#include "tls/transport.h"

/* One end of a new socket pair; the other one, *peer, is the server's, and the caller's to close. */
static inline struct transport *transport_pair_open(int *peer)
{
	struct transport *transport;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(transport_plain_open(pair[0], &transport), 0);
	*peer = pair[1];
	return transport;
}

#endif
