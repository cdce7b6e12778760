/* SPDX-License-Identifier: MIT */
#include "tls/psk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/file.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int decode_key(const char *hex, size_t digits, uint8_t *key, size_t *key_bytes)
{
	if (digits == 0 || digits % 2 || digits / 2 > PSK_KEY_BYTES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < digits; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		key[i / 2] = (uint8_t)(high << 4 | low);
	}
	*key_bytes = digits / 2;
	return 0;
}

int psk_find(const char *text, size_t length, const char *identity, uint8_t *key, size_t *key_bytes)
{
	size_t identity_bytes = strlen(identity);
	const char *end = text + length;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_bytes = (size_t)((newline ? newline : end) - text);

		if (line_bytes && text[line_bytes - 1] == '\r')
			line_bytes--;
		if (line_bytes > identity_bytes && text[identity_bytes] == ':' &&
		    !memcmp(text, identity, identity_bytes))
			return decode_key(text + identity_bytes + 1,
					  line_bytes - identity_bytes - 1, key, key_bytes);
		text = newline ? newline + 1 : end;
	}
	return -ENOENT;
}

int psk_read(const char *path, const char *identity, uint8_t *key, size_t *key_bytes,
	     char *sentence)
{
	char *text = NULL;
	size_t length = 0;
	int ret = tls_file_read(path, PSK_FILE_BYTES_MAX, &text, &length);

	if (ret < 0) {
		snprintf(sentence, TLS_SENTENCE_BYTES, "the PSK file %.200s cannot be read: %s",
			 path, strerror(-ret));
		return ret;
	}
	ret = psk_find(text, length, identity, key, key_bytes);
	tls_file_wipe(text, length);
	if (ret == -ENOENT)
		snprintf(sentence, TLS_SENTENCE_BYTES, "the PSK file %.200s has no identity \"%s\"",
			 path, identity);
	else if (ret < 0)
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the PSK file %.200s: the key of \"%s\" is not an even number of hex "
			 "digits, "
			 "or "
			 "longer than %d bytes",
			 path, identity, PSK_KEY_BYTES_MAX);
	return ret;
}
