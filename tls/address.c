/* SPDX-License-Identifier: MIT */
#include "tls/address.h"

#include <arpa/inet.h>

bool tls_is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}
