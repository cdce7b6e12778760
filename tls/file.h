/* SPDX-License-Identifier: MIT */
/*
 * file.h - files that hold secrets: read without stdio's buffers, and wiped after use.
 */
#ifndef TLS_FILE_H
#define TLS_FILE_H

#include <stddef.h>

/* Reads a regular file of at most bytes_max whole. 0: *text is malloc()ed, NUL-terminated, and goes
 * to tls_file_wipe(). Else -errno: what open(2) and read(2) say, -EINVAL for what is no regular
 * file, -EFBIG. */
int tls_file_read(const char *path, size_t bytes_max, char **text, size_t *length);
void tls_file_wipe(char *text, size_t length);

#endif
