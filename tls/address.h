/* SPDX-License-Identifier: MIT */
/*
 * address.h - whether the server is called by a name or by an address, which TLS treats differently.
 */
#ifndef TLS_ADDRESS_H
#define TLS_ADDRESS_H

#include <stdbool.h>

/* Whether text is an IPv4 or IPv6 address (without brackets, without a zone). Such a one is never sent as
 * the server's name, and only an IP address of the certificate's subjectAltName counts for it. */
bool tls_is_address(const char *text);

#endif
