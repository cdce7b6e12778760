/* SPDX-License-Identifier: MIT */
/*
 * disconnect.h - taking one device down, whatever state its daemon is in:
 *
 *   daemon answers      -> it does the disconnect of its own (flush, stop, delete)
 *   daemon lives, silent -> removal.h: unless the disk is in use it is flushed and stopped, and the daemon
 *                          ends by itself; by force it is killed, then as below
 *   daemon is ending    -> waited for: the disk is gone
 *   daemon is dead      -> unless the disk is in use or force given: STOP_DEV, DEL_DEV, its files
 *   never was ours      -> refused unless forced
 */
#ifndef GATEWAY_CLI_DISCONNECT_H
#define GATEWAY_CLI_DISCONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/exit_code.h"

/* timeout_ms where nobody chose another. */
#define DISCONNECT_TIMEOUT_MS 60000

struct disconnect_options {
	/* The disk that is meant (server_tag.h); SERVER_TAG_NONE: whichever has the number. */
	uint64_t tag;
	bool force;
	bool verbose;
	uint32_t timeout_ms; /* for the whole of one device */
	/* Without force it is tried again for so long, then by force; 0: it is not. */
	uint32_t force_after_ms;
};

/* Disconnects device number; with force_after_ms it takes up to that and timeout_ms. Complains by itself, under the name of the verb disconnect, but not where the disk
 * that tag means is gone. EXIT_CODE_OK, _NO_DEVICE (none there, or another has just removed it), _BUSY (in use,
 * or was not removed), _DATA (gone, but the last flush failed or could not be done), _REFUSED, _SYSTEM,
 * _FAILURE. */
enum exit_code disconnect_device(uint32_t number, const struct disconnect_options *options);

#endif
