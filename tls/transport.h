/* SPDX-License-Identifier: MIT */
/*
 * transport.h - what carries NBD bytes over a connected socket: plain, kernel TLS, userspace TLS.
 *
 * Two phases. While a connection is being made, a helper thread uses read() and write(), which
 * block up to a deadline. Then the queue's ring takes the socket over, and asks only:
 *   - direct_tx / direct_rx: the bytes on the socket are the NBD stream itself, so the ring sends
 *     from and receives into NBD's buffers (plain; kernel TLS);
 *   - else seal() / open(): turn a staging buffer of NBD bytes into the socket's bytes, and back
 *     (userspace TLS).
 * Nothing on a queue's I/O path looks further than this table.
 */
#ifndef TLS_TRANSPORT_H
#define TLS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct transport;
struct tls_description;

/* A TLS record with all around it; answers to KeyUpdates (30 bytes each) that wait for the next send;
 * what n bytes can become when sealed, those before them. */
#define TLS_RECORD_BYTES_MAX	(17u << 10)
#define TLS_PENDING_BYTES_MAX	(8u << 10)
#define TLS_SEALED_BYTES_MAX(n) ((n) + ((n) / 16384 + 2) * 128 + TLS_PENDING_BYTES_MAX + 1024)

struct transport_ops {
	const char *name; /* "plain", ...: shown by status */
	/* Receives 1..len bytes before the deadline (CLOCK_MONOTONIC). Returns the count, 0 at the
	 * peer's orderly end, or -errno (-ETIMEDOUT at the deadline). Helper thread. */
	ssize_t (*read)(struct transport *transport, void *buf, size_t len, int64_t deadline_ms);
	/* Sends all len bytes before the deadline. Returns 0 or -errno. Helper thread. */
	int (*write)(struct transport *transport, const void *buf, size_t len, int64_t deadline_ms);
	/* NULL where there is nothing to do. The connection is made and a queue takes it over: from
	 * now on read() and write() are not used, and direct_tx and direct_rx are what they stay.
	 * 0 or -errno. The thread that hands it over. */
	int (*detach)(struct transport *transport);
	/* NULL where direct_tx. Takes len NBD bytes, writes socket bytes to out; returns how many, or
	 * -errno; -ENOSPC when out is too small. Queue thread. */
	ssize_t (*seal)(struct transport *transport, const void *buf, size_t len, void *out,
			size_t out_bytes);
	/* NULL where direct_rx. Takes len socket bytes (all are kept), writes the NBD bytes that are
	 * complete; returns how many (0 is normal), or -errno. What came before the stream's end is
	 * still given: over is set then, and returned from the next call on. Queue thread. */
	ssize_t (*open)(struct transport *transport, const void *buf, size_t len, void *out,
			size_t out_bytes);
	/* Both NULL where there is no TLS: transport_tls_describe() and transport_tls_failure() (tls.h). */
	const struct tls_description *(*describe)(const struct transport *transport);
	bool (*failure)(const struct transport *transport, char *sentence, size_t room);
	/* Frees the transport and closes its socket. Any thread, once no other uses it. */
	void (*close)(struct transport *transport);
};

struct transport {
	const struct transport_ops *ops;
	int fd; /* connected, non-blocking is not set; owned */
	bool direct_tx, direct_rx;
	/* By open(): 0 while more may come; -ECONNRESET the peer ended it in good order (close_notify),
	 * -ECONNABORTED by an alert, -EBADMSG what arrived is damaged. */
	int over;
	/* Of the ring's sends: MSG_WAITALL where the socket takes it. Kernel TLS does not
	 * (EOPNOTSUPP), and a send of less than all is then the ring's to go on with. */
	int send_flags;
};

/* Wraps a connected socket. On success *out owns fd; on failure (-ENOMEM) the caller keeps it. */
int transport_plain_open(int fd, struct transport **out);
/* Frees a plain transport and leaves its socket open: another transport has it now. */
void transport_plain_release(struct transport *transport);

/* detach(), where there is one. */
static inline int transport_detach(struct transport *transport)
{
	return transport->ops->detach ? transport->ops->detach(transport) : 0;
}

static inline void transport_close(struct transport *transport)
{
	if (transport)
		transport->ops->close(transport);
}

#endif
