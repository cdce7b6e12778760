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

static uint32_t code_point(const unsigned char *p, size_t len)
{
	static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = p[0] & masks[len];

	for (size_t i = 1; i < len; i++)
		code = code << 6 | (p[i] & 0x3f);
	return code;
}

/*
 * What a terminal obeys, or a reader does not see: Unicode's categories Cc, Cf, Zl and Zp, and what else
 * is Default_Ignorable_Code_Point (Unicode 15, DerivedCoreProperties.txt); in order.
 */
static bool is_control(const unsigned char *p, size_t len)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x0000, 0x001f },   { 0x007f, 0x009f },   { 0x00ad, 0x00ad },
		{ 0x034f, 0x034f },   { 0x0600, 0x0605 },   { 0x061c, 0x061c },
		{ 0x06dd, 0x06dd },   { 0x070f, 0x070f },   { 0x0890, 0x0891 },
		{ 0x08e2, 0x08e2 },   { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 },
		{ 0x180b, 0x180f },   { 0x200b, 0x200f },   { 0x2028, 0x202e },
		{ 0x2060, 0x206f },   { 0x3164, 0x3164 },   { 0xfe00, 0xfe0f },
		{ 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },
		{ 0x110bd, 0x110bd }, { 0x110cd, 0x110cd }, { 0x13430, 0x1343f },
		{ 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff },
	};
	uint32_t code = code_point(p, len);

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (code <= ranges[i].last)
			return code >= ranges[i].first;
	return false;
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

char *nbd_text_repair(char *out, const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes;
	size_t at = 0;

	while (len > 0) {
		size_t used = *p ? character_bytes(p, len) : 0;

		if (used)
			memcpy(out + at, p, used);
		else
			memcpy(out + at, "\xef\xbf\xbd", 3);
		at += used ? used : 3;
		p += used ? used : 1;
		len -= used ? used : 1;
	}
	out[at] = '\0';
	return out;
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
