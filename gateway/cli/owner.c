/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "gateway/cli/output.h"
#include "gateway/cli/owner.h"

bool owner_take(const struct options *options, const char *text, char out[DISK_OWNER_BYTES_MAX + 1])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-:@+=";
	size_t bytes = strlen(text);

	if (bytes >= 1 && bytes <= DISK_OWNER_BYTES_MAX && strspn(text, allowed) == bytes &&
	    text[0] != '.') {
		memcpy(out, text, bytes + 1);
		return true;
	}
	output_error(options->verb,
		     "--owner: '%s' is not a valid owner: 1 to %d letters, digits and . _ - : @ + "
		     "=, not "
		     "beginning with a dot",
		     text, DISK_OWNER_BYTES_MAX);
	return false;
}
