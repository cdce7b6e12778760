/* SPDX-License-Identifier: MIT */
/*
 * words.h - values of a test program's options; one that is not understood ends the program with 2.
 */
#ifndef TESTS_GUEST_WORDS_H
#define TESTS_GUEST_WORDS_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which of count names it is; a NULL among them is none. */
static inline int word_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (names[i] && !strcmp(names[i], name))
			return i;
	fprintf(stderr, "%s: what is '%s'?\n", program_invocation_short_name, name);
	exit(2);
}

/* "4096", "0x1000", "4K", "64M". */
static inline uint64_t word_number(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 0);

	if (*end == 'K' || *end == 'M')
		number <<= *end++ == 'K' ? 10 : 20;
	if (end == text || *end) {
		fprintf(stderr, "%s: '%s' is no number\n", program_invocation_short_name, text);
		exit(2);
	}
	return number;
}

#endif
