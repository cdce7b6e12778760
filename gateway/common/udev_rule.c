/* SPDX-License-Identifier: MIT */
#include "gateway/common/udev_rule.h"

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#define UDEV_RULE "54-ublk-nbd.rules"

bool udev_runs(void)
{
	return access("/run/udev/control", F_OK) == 0;
}

bool udev_has_rule(void)
{
	static const char *const folders[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib",
					       "/lib" };
	char path[64];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/udev/rules.d/" UDEV_RULE, folders[i]);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}
