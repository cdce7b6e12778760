/* SPDX-License-Identifier: MIT */
/*
 * module.h - what needs OpenSSL, as a library of its own, ublk-nbd-tls.so: OpenSSL takes longer to load than
 * all else that a connect does, and most of the memory that a daemon locks. Who speaks no TLS does without.
 */
#ifndef TLS_MODULE_H
#define TLS_MODULE_H

#include <stdint.h>

#include "tls/tls.h"

#define TLS_MODULE_NAME	  "ublk-nbd-tls.so"
#define TLS_MODULE_SYMBOL "tls_module"

struct tls_module {
	const char *version;	  /* of ublk-nbd: only what was built together fits together */
	void (*wipe_freed)(void); /* tls_memory_wipe_freed() */
	int (*open)(int fd, const struct tls_options *options, int64_t deadline_ms,
		    struct transport **out, char *sentence); /* transport_tls_open() */
};

extern const struct tls_module tls_module;

#endif
