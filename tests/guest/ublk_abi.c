/* SPDX-License-Identifier: MIT */
/*
 * ublk_abi.c - goal: our ublk driver answers each control command as the kernel's own does.
 * method: the same commands on any driver, one line for each answer; tests/ublk-abi.list has the lines that
 * are expected of each, and tests/system/ublk-abi.sh compares.
 *
 * Exit status: 0; 1 with a sentence on standard error where a device cannot be brought to where the
 * question is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/guest/ublk/abi.h"

int main(void)
{
	setbuf(stdout, NULL);
	if (chmod(CONTROL_PATH, 0666))
		probe_die("chmod %s: %s", CONTROL_PATH, strerror(errno));
	abi_adding();
	abi_parameters();
	abi_limits();
	abi_asking();
	abi_life();
	abi_recovery();
	abi_rights();
	return 0;
}
