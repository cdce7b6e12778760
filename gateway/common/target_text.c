/* SPDX-License-Identifier: MIT */
#include "gateway/common/target_text.h"

#include <stdio.h>
#include <string.h>

/* A word as a person would have to type it. */
static const char *word_quote(const char *word)
{
	return !word[0] || strpbrk(word, " \t\n\"'\\$`*?;&|<>()") ? "'" : "";
}

void target_describe(const struct nbd_uri *target, char *const *command, char *out,
		     size_t out_bytes)
{
	size_t used;

	if (!command[0]) {
		if (nbd_uri_format(target, out, (unsigned int)out_bytes))
			snprintf(out, out_bytes, "(a target too long to show)");
		return;
	}
	used = (size_t)snprintf(out, out_bytes, "[");
	for (size_t i = 0; command[i] && used < out_bytes; i++) {
		const char *quote = word_quote(command[i]);

		used += (size_t)snprintf(out + used, out_bytes - used, " %s%s%s", quote, command[i],
					 quote);
	}
	if (used < out_bytes)
		snprintf(out + used, out_bytes - used, " ]");
}
