/* SPDX-License-Identifier: MIT */
/*
 * tls_library.c - for the programs of the tests, which are linked with OpenSSL: gateway/common/tls_library.h
 * without a library to load.
 */
#include "gateway/common/tls_library.h"

const struct tls_module *tls_library_load(char *sentence)
{
	(void)sentence;
	tls_module.wipe_freed();
	return &tls_module;
}
