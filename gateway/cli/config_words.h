/* SPDX-License-Identifier: MIT */
/*
 * config_words.h - the words of a command in a configuration file, without a shell: blanks part them, '...' and "..."
 * keep them, and within "..." a \ takes the byte after it as it is.
 */
#ifndef GATEWAY_CLI_CONFIG_WORDS_H
#define GATEWAY_CLI_CONFIG_WORDS_H

#include <stddef.h>

/* Fills words with 1 to words_max strings that are the caller's to free(), and a NULL behind. 0; -EINVAL an open quote;
 * -E2BIG more words; -ENOENT none; -ENOMEM. There are no words then. */
int config_words_split(const char *text, char **words, size_t words_max);

#endif
