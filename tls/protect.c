/* SPDX-License-Identifier: MIT */
#include "tls/protect.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

/* More than a handshake is deep. */
#define STACK_BYTES (64u << 10)

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

/* Whether this process may lock whatever it has. Tried, since CAP_IPC_LOCK counts for nothing in a user
 * namespace, though it is there. */
static bool may_lock_all(void)
{
	struct rlimit limit;
	size_t bytes;
	void *place;
	bool may;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return false;
	if (limit.rlim_cur == RLIM_INFINITY)
		return true;
	bytes = (size_t)limit.rlim_cur + (size_t)sysconf(_SC_PAGESIZE);
	place = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (place == MAP_FAILED)
		return false;
	may = mlock2(place, bytes, MLOCK_ONFAULT) == 0;
	munmap(place, bytes);
	return may;
}

/* With a limit, memory could be locked today that makes an allocation fail tomorrow: then keys may be
 * written to swap. */
static void lock_memory(void)
{
	if (may_lock_all())
		mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

void tls_protect_process(void)
{
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	lock_memory();
	CRYPTO_set_mem_functions(allocate, reallocate, wipe_and_free);
}

void __attribute__((noinline)) tls_wipe_stack(void)
{
	uint8_t below[STACK_BYTES];

	OPENSSL_cleanse(below, sizeof(below));
}
