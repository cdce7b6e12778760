/* SPDX-License-Identifier: MIT */
#include "gateway/common/tls_json.h"

json_t *tls_json_describe(const struct tls_description *tls)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:b}", "version", tls->version, "cipher",
			 tls->cipher, "peer", tls->peer, "verified", (int)tls->verified, "send",
			 tls->kernel_send ? "kernel" : "userspace", "receive",
			 tls->kernel_receive ? "kernel" : "userspace", "resumed",
			 (int)tls->resumed);
}
