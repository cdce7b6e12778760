/* SPDX-License-Identifier: MIT */
/*
 * dial_exports.h - asks about each export that a server listed. Nothing is opened.
 */
#ifndef GATEWAY_COMMON_DIAL_EXPORTS_H
#define GATEWAY_COMMON_DIAL_EXPORTS_H

#include "gateway/common/dial_progress.h"

/* Asks about each, as far as the server answers, and takes leave. Nothing once the handshake has failed. */
void dial_exports_ask(struct dial *dial, struct transport *transport);

#endif
