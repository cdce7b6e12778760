/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - the two halves of `ublk-nbd doctor`. Both only look: no module is loaded, no file or
 * device made.
 */
#ifndef GATEWAY_CLI_DOCTOR_H
#define GATEWAY_CLI_DOCTOR_H

#include "gateway/cli/checks.h"
#include "gateway/cli/look.h"

/* This machine: kernel, driver, io_uring, permissions, limits, /dev, udev, runtime directory. */
void doctor_machine(struct checks *checks);

/* The server, step by step as connect would go, then a few reads. */
void doctor_server(struct checks *checks, struct look *look);

#endif
