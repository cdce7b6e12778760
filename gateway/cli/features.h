/* SPDX-License-Identifier: MIT */
/*
 * features.h - what an export's transmission flags are called, in JSON and to people; the same
 * words as in a disk's status.
 */
#ifndef GATEWAY_CLI_FEATURES_H
#define GATEWAY_CLI_FEATURES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A new array: ["flush", "fua", ...] for NBD_FLAG_* of flags, or NULL without memory. What the
 * names do not cover (read-only has a field of its own) is left out. */
json_t *features_to_json(uint16_t flags);

/* "flush, fua, trim", or "none". Returns buf. */
const char *features_to_text(char *buf, size_t buf_bytes, uint16_t flags);

#endif
