/* SPDX-License-Identifier: MIT */
/*
 * device_limit.h - why the ublk driver adds no further device, where it is not that we may not: its module
 * parameter ublks_max (64 unless it was set), or its device numbers have run out. Kernels before 6.15 may count
 * every device against ublks_max; later ones, stable kernels that took the change, and our own driver count
 * those of unprivileged users alone, which ublk-nbd does not make. Which of them a driver counts shows only in
 * ADD_DEV's failure, so nothing can be said beforehand.
 */
#ifndef GATEWAY_COMMON_DEVICE_LIMIT_H
#define GATEWAY_COMMON_DEVICE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * error: ADD_DEV's positive errno; sys: "/sys". true: it failed by a limit, and sentence holds which it is and
 * what to do. The driver has EACCES both for ublks_max and for a missing right, so that the devices there are
 * decide; ENOSPC for its numbers.
 */
bool device_limit_explain(int error, const char *sys, char *sentence, size_t sentence_bytes);

#endif
