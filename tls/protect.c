/* SPDX-License-Identifier: MIT */
#include "tls/protect.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* More than a handshake is deep. */
#define STACK_BYTES (64u << 10)

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
}

void __attribute__((noinline)) tls_wipe_stack(void)
{
	uint8_t below[STACK_BYTES];

	explicit_bzero(below, sizeof(below));
}
