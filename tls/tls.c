/* SPDX-License-Identifier: MIT */
#include "tls/tls.h"

const struct tls_description *transport_tls_describe(const struct transport *transport)
{
	return transport->ops->describe ? transport->ops->describe(transport) : NULL;
}

bool transport_tls_failure(const struct transport *transport, char *sentence, size_t room)
{
	return transport->ops->failure && transport->ops->failure(transport, sentence, room);
}
