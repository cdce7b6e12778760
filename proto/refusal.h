/* SPDX-License-Identifier: MIT */
/*
 * refusal.h - what it means when a server answers an option with an error, in a sentence that says
 * what to do.
 */
#ifndef PROTO_REFUSAL_H
#define PROTO_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a client asked for, and how the server answered. */
struct nbd_refusal {
	uint32_t option;	 /* NBD_OPT_* that was outstanding; 0: none yet, a greeting */
	const char *export_name; /* NUL-terminated */
	bool tls;		 /* TLS is wanted */
	bool no_extended;	 /* extended headers are not asked for */
	uint32_t error;	      /* the option reply's type: NBD_REP_ERR_*, or another in its place */
	const char *message;  /* the server's own words, untrusted; quoted */
	size_t message_bytes; /* 0: it has none */
};

/* Writes to text why the option cannot be had. Returns the positive errno that fits. */
int nbd_refusal_explain(const struct nbd_refusal *refusal, char *text, size_t text_bytes);

/* The same where the server closed the connection in place of an answer: error and message do not
 * count. */
int nbd_refusal_explain_close(const struct nbd_refusal *refusal, char *text, size_t text_bytes);

/* "NBD_REP_ERR_POLICY" and so on, or "unknown error 0x8000xxxx" in buf. Never NULL. */
const char *nbd_refusal_error_name(uint32_t error, char *buf, size_t buf_bytes);

#endif
