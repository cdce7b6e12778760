/* SPDX-License-Identifier: MIT */
#include "tls/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/*
 * OpenSSL wipes keys, but not the text and DER they came as, nor each buffer they went through. So
 * whatever it frees is wiped. Nothing is freed for a record of data, so the I/O path does not pay.
 */
static void wipe_and_free(void *memory, const char *file, int line)
{
	(void)file;
	(void)line;
	if (!memory)
		return;
	OPENSSL_cleanse(memory, malloc_usable_size(memory));
	free(memory);
}

static void *allocate(size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(bytes);
}

/* realloc(3) would leave the old place as it was. */
static void *reallocate(void *memory, size_t bytes, const char *file, int line)
{
	size_t had_bytes = memory ? malloc_usable_size(memory) : 0;
	void *moved;

	if (!bytes) {
		wipe_and_free(memory, file, line);
		return NULL;
	}
	moved = malloc(bytes);
	if (!moved)
		return NULL;
	if (memory)
		memcpy(moved, memory, had_bytes < bytes ? had_bytes : bytes);
	wipe_and_free(memory, file, line);
	return moved;
}

void tls_memory_wipe_freed(void)
{
	CRYPTO_set_mem_functions(allocate, reallocate, wipe_and_free);
}
