/* SPDX-License-Identifier: MIT */
#include "gateway/common/proc_text.h"

#include <stdbool.h>

void proc_unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' &&
			       from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7';

		*to = escaped ? (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'))
			      : *from;
		from += escaped ? 4 : 1;
	}
	*to = '\0';
}
