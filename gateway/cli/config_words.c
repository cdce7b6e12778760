/* SPDX-License-Identifier: MIT */
#include "gateway/cli/config_words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t"

/* Writes the word at text to out, which has room for all of text. Returns what is behind it; NULL: a quote is open. */
static const char *word_read(const char *text, char *out)
{
	char quote = '\0';

	for (; *text && (quote || !strchr(BLANKS, *text)); text++) {
		if (*text == quote)
			quote = '\0';
		else if (!quote && (*text == '\'' || *text == '"'))
			quote = *text;
		else if (quote == '"' && *text == '\\' && text[1])
			*out++ = *++text;
		else
			*out++ = *text;
	}
	*out = '\0';
	return quote ? NULL : text;
}

static int words_read(const char *text, char *buffer, char **words, size_t words_max)
{
	size_t count = 0;

	for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
		if (count == words_max)
			return -E2BIG;
		text = word_read(text, buffer);
		if (!text)
			return -EINVAL;
		words[count] = strdup(buffer);
		if (!words[count++])
			return -ENOMEM;
	}
	return count ? 0 : -ENOENT;
}

int config_words_split(const char *text, char **words, size_t words_max)
{
	char *buffer = malloc(strlen(text) + 1);
	int result;

	memset(words, 0, (words_max + 1) * sizeof(*words));
	result = buffer ? words_read(text, buffer, words, words_max) : -ENOMEM;
	free(buffer);
	for (; result && *words; words++) {
		free(*words);
		*words = NULL;
	}
	return result;
}
