/* SPDX-License-Identifier: MIT */
#include "gateway/common/server_tag.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* In the upper bits. */
#define MAGIC	    0x756eull /* "un" */
#define MAGIC_SHIFT 48
/* 0.1.0's. */
#define OLD_MAGIC	0x6e626475ull /* "udbn" */
#define OLD_MAGIC_SHIFT 32

int server_tag_draw(uint64_t *tag)
{
	uint64_t number;
	ssize_t bytes;

	do {
		bytes = getrandom(&number, sizeof(number), 0);
	} while (bytes < 0 && errno == EINTR);
	if (bytes != (ssize_t)sizeof(number))
		return bytes < 0 ? -errno : -EIO;
	*tag = MAGIC << MAGIC_SHIFT | number >> (64 - MAGIC_SHIFT);
	return 0;
}

static bool is_new(uint64_t tag)
{
	return tag >> MAGIC_SHIFT == MAGIC;
}

bool server_tag_is_old(uint64_t tag)
{
	return tag >> OLD_MAGIC_SHIFT == OLD_MAGIC;
}

bool server_tag_is_ours(uint64_t ublksrv_flags)
{
	return is_new(ublksrv_flags) || server_tag_is_old(ublksrv_flags);
}

uint64_t server_tag_of_old(pid_t pid)
{
	return OLD_MAGIC << OLD_MAGIC_SHIFT | (uint32_t)pid;
}

pid_t server_tag_old_pid(uint64_t tag)
{
	return (pid_t)(uint32_t)tag;
}

void server_tag_format(uint64_t tag, char out[SERVER_TAG_TEXT_BYTES])
{
	snprintf(out, SERVER_TAG_TEXT_BYTES, "%016" PRIx64, tag);
}

bool server_tag_parse(const char *text, uint64_t *tag)
{
	if (!text || strlen(text) != SERVER_TAG_TEXT_BYTES - 1 ||
	    strspn(text, "0123456789abcdef") != SERVER_TAG_TEXT_BYTES - 1)
		return false;
	*tag = strtoull(text, NULL, 16);
	return is_new(*tag);
}
