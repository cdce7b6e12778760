/* SPDX-License-Identifier: MIT */
/*
 * handshake.h - the client's side of NBD's fixed newstyle handshake, as a machine that is fed
 * bytes and asked for bytes. It owns no descriptor, no memory but its own, and no clock: the
 * caller moves bytes and keeps the deadline.
 *
 *   init -> greeting -> [STARTTLS -> tls] -> EXTENDED_HEADERS -> (refused) STRUCTURED_REPLY
 *        -> GO or INFO -> (GO unsupported) EXPORT_NAME -> done | failed
 *   a goal of INFO, or a failure between options, ends with ABORT.
 *   A server that is not fixed newstyle knows EXPORT_NAME alone, so that is all it is asked.
 *   The goal LIST: ... tls] -> LIST -> idle -> (ask) INFO -> idle -> ... -> (leave) done.
 *
 * One option is outstanding at a time. Source: proto.md, "Newstyle negotiation".
 */
#ifndef PROTO_HANDSHAKE_H
#define PROTO_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

/* How replies and requests are framed once the handshake is over. */
enum nbd_framing {
	NBD_FRAMING_SIMPLE,
	NBD_FRAMING_STRUCTURED,
	NBD_FRAMING_EXTENDED,
};

/* What was negotiated about one export. Written by the handshake, constant afterwards. */
struct nbd_export {
	uint64_t size_bytes;
	uint16_t
		flags; /* NBD_FLAG_* of wire.h, as the server sent them; if it left out HAS_FLAGS, of
			 * them those alone that protect data: READ_ONLY, SEND_FLUSH, SEND_FUA */
	enum nbd_framing framing;
	bool block_sizes_given; /* the server named its block sizes; else the defaults stand here */
	uint32_t block_minimum_bytes;	/* power of two, 1..64 KiB */
	uint32_t block_preferred_bytes; /* power of two, >= minimum */
	uint32_t payload_max_bytes;	/* largest READ or WRITE: >= minimum, rounded down to a
					 * multiple of it; UINT32_MAX from the server is kept */
	bool used_export_name;		/* GO was unsupported */
	/* For showing: printable UTF-8, whatever the server sent (text.h). */
	char name[NBD_STRING_BYTES_MAX + 1];	    /* canonical name; as asked if none was sent */
	char description[NBD_STRING_BYTES_MAX + 1]; /* "" if none was sent */
};

enum nbd_handshake_goal {
	NBD_GOAL_GO,   /* enter transmission */
	NBD_GOAL_INFO, /* learn about the export, then ABORT; falls back to nothing */
	NBD_GOAL_LIST, /* learn the exports' names, then about each that is asked for */
	NBD_GOAL_IDLE, /* go no further than the greeting, and TLS: somebody else goes on */
};

/* An export as LIST names it: raw bytes of the server, valid during the call. */
typedef void (*nbd_listed_fn)(void *context, const char *name, size_t name_bytes,
			      const char *description, size_t description_bytes);

struct nbd_handshake_options {
	/* NUL-terminated, <= NBD_STRING_BYTES_MAX, borrowed until done. NBD demands UTF-8; what a
	 * server calls otherwise can be asked for all the same. */
	const char *export_name;
	enum nbd_handshake_goal goal;
	bool tls;	       /* STARTTLS first; failing that, fail */
	bool no_structured;    /* do not ask for structured replies (nor extended headers) */
	bool no_extended;      /* do not ask for extended headers */
	bool export_name_only; /* goal GO: ask for nothing but EXPORT_NAME */
	nbd_listed_fn listed;  /* goal LIST */
	void *context;
};

enum nbd_handshake_status {
	NBD_HANDSHAKE_ACTIVE,	 /* send what output() has, feed what arrives */
	NBD_HANDSHAKE_START_TLS, /* output sent, STARTTLS acknowledged: run TLS, then tls_done() */
	NBD_HANDSHAKE_IDLE,   /* goal LIST: ask() or leave(); error_errno tells of the last ask().
			     * goal IDLE: there; output() may still hold bytes to be sent */
	NBD_HANDSHAKE_DONE,   /* output() may still hold bytes to be sent (ABORT) */
	NBD_HANDSHAKE_FAILED, /* error, error_errno are set; output() may hold an ABORT */
};

enum nbd_handshake_state {
	NBD_HS_GREETING,
	NBD_HS_STARTTLS,
	NBD_HS_TLS,
	NBD_HS_EXTENDED_HEADERS,
	NBD_HS_STRUCTURED_REPLY,
	NBD_HS_GO,
	NBD_HS_EXPORT_NAME,
	NBD_HS_LIST,
	NBD_HS_IDLE,
	NBD_HS_DONE,
	NBD_HS_FAILED,
};

/* Private to handshake.c but for export, error, error_errno and option_error. About 80 KiB. */
struct nbd_handshake {
	struct nbd_handshake_options options;
	enum nbd_handshake_state state;
	struct nbd_export export;
	uint16_t server_flags;
	bool have_info_export;
	uint32_t replies;
	uint32_t option_error; /* the NBD_REP_ERR_* that ended it, or 0 */
	int error_errno;       /* positive; meaningful in NBD_HS_FAILED and NBD_HS_IDLE */
	char error[512];       /* one sentence: what failed and what to do about it */
	uint8_t in[NBD_OPTION_REPLY_BYTES_MAX + 32]; /* the item being gathered */
	size_t in_bytes, in_want_bytes;
	uint8_t out[NBD_STRING_BYTES_MAX + 64];
	size_t out_bytes, out_sent_bytes;
};

/* Prepares hs. Returns 0, or -EINVAL when the export name is longer than NBD_STRING_BYTES_MAX
 * (hs->error says so). */
int nbd_handshake_init(struct nbd_handshake *hs, const struct nbd_handshake_options *options);

/* The bytes waiting to be sent; *len is 0 when there are none. Valid until the next call. */
const uint8_t *nbd_handshake_output(const struct nbd_handshake *hs, size_t *len);
/* len of them were sent. */
void nbd_handshake_sent(struct nbd_handshake *hs, size_t len);

/*
 * How many bytes it can use now: the caller reads no more than this from the socket, so nothing
 * of what follows the handshake is ever swallowed. 0 when it wants no input.
 */
size_t nbd_handshake_wanted(const struct nbd_handshake *hs);

/*
 * Feeds len <= wanted() bytes. Any split of the stream gives the same result. Returns the status.
 * All of output() must have been sent before: a server that answers sooner is refused.
 */
enum nbd_handshake_status nbd_handshake_feed(struct nbd_handshake *hs, const uint8_t *bytes,
					     size_t len);
enum nbd_handshake_status nbd_handshake_status(const struct nbd_handshake *hs);

/* The TLS handshake succeeded: goes on with the first option after it. Bytes that came in plain
 * after STARTTLS's acknowledgement are the caller's to detect: it must refuse them. */
void nbd_handshake_tls_done(struct nbd_handshake *hs);

/* The server closed the connection. While ACTIVE: FAILED, with a sentence that says what that means
 * in this state; else nothing changes. (A server that closes on EXTENDED_HEADERS,
 * STRUCTURED_REPLY or GO may not know it and cannot say so: dial again with no_extended,
 * no_structured or export_name_only. hs->state before the call tells.) */
void nbd_handshake_closed(struct nbd_handshake *hs);

/* In IDLE after a LIST: asks about the export of this name (as export_name of the options). When it is
 * IDLE again, error_errno is 0 and export is filled, or error says why the server does not tell. */
void nbd_handshake_ask(struct nbd_handshake *hs, const char *name);
/* In IDLE after a LIST: takes leave (ABORT); DONE. */
void nbd_handshake_leave(struct nbd_handshake *hs);

#endif
