/* SPDX-License-Identifier: MIT */
#include "gateway/block/trouble.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tls/clock.h"

void trouble_init(struct trouble *trouble)
{
	memset(trouble, 0, sizeof(*trouble));
	pthread_mutex_init(&trouble->lock, NULL);
}

void trouble_note(struct trouble *trouble, bool server_said, const char *format, ...)
{
	struct trouble_note note = { .server_said = server_said, .at_ms = clock_now_ms() };
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(note.text, sizeof(note.text), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&trouble->lock);
	trouble->count++;
	trouble->last = note;
	pthread_mutex_unlock(&trouble->lock);
}

uint64_t trouble_count(struct trouble *trouble)
{
	uint64_t count;

	pthread_mutex_lock(&trouble->lock);
	count = trouble->count;
	pthread_mutex_unlock(&trouble->lock);
	return count;
}

bool trouble_since(struct trouble *trouble, uint64_t count, struct trouble_note *note)
{
	bool is_newer;

	pthread_mutex_lock(&trouble->lock);
	is_newer = trouble->count > count;
	if (is_newer)
		*note = trouble->last;
	pthread_mutex_unlock(&trouble->lock);
	return is_newer;
}
