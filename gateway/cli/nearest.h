/* SPDX-License-Identifier: MIT */
/*
 * nearest.h - the word that was meant by one that is mistyped.
 */
#ifndef GATEWAY_CLI_NEAREST_H
#define GATEWAY_CLI_NEAREST_H

#include <stddef.h>

/* Of count words the one that the fewest letters changed, added or left out make of word, case apart; NULL where that
 * takes more than 2, or more than a third of the letters. */
const char *nearest_word(const char *word, const char *const *words, size_t count);

#endif
