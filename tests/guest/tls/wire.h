/* SPDX-License-Identifier: MIT */
/*
 * wire.h - between an SSL object and its socket: every record passes through here, where it can be
 * cut, damaged, doubled or left out.
 *
 * One thread owns a wire. The SSL object reads from and writes to memory; wire_flush() sends what it
 * wrote, wire_feed() gives it what has arrived.
 */
#ifndef TESTS_GUEST_TLS_WIRE_H
#define TESTS_GUEST_TLS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct wire {
	int fd;
	SSL *ssl;
	BIO *in, *out; /* the SSL object owns them */
	bool armed;    /* the transfer has begun: faults may happen */
	bool faulty;   /* options.fault is this connection's */
	bool leaves;   /* FAULT_CLOSE_NOTIFY, once what is written has been sent */
	bool over;     /* nothing is sent any more */
	uint64_t random;
	uint64_t records;    /* of application data, sent since armed */
	const uint8_t *kept; /* for FAULT_SWAP: the record that waits, inside of out */
	size_t kept_bytes;
};

/* Puts ssl on the socket fd, which stays the caller's. */
void wire_open(struct wire *wire, SSL *ssl, int fd, uint64_t seed);
uint32_t wire_random(struct wire *wire, uint32_t limit);
/* Sends all that the SSL object has written. false: the connection is over. */
bool wire_flush(struct wire *wire);
/* Waits for bytes of the client. false: there are no more. */
bool wire_feed(struct wire *wire);

/* On the bare socket, before TLS. */
bool socket_send(int fd, const void *bytes, size_t count);
bool socket_receive(int fd, void *place, size_t count);

#endif
