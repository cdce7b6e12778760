/* SPDX-License-Identifier: MIT */
/*
 * driver.h - the ublk driver of this machine's kernel: is it there, can it be loaded, and if not, why.
 */
#ifndef GATEWAY_CLI_DRIVER_H
#define GATEWAY_CLI_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this process has CAP_SYS_ADMIN, and has it of the initial user namespace (as far as /proc tells): the
 * driver obeys no other. */
bool driver_permitted(void);
/* Why it may not, and what to do: one sentence. */
void driver_forbidden_text(char *out, size_t out_bytes);

/*
 * Makes sure that /dev/ublk-control is there, loading ublk_drv where it is not: modprobe at its
 * absolute path, 20 s at most, then 2 s for the node. 0, or -ENOENT with one sentence in error: the
 * kernel's version, what is missing, what to do.
 */
int driver_load(char *error, size_t error_bytes);

/* The sentence alone, for a machine without the node: nothing is loaded. */
void driver_diagnose(char *out, size_t out_bytes);

#endif
