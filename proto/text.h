/* SPDX-License-Identifier: MIT */
/*
 * text.h - strings that came from a server: what of them may be shown to a person, written to a
 * log or put into JSON.
 */
#ifndef PROTO_TEXT_H
#define PROTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether len bytes are UTF-8 without NUL, as proto.md ("Conventions") asks of each string. */
bool nbd_text_is_string(const char *bytes, size_t len);

/* Copies len bytes to out as UTF-8, NUL-terminated: each byte that is none, and each NUL, becomes U+FFFD.
 * out must have 3 * len + 1 bytes. Returns out. */
char *nbd_text_repair(char *out, const char *bytes, size_t len);

/*
 * Copies len bytes to out as printable UTF-8, NUL-terminated: control characters (C0, DEL, C1), what
 * turns, hides or breaks the text around it (bidirectional controls, zero width, invisible, line and
 * paragraph separators, tags, variation selectors), and what is no UTF-8 become '?', one for each byte. What does not fit in out_bytes is cut between two
 * characters, with "..." at the end. out_bytes must be at least 4. Returns out.
 */
char *nbd_text_printable(char *out, size_t out_bytes, const char *bytes, size_t len);

#endif
