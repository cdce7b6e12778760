/* SPDX-License-Identifier: MIT */
/*
 * target_text.h - what a disk or a verb talks to, for people.
 */
#ifndef GATEWAY_COMMON_TARGET_TEXT_H
#define GATEWAY_COMMON_TARGET_TEXT_H

#include <stddef.h>

#include "proto/uri.h"

/* The target's canonical URI; or, where command is not empty (NULL-terminated), "[ nbdkit memory 1G ]", cut
 * short where it does not fit. */
void target_describe(const struct nbd_uri *target, char *const *command, char *out,
		     size_t out_bytes);

#endif
