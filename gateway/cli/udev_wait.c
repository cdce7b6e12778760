/* SPDX-License-Identifier: MIT */
#include "gateway/cli/udev_wait.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gateway/cli/interrupt.h"
#include "gateway/common/udev_rule.h"
#include "tls/clock.h"

#define LOOK_EVERY_MS 5
/* An event that the kernel has sent is in udev's queue after this. */
#define NOTICED_MS 300

/* What udev's database has about the device; it is written after the links. */
enum known { KNOWN_NOTHING, KNOWN_STARTING, KNOWN_LINKS };

static enum known database_look(const char *path)
{
	enum known known = KNOWN_NOTHING;
	char line[4096];
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "E:UBLK_NBD_STARTING=", 20))
			known = KNOWN_STARTING;
		else if (!strncmp(line, "E:UBLK_NBD_DISK=", 16) && known != KNOWN_STARTING)
			known = KNOWN_LINKS;
	}
	if (file)
		fclose(file);
	return known;
}

int udev_wait_links(const char *device, uint32_t timeout_ms, int interrupt_fd)
{
	int64_t started_ms = clock_now_ms(), now_ms = started_ms;
	char path[64];
	struct stat st;

	if (!udev_runs() || stat(device, &st))
		return 0;
	snprintf(path, sizeof(path), "/run/udev/data/b%u:%u", major(st.st_rdev), minor(st.st_rdev));
	for (; now_ms - started_ms < timeout_ms; now_ms = clock_now_ms()) {
		enum known known = database_look(path);
		bool idle = now_ms - started_ms > NOTICED_MS && access("/run/udev/queue", F_OK);

		if (known == KNOWN_LINKS || (known == KNOWN_NOTHING && idle))
			return 0;
		if (interrupt_wait(interrupt_fd, -1, now_ms + LOOK_EVERY_MS) == 0)
			return -EINTR;
	}
	return -ETIMEDOUT;
}
