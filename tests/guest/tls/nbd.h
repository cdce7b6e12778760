/* SPDX-License-Identifier: MIT */
/*
 * nbd.h - NBD as the TLS server of the tests speaks it: STARTTLS and nothing else in the clear, then
 * structured replies from a piece of memory.
 */
#ifndef TESTS_GUEST_TLS_NBD_H
#define TESTS_GUEST_TLS_NBD_H

#include <stdbool.h>
#include <stdint.h>

/* The export: options.file mapped, or memory. false: errno says why. */
bool export_open(void);

/* Serves the connected socket fd, the number-th (from 1), until it is over. fd stays the caller's. */
void nbd_serve(int fd, uint32_t number);

#endif
