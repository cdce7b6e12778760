/* SPDX-License-Identifier: MIT */
#include "gateway/disk/ready.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/common/log.h"
#include "gateway/disk/status.h"

/* Takes over line. MSG_DONTWAIT: a reader that does not read may miss progress, and no more; the
 * last line is small enough to always fit a socket nobody has filled. */
static void send_line(struct disk *disk, json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	struct iovec pieces[2] = { { text, text ? strlen(text) : 0 }, { (char[]){ '\n' }, 1 } };
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };

	if (text && disk->ready_fd >= 0 &&
	    sendmsg(disk->ready_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("the ready conversation's reader takes no line");
	free(text);
	json_decref(line);
}

static void send_sentence(struct disk *disk, const char *key, const char *format, va_list arguments)
{
	char sentence[800];

	vsnprintf(sentence, sizeof(sentence), format, arguments);
	if (!strcmp(key, "warning"))
		log_warning("%s", sentence);
	else
		log_debug("%s", sentence);
	send_line(disk, json_pack("{s:s}", key, sentence));
}

void ready_progress(struct disk *disk, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	send_sentence(disk, "progress", format, arguments);
	va_end(arguments);
}

void ready_warning(struct disk *disk, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	send_sentence(disk, "warning", format, arguments);
	va_end(arguments);
}

static void end_conversation(struct disk *disk)
{
	if (disk->ready_fd >= 0)
		close(disk->ready_fd);
	disk->ready_fd = -1;
}

void ready_done(struct disk *disk)
{
	send_line(disk, json_pack("{s:b, s:o}", "ok", 1, "status", status_build(disk)));
}

bool ready_was_taken(struct disk *disk)
{
	char byte;
	bool taken = recv(disk->ready_fd, &byte, 1, MSG_DONTWAIT) == 1;

	end_conversation(disk);
	return taken;
}

void ready_failed(struct disk *disk)
{
	log_error("%s", disk->sentence);
	send_line(disk, json_pack("{s:b, s:i, s:s}", "ok", 0, "exit", (int)disk->exit_code, "error",
				  disk->sentence));
	end_conversation(disk);
}
