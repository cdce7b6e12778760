/* SPDX-License-Identifier: MIT */
/*
 * psk.h - pre-shared keys in GnuTLS's manner: a file of "identity:key" lines, the key in hex.
 */
#ifndef TLS_PSK_H
#define TLS_PSK_H

#include <stddef.h>
#include <stdint.h>

#include "tls/tls.h"

#define PSK_KEY_BYTES_MAX  256 /* OpenSSL takes up to this */
#define PSK_FILE_BYTES_MAX (1u << 20)

/*
 * Looks identity up in the file. 0: key and *key_bytes are set; the caller wipes key. Else -errno
 * with a sentence (never quoting a line): what open(2) says, -EINVAL (the line is not
 * identity:hex, or too long), -ENOENT (no such identity).
 */
int psk_read(const char *path, const char *identity, uint8_t *key, size_t *key_bytes,
	     char *sentence);

/* The same for the file's text, of length bytes; for tests and fuzzing. -ENOENT, -EINVAL. */
int psk_find(const char *text, size_t length, const char *identity, uint8_t *key,
	     size_t *key_bytes);

#endif
