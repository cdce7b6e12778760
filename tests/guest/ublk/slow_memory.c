/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/slow_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/guest/ublk/options.h"
#include "tests/guest/ublk/probe.h"

struct slow_memory slow_memory_make(void)
{
	struct slow_memory memory = {
		.area = mmap(NULL, SLOW_MEMORY_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK),
	};
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)memory.area, .len = SLOW_MEMORY_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (memory.fault_fd < 0) {
		puts("this kernel has no userfaultfd");
		fflush(stdout);
		_exit(EXIT_SKIP);
	}
	if (memory.area == MAP_FAILED || ioctl(memory.fault_fd, UFFDIO_API, &api) ||
	    ioctl(memory.fault_fd, UFFDIO_REGISTER, &range))
		probe_die("userfaultfd: %s", strerror(errno));
	return memory;
}

void slow_memory_await(const struct slow_memory *memory)
{
	struct pollfd fault = { .fd = memory->fault_fd, .events = POLLIN };

	if (poll(&fault, 1, PROBE_TIMEOUT_MS) != 1 || fault.revents != POLLIN)
		probe_die("nobody touches the slow memory");
}

void slow_memory_fill(const struct slow_memory *memory)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)memory->area, .len = SLOW_MEMORY_BYTES },
	};

	if (ioctl(memory->fault_fd, UFFDIO_ZEROPAGE, &zero))
		probe_die("userfaultfd: %s", strerror(errno));
}
