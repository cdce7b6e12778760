/* SPDX-License-Identifier: MIT */
/*
 * disconnect.h - taking one device down, whatever state its daemon is in:
 *
 *   daemon answers      -> it does the disconnect of its own (flush, stop, delete)
 *   daemon is silent    -> killed, unless the disk is in use and force was not given; then as below
 *   daemon is dead      -> STOP_DEV, DEL_DEV, its files
 *   never was ours      -> refused unless forced
 */
#ifndef GATEWAY_CLI_DISCONNECT_H
#define GATEWAY_CLI_DISCONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/exit_code.h"

struct disconnect_options {
	bool force;
	bool verbose;
	uint32_t timeout_ms; /* for the whole of one device */
};

/* Disconnects device number. Complains by itself. EXIT_CODE_OK, _NO_DEVICE, _BUSY, _DATA (gone,
 * but the last flush failed), _SYSTEM, _FAILURE. */
enum exit_code disconnect_device(uint32_t number, const struct disconnect_options *options);

#endif
