/* SPDX-License-Identifier: MIT */
/*
 * memory.h - nothing is left behind in memory that OpenSSL has given back.
 */
#ifndef TLS_MEMORY_H
#define TLS_MEMORY_H

/* Before anything else uses OpenSSL. Twice does no harm. */
void tls_memory_wipe_freed(void);

#endif
