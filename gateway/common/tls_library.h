/* SPDX-License-Identifier: MIT */
/*
 * tls_library.h - loads what needs OpenSSL (tls/module.h) once somebody speaks TLS.
 */
#ifndef GATEWAY_COMMON_TLS_LIBRARY_H
#define GATEWAY_COMMON_TLS_LIBRARY_H

#include "tls/module.h"

/*
 * The module: loaded at the first call, from where program.h finds it, and never unloaded. NULL, with a
 * sentence of up to TLS_SENTENCE_BYTES: it is not there, or of another version. Any thread. A daemon calls
 * it before it leaves the mounts where it may lie, and before its memory is locked.
 */
const struct tls_module *tls_library_load(char *sentence);

#endif
