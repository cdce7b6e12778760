/* SPDX-License-Identifier: MIT */
#include "tls/memory.h"
#include "tls/module.h"

__attribute__((visibility("default"))) const struct tls_module tls_module = {
	.version = VERSION,
	.wipe_freed = tls_memory_wipe_freed,
	.open = transport_tls_open,
};
