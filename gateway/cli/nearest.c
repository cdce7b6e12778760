/* SPDX-License-Identifier: MIT */
#include "gateway/cli/nearest.h"

#include <ctype.h>
#include <string.h>

#define WORD_BYTES_MAX 40
#define DISTANCE_MAX   2

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, row by row; both words have WORD_BYTES_MAX bytes at most. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_BYTES_MAX + 1], bytes = strlen(b);

	for (size_t j = 0; j <= bytes; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= bytes; j++) {
			size_t changed = diagonal + (tolower((unsigned char)a[i - 1]) !=
						     tolower((unsigned char)b[j - 1]));

			diagonal = row[j];
			row[j] = smaller(changed, smaller(row[j], row[j - 1]) + 1);
		}
	}
	return row[bytes];
}

const char *nearest_word(const char *word, const char *const *words, size_t count)
{
	size_t bytes = strlen(word), limit = smaller(DISTANCE_MAX, bytes / 3), best = limit + 1;
	const char *nearest = NULL;

	if (bytes > WORD_BYTES_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t found = strlen(words[i]) > WORD_BYTES_MAX ? best : distance(word, words[i]);

		if (found >= best)
			continue;
		best = found;
		nearest = words[i];
	}
	return nearest;
}
