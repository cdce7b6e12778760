/* SPDX-License-Identifier: MIT */
/* text.c - see text.h. */
#include <assert.h>
#include <string.h>

#include "proto/text.h"

/* The length of the UTF-8 character at p (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF), or 0. */
static size_t character_bytes(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80, high = 0xbf; /* the second byte's range */
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static bool is_control(const unsigned char *p, size_t len)
{
	if (len == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	return len == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

bool nbd_text_is_string(const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes;

	while (len > 0) {
		size_t n = *p ? character_bytes(p, len) : 0;

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

char *nbd_text_printable(char *out, size_t out_bytes, const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes;
	size_t at = 0, cut_at = 0; /* cut_at: the last place that leaves room for "..." */

	assert(out_bytes >= 4);
	while (len > 0) {
		size_t used = character_bytes(p, len);
		bool shown = used > 0 && !is_control(p, used);
		size_t n = shown ? used : (used ? used : 1);

		if (at + n >= out_bytes) {
			memcpy(out + cut_at, "...", 4);
			return out;
		}
		if (shown)
			memcpy(out + at, p, n);
		else
			memset(out + at, '?', n);
		at += n;
		p += n;
		len -= n;
		if (at + 3 < out_bytes)
			cut_at = at;
	}
	out[at] = '\0';
	return out;
}
