/* SPDX-License-Identifier: MIT */
/*
 * json_text.h - bytes of foreign origin (an export's name, a server's description) in JSON, whose strings
 * are UTF-8: as text, and exactly.
 */
#ifndef GATEWAY_COMMON_JSON_TEXT_H
#define GATEWAY_COMMON_JSON_TEXT_H

#include <stddef.h>

#include <jansson.h>

/* A new string: each byte that is not UTF-8, and NUL, becomes U+FFFD. NULL without memory. */
json_t *json_text(const char *bytes, size_t count);

/* A new string, the same bytes in hex: "6e616d65". NULL without memory. */
json_t *json_text_hex(const char *bytes, size_t count);

#endif
